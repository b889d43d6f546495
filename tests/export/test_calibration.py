"""Calibrated classifiers and isotonic regression: all methods, over scores and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import onnxport
from onnxport.errors import UnsupportedModel, ValidationError
from tests.export import data
from tests.export.test_estimators import _prove

Calibrated = CalibratedClassifierCV
LINE = LinearSVC(random_state=0)
FOREST = RandomForestClassifier(8, max_depth=3, random_state=0)
BAYES = GaussianNB()


@pytest.mark.parametrize("make", [data.wine, data.cancer], ids=["three", "two"])
@pytest.mark.parametrize("inner", [LINE, FOREST, BAYES], ids=["line", "forest", "bayes"])
@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_methods(method: str, inner: Any, make: Callable[[], data.Data], tmp_path: Path) -> None:
    _prove(Calibrated(inner, method=method, cv=3, ensemble=inner is not FOREST), *make(), tmp_path)


@pytest.mark.parametrize(
    ("inner", "make"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()), data.cancer),
        (ExtraTreesClassifier(12, random_state=0), data.digits),  # many equal scores
        (LINE, data.digits),  # ten classes: numpy adds in another order
        (HistGradientBoostingClassifier(max_iter=10), data.ids),
        (RandomForestClassifier(20, min_samples_leaf=3, random_state=0), data.holes),
    ],
    ids=["pipeline", "trees on digits", "line on digits", "ids", "holes"],
)
def test_isotonic_on_harder_scores(
    inner: Any, make: Callable[[], data.Data], tmp_path: Path
) -> None:
    _prove(Calibrated(inner, method="isotonic", cv=3), *make(), tmp_path)


@pytest.mark.parametrize("inner", [LogisticRegression(), FOREST], ids=["line", "forest"])
def test_isotonic_on_float32(inner: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    _prove(Calibrated(inner, method="isotonic", cv=3), X.to_numpy(np.float32), y, tmp_path)


def test_what_was_fitted_before(tmp_path: Path) -> None:
    X, y = data.wine()
    frozen = FrozenEstimator(FOREST.fit(X, y))
    _prove(Calibrated(frozen, method="isotonic"), X, y, tmp_path)


@pytest.mark.parametrize(("inner", "method"), [(LINE, "sigmoid"), (BAYES, "isotonic")])
def test_a_fold_without_one_of_the_classes(inner: Any, method: str, tmp_path: Path) -> None:
    X, y = data.wine()
    rows = np.arange(len(X))
    model = Calibrated(
        inner, method=method, cv=[(np.flatnonzero(y != "c"), rows), (rows, rows)]
    ).fit(X, y)
    onnxport.save(model, tmp_path / "m.onnx", X)
    found = onnxport.load(tmp_path / "m.onnx").predict(X)
    proba = [list(answer["probabilities"].values()) for answer in found]
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-9)
    assert [answer["prediction"] for answer in found] == model.predict(X).tolist()


def test_calibrated_inside_voting(tmp_path: Path) -> None:
    members = [
        ("bayes", Calibrated(BAYES, method="isotonic", cv=3)),
        ("line", LogisticRegression(max_iter=500)),
    ]
    _prove(VotingClassifier(members, voting="soft"), *data.wine(), tmp_path)


def test_another_method_is_refused(tmp_path: Path) -> None:
    X, y = data.iris()
    model = Calibrated(LINE).fit(X, y)
    model.calibrated_classifiers_[0].method = "spline"
    with pytest.raises(UnsupportedModel, match="method='sigmoid', 'isotonic' or 'temperature'"):
        onnxport.save(model, tmp_path / "m.onnx", X)


@pytest.mark.parametrize("bounds", ["clip", "nan"])
@pytest.mark.parametrize("increasing", [True, False])
def test_isotonic_regression(bounds: str, increasing: bool, tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = IsotonicRegression(out_of_bounds=bounds, increasing=increasing)
    _prove(model, X[["bmi"]], y, tmp_path)


def test_isotonic_regression_inside_pipelines(tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = make_pipeline(StandardScaler(), IsotonicRegression(out_of_bounds="clip"))
    _prove(model, X[["bmi"]], y, tmp_path)
    before = make_pipeline(IsotonicRegression(out_of_bounds="clip"))
    _prove(before, X[["bmi"]].to_numpy(np.float32), y, tmp_path)


def test_isotonic_regression_refuses_what_the_library_refuses(tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = IsotonicRegression(out_of_bounds="raise").fit(X[["bmi"]], y)
    onnxport.save(model, tmp_path / "m.onnx", X[["bmi"]])
    loaded = onnxport.load(tmp_path / "m.onnx")
    ends = np.array([model.X_min_, model.X_max_])
    found = [answer["prediction"] for answer in loaded.predict([{"bmi": x} for x in ends])]
    assert found == pytest.approx(model.predict(ends).tolist())
    with pytest.raises(ValidationError):
        loaded.predict({"bmi": float(np.nextafter(model.X_max_, 1))})


def test_isotonic_regression_of_a_constant(tmp_path: Path) -> None:
    X, y = data.diabetes()
    flat = X[["bmi"]].assign(bmi=0.5)
    model = IsotonicRegression().fit(flat, y)
    onnxport.save(model, tmp_path / "m.onnx", X[["bmi"]])
    answer = onnxport.load(tmp_path / "m.onnx").predict({"bmi": 3.0})
    assert answer["prediction"] == pytest.approx(y.mean())
