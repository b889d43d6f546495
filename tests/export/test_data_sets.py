"""The whole way on real data: train, save, serve, send every held-out row over HTTP, compare with the estimator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import onnxport
from tests.export import data

ODD_NAMES = ["sepal length (cm)", "class", "a.b", "Größe", "2nd"]


def _penguin_pipeline() -> Any:
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                ("island", OneHotEncoder(handle_unknown="ignore"), ["island"]),
            ]
        ),
        LogisticRegression(max_iter=500),
    )


def _odd() -> data.Data:
    X, y = data.wine()
    return X.iloc[:, :5].set_axis(ODD_NAMES, axis=1), y


CASES: dict[str, tuple[Any, Callable[[], data.Data]]] = {
    "iris": (RandomForestClassifier(random_state=0), data.iris),
    "penguins": (_penguin_pipeline(), data.penguins),
    "diabetes, boosted": (GradientBoostingRegressor(random_state=0), data.diabetes),
    "diabetes, ridge": (make_pipeline(StandardScaler(), Ridge()), data.diabetes),
    "wine": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)), data.wine),
    "breast cancer": (RandomForestClassifier(30, random_state=0), data.cancer),
    "digits, bare array": (RandomForestClassifier(30, random_state=0), data.digits),
    "odd names": (RandomForestClassifier(20, random_state=0), _odd),
    "mixed types": (
        make_pipeline(
            ColumnTransformer([("s", OneHotEncoder(), ["city", "class"])], remainder="passthrough"),
            RandomForestClassifier(20, random_state=0),
        ),
        data.mixed,
    ),
}


def _rows(X: Any, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows as an application would send them."""
    if hasattr(X, "to_json"):
        return list(json.loads(X.to_json(orient="records", double_precision=15)))
    return [dict(zip(names, row, strict=True)) for row in X.tolist()]


@pytest.mark.parametrize("name", CASES)
def test_the_whole_way(name: str, tmp_path: Path, serve: Callable[..., str]) -> None:
    estimator, make = CASES[name]
    X, y = make()
    X_train, X_test, y_train, _ = train_test_split(X, y, random_state=0)
    estimator.fit(X_train, y_train)
    report = onnxport.save(estimator, tmp_path / "model.onnx", X_train, y_train)
    url = serve(tmp_path / "model.onnx")
    rows = _rows(X_test, report.signature.names)
    answers = requests.post(f"{url}/predict", json=rows, timeout=30).json()
    one = requests.post(f"{url}/predict", json=rows[0], timeout=30).json()
    assert one["prediction"] == pytest.approx(answers[0]["prediction"])
    predictions = [answer["prediction"] for answer in answers]
    if not report.signature.classes:
        np.testing.assert_allclose(predictions, estimator.predict(X_test), rtol=1e-9)
        return
    assert predictions == estimator.predict(X_test).tolist()
    proba = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(proba, estimator.predict_proba(X_test), atol=1e-9)
    keys = [k if isinstance(k, str) else json.dumps(k) for k in estimator.classes_.tolist()]
    assert list(answers[0]["probabilities"]) == keys
