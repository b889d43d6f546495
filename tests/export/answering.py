"""What an estimator itself says of rows, in the form in which a model file answers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import is_outlier_detector

import onnxport

Answer = dict[str, Any]


def agree(model: onnxport.Model, estimator: Any, rows: Any, *, rtol: float = 1e-9) -> None:
    """The model file's predictions are the estimator's: labels equal, numbers within rtol."""
    found = [answer["prediction"] for answer in model.predict(rows)]
    expected = estimator.predict(rows)
    if model.signature.classes:
        assert found == expected.tolist()
    else:
        np.testing.assert_allclose(found, expected, rtol=rtol)


def expected_answers(estimator: Any, X: Any) -> list[Answer]:
    """One answer a row, from predict, predict_proba, decision_function or transform."""
    if not hasattr(estimator, "predict"):
        return [{"output": row} for row in _dense(estimator.transform(X)).tolist()]
    predictions = _dense(estimator.predict(X))
    flat = predictions.ndim == 2 and predictions.shape[1] == 1
    answers = [{"prediction": row} for row in (predictions[:, 0] if flat else predictions).tolist()]
    told: list[Any] = []
    if is_outlier_detector(estimator):
        told = estimator.decision_function(X).tolist()
    elif hasattr(estimator, "predict_proba"):
        told = _probabilities(estimator, X, predictions)
    name = "score" if is_outlier_detector(estimator) else "probabilities"
    return [a | {name: more} for a, more in zip(answers, told, strict=True)] if told else answers


def _probabilities(estimator: Any, X: Any, predictions: Any) -> list[Any]:
    proba = estimator.predict_proba(X)
    if predictions.ndim == 1 or predictions.shape[1] == 1:
        matrix = np.asarray(proba[0] if isinstance(proba, list) else proba)
        classes = getattr(estimator, "classes_", np.arange(matrix.shape[1]))
        return _keyed(np.ravel(classes), matrix)
    if isinstance(proba, list):
        targets = [_keyed(c, p) for c, p in zip(estimator.classes_, proba, strict=True)]
    else:  # of each label, the probability that it is given
        labels = np.array([0, 1], dtype=predictions.dtype)
        targets = [_keyed(labels, np.column_stack([1 - p, p])) for p in proba.T]
    return [list(row) for row in zip(*targets, strict=True)]


def _keyed(classes: Any, matrix: Any) -> list[Answer]:
    keys = [c if isinstance(c, str) else json.dumps(c) for c in classes.tolist()]
    return [dict(zip(keys, row, strict=True)) for row in matrix.tolist()]


def _dense(values: Any) -> Any:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def same(wanted: Any, got: Any, tolerance: float = 1e-9) -> bool:
    """Equal in form, types and labels; floats differ by at most the tolerance, relative to max(1,
    |wanted|).
    """
    if type(got) is not type(wanted):
        return False
    if isinstance(wanted, dict):
        return list(wanted) == list(got) and all(same(wanted[k], got[k], tolerance) for k in wanted)
    if isinstance(wanted, list):
        return len(wanted) == len(got) and all(
            same(a, b, tolerance) for a, b in zip(wanted, got, strict=True)
        )
    if isinstance(wanted, float):
        return bool(got == pytest.approx(wanted, rel=tolerance, abs=tolerance))
    return bool(got == wanted)
