"""One case tried: fitted on some rows, saved, loaded, and asked about the rows that are left."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

import onnxport
from onnxport.compare import relative_difference, worst
from tests.export.matrix.case import Case

_FITTED_ON = 0.6


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator, the rows that it saw, and those that it didn't."""

    estimator: Any
    seen: Any
    fresh: Any


def fit(case: Case) -> Fitted:
    X, y = case.load()
    order = np.random.default_rng(5).permutation(len(X))
    cut = int(_FITTED_ON * len(X))
    rows = X.iloc if hasattr(X, "iloc") else X
    seen, fresh = rows[order[:cut]], rows[order[cut:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, and of what scikit-learn retires
        given = np.asarray(y)[order[:cut]]
        watch = {"eval_set": [(seen[::3], given[::3])]} if case.watched else {}
        estimator = _anew(case.estimator).fit(seen, given, **watch)
    return Fitted(estimator, seen, _answered(estimator, fresh))


def _anew(estimator: Any) -> Any:
    """CatBoost's classes are no scikit-learn estimators."""
    if isinstance(estimator, BaseEstimator):
        return clone(estimator)
    return type(estimator)(**estimator.get_params())


def _answered(estimator: Any, rows: Any) -> Any:
    """The rows that the estimator answers: some encoders refuse what they never saw."""
    if _answers(estimator, rows):
        return rows
    kept = [i for i in range(len(rows)) if _answers(estimator, rows[i : i + 1])]
    return rows.iloc[kept] if hasattr(rows, "iloc") else rows[kept]


def _answers(estimator: Any, rows: Any) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.predict(rows)
    except ValueError:
        return False
    return True


def try_ours(fitted: Fitted, folder: Path) -> None:
    """Saves, loads, and compares on the rows that the estimator never saw. Raises where it can't be
    saved, or answers differently.
    """
    path = folder / "m.onnx"
    report = onnxport.save(fitted.estimator, path, fitted.seen)
    answers = onnxport.load(path).predict(fitted.fresh)
    found = [answer["prediction"] for answer in answers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(fitted.estimator.predict(fitted.fresh))
        proba = _probabilities(fitted)
    if report.signature.task == "regression":
        wanted = expected.astype(float).reshape(np.shape(found))
        assert worst(relative_difference(wanted, np.array(found))) <= report.parity.tolerance
    else:
        assert found == (expected[:, 0] if _is_column(expected) else expected).tolist()
    if proba is not None and (expected.ndim == 1 or _is_column(expected)):
        given = np.array([list(answer["probabilities"].values()) for answer in answers])
        assert worst(relative_difference(proba, given)) <= report.parity.tolerance


def _is_column(answers: Any) -> bool:
    return bool(answers.ndim == 2 and answers.shape[1] == 1)


def _probabilities(fitted: Fitted) -> Any:
    try:
        return np.asarray(fitted.estimator.predict_proba(fitted.fresh))
    except (AttributeError, ValueError):  # none, or one array a target
        return None
