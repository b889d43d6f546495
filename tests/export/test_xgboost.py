"""XGBoost: every objective and booster, categories, missing numbers, Boosters, early stopping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier

import onnxport
from tests.export import data

_USUAL = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1, "random_state": 0}


def _fresh(X: pd.DataFrame, count: int = 1500) -> pd.DataFrame:
    """Rows nobody trained on: columns swapped between rows, numbers moved, missing, huge, and ids
    that float32 can't hold.
    """
    rng = np.random.default_rng(5)
    rows = X.iloc[rng.integers(len(X), size=count)].reset_index(drop=True)
    for name in rows.columns:
        values = rows[name].to_numpy()
        swapped = np.where(rng.random(count) < 0.3, values[rng.permutation(count)], values)
        if isinstance(X[name].dtype, pd.CategoricalDtype):
            rows[name] = pd.Categorical(swapped, dtype=X[name].dtype)
            continue
        numbers = swapped.astype(float) * (1 + 0.1 * rng.normal(size=count))
        for share, value in ((0.05, np.nan), (0.02, 2.0**24 + 1), (0.02, -1e30), (0.02, 0.0)):
            numbers = np.where(rng.random(count) < share, value, numbers)
        rows[name] = numbers
    return rows


def _agree(estimator: Any, X: Any, folder: Path, rows: Any = None, model: Any = None) -> Any:
    """Saves the model (the estimator, unless another is given), and compares with what the
    estimator says of rows, in the last bit.
    """
    report = onnxport.save(estimator if model is None else model, folder / "m.onnx", X)
    loaded = onnxport.load(folder / "m.onnx")
    if rows is None:
        rows = _fresh(pd.DataFrame(X))
        rows = rows if isinstance(X, pd.DataFrame) else rows.to_numpy()
    answers = loaded.predict(rows)
    found = [answer["prediction"] for answer in answers]
    np.testing.assert_array_equal(found, estimator.predict(rows))
    if "probabilities" in answers[0] and not report.signature.target_classes:
        shares = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(shares, estimator.predict_proba(rows), rtol=0, atol=2e-7)
    return report


def _positive() -> data.Data:
    X, y = data.diabetes()
    return X, y / 100


CLASSIFIERS: list[tuple[str, Any, Any]] = [
    ("two classes", XGBClassifier(**_USUAL), data.holes),
    ("hinge", XGBClassifier(objective="binary:hinge", **_USUAL), data.holes),
    ("margins", XGBClassifier(objective="binary:logitraw", **_USUAL), data.cancer),
    ("as a regression", XGBClassifier(objective="reg:squarederror", **_USUAL), data.cancer),
    ("forest", XGBRFClassifier(**_USUAL), data.holes),
    ("lines", XGBClassifier(booster="gblinear", n_estimators=12), data.cancer),
    ("ids", XGBClassifier(**_USUAL), data.ids),
    ("dropout", XGBClassifier(booster="dart", rate_drop=0.3, **_USUAL), data.cancer),
]


@pytest.mark.parametrize(
    ("name", "estimator", "make"), CLASSIFIERS, ids=[c[0] for c in CLASSIFIERS]
)
def test_two_classes(name: str, estimator: Any, make: Any, tmp_path: Path) -> None:
    assert name
    X, y = make()
    _agree(estimator.fit(X, y.astype(int)), X, tmp_path, rows=None if name != "lines" else X)


@pytest.mark.parametrize(
    "estimator",
    [
        XGBClassifier(**_USUAL),
        XGBClassifier(objective="multi:softmax", **_USUAL),
        XGBClassifier(num_parallel_tree=3, subsample=0.7, **_USUAL),
        XGBClassifier(booster="dart", rate_drop=0.5, skip_drop=0.2, **_USUAL),
        XGBClassifier(booster="gblinear", n_estimators=12, missing=0.0),
        XGBRFClassifier(**_USUAL),
    ],
    ids=["softprob", "softmax", "parallel trees", "dropout", "lines", "forest"],
)
def test_three_classes(estimator: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    codes = np.unique(y, return_inverse=True)[1]
    lines = estimator.booster == "gblinear"
    _agree(estimator.fit(X, codes), X, tmp_path, rows=X if lines else None)


@pytest.mark.parametrize(
    "objective",
    [
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:gamma",
        "reg:tweedie",
        "count:poisson",
        "survival:cox",
    ],
)
def test_regression(objective: str, tmp_path: Path) -> None:
    X, y = _positive()
    _agree(XGBRegressor(objective=objective, **_USUAL).fit(X, y), X, tmp_path)
