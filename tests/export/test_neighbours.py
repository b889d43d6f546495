"""Neighbours, within k or within a radius: zero distances, ties, and the order of the search."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import neighbors
from sklearn.base import is_classifier
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import onnxport
from onnxport.errors import RequestError, UnsupportedModel
from tests.export import data

Classifier = neighbors.KNeighborsClassifier
Regressor = neighbors.KNeighborsRegressor
RadiusClassifier = neighbors.RadiusNeighborsClassifier
RadiusRegressor = neighbors.RadiusNeighborsRegressor
Centroid = neighbors.NearestCentroid


def _same(estimator: Any, X: Any, y: Any, rows: Any, folder: Path) -> None:
    """Fits, saves, and compares every answer to `rows`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # priors, and rows without neighbours
        estimator.fit(X, y)
        report = onnxport.save(estimator, folder / "m.onnx", X)
        answers = onnxport.load(folder / "m.onnx").predict(rows)
        expected = estimator.predict(rows)
        proba = estimator.predict_proba(rows) if hasattr(estimator, "predict_proba") else None
    assert report.parity.label_flips == 0
    found = [answer["prediction"] for answer in answers]
    if is_classifier(estimator):
        assert found == expected.tolist()
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    if proba is not None:
        shares = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(shares, proba, atol=1e-6)


def _grid(levels: int = 4, rows: int = 250) -> tuple[Any, Any, Any]:
    """Whole numbers with labels by chance, where nearly all distances tie, and other rows."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, levels, (rows, 4)).astype(float)
    y = np.array(["a", "b", "c"])[rng.integers(0, 3, rows)]
    return X, y, rng.integers(-1, levels + 1, (1500, 4)).astype(float)


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree", "brute"])
@pytest.mark.parametrize(
    "options",
    [
        {"n_neighbors": 1, "metric": "manhattan"},
        {},
        {"n_neighbors": 9, "weights": "distance"},
    ],
)
def test_ties_go_to_the_rows_that_the_search_keeps(
    algorithm: str, options: dict[str, Any], tmp_path: Path
) -> None:
    X, y, rows = _grid()
    _same(Classifier(algorithm=algorithm, leaf_size=7, **options), X, y, rows, tmp_path)


def _known_penguins() -> data.Data:
    X, y = data.penguins()
    numbers = X.select_dtypes("number")
    known = numbers.notna().all(axis=1).to_numpy()
    return numbers[known], y[known]


CASES: list[tuple[Any, Any]] = [
    (make_pipeline(StandardScaler(), Classifier()), _known_penguins),
    (Classifier(weights="distance"), data.iris),
    (Classifier(7, p=3), data.iris),
    (Classifier(3, p=1.5, algorithm="ball_tree", weights="distance"), data.iris),
    (Classifier(40, metric="chebyshev"), data.wine),
    (make_pipeline(StandardScaler(), Classifier(weights="distance")), data.cancer),
    (Classifier(3), data.digits),
    (Regressor(), data.diabetes),
    (Regressor(20, weights="distance", p=1), data.diabetes),
    (make_pipeline(StandardScaler(), Regressor(2, algorithm="ball_tree")), data.diabetes),
    (RadiusClassifier(100.0, outlier_label="most_frequent"), data.wine),
    (RadiusClassifier(100.0, outlier_label="b", weights="distance"), data.wine),
    (RadiusClassifier(100.0, outlier_label="a", algorithm="brute"), data.wine),
    (RadiusRegressor(0.2, weights="distance"), data.diabetes),
    (  # split points and neighbours at once: rows beside the boundary hang on the latter's rounding
        StackingClassifier(
            [
                ("near", make_pipeline(StandardScaler(), Classifier())),
                ("trees", HistGradientBoostingClassifier(max_iter=5)),
            ],
            cv=3,
        ),
        data.cancer,
    ),
    (  # and so do votes
        StackingClassifier(
            [("trees", HistGradientBoostingClassifier(max_iter=5)), ("votes", SVC())], cv=3
        ),
        data.iris,
    ),
    (Centroid(), data.iris),
    (Centroid(metric="manhattan"), data.wine),
    (Centroid(shrink_threshold=0.5, priors="empirical"), data.wine),
    (Centroid(metric="manhattan", priors=[0.9, 0.1]), data.cancer),
    (QuadraticDiscriminantAnalysis(), data.iris),
    (QuadraticDiscriminantAnalysis(reg_param=0.1), data.cancer),
]


@pytest.mark.parametrize(("estimator", "load"), CASES)
def test_real_data(estimator: Any, load: Any, tmp_path: Path) -> None:
    """On the rows of training, too: their own distance is 0."""
    X, y = load()
    _same(estimator, X, y, X, tmp_path)


@pytest.mark.parametrize("algorithm", ["kd_tree", "brute"])
@pytest.mark.parametrize("p", [1, 2])
def test_float32(algorithm: str, p: int, tmp_path: Path) -> None:
    X, y = data.iris()
    X = X.to_numpy(np.float32)
    _same(Classifier(8, p=p, algorithm=algorithm), X, y, X, tmp_path)


def test_two_targets(tmp_path: Path) -> None:
    X, y, rows = _grid()
    both = np.column_stack([y, np.where(X[:, 0] > 1, "high", "low")])
    estimator = Classifier(weights="distance").fit(X, both)
    onnxport.save(estimator, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(rows)
    assert [answer["prediction"] for answer in answers] == estimator.predict(rows).tolist()


def test_one_row_and_as_many_neighbours_as_rows(tmp_path: Path) -> None:
    X, y, rows = _grid(rows=9)
    _same(Classifier(9), X, y, rows, tmp_path)
    answers = onnxport.load(tmp_path / "m.onnx").predict(rows[:1])
    assert len(answers) == 1


def test_rows_without_neighbours_are_refused(tmp_path: Path) -> None:
    X, y = data.wine()
    estimator = RadiusClassifier(200.0).fit(X, y)
    onnxport.save(estimator, tmp_path / "m.onnx", X)
    model = onnxport.load(tmp_path / "m.onnx")
    with pytest.raises(RequestError):
        model.predict(X.iloc[:1] + 1e6)


@pytest.mark.parametrize(
    ("estimator", "parameter"),
    [
        (Classifier(weights=lambda d: 1 / (1 + d)), "weights"),
        (Classifier(metric="cosine"), "metric"),
        (Classifier(metric="canberra"), "metric"),
        (Classifier(metric_params={"w": [1, 2, 3, 4]}), "metric"),
        (Classifier(algorithm="brute"), "algorithm"),
        (RadiusClassifier(2.0, outlier_label=7), "outlier_label"),
        (RadiusRegressor(2.0), "y"),
    ],
)
def test_refused(estimator: Any, parameter: str, tmp_path: Path) -> None:
    X, _ = data.iris()
    X = X.round().astype(int)
    y = np.arange(len(X)) % 3
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(estimator.fit(X, y), tmp_path / "m.onnx", X)
    assert caught.value.parameter == parameter


def test_brute_force_whose_ties_hang_on_threads_is_refused(tmp_path: Path) -> None:
    X, _, rows = _grid(rows=400)
    y = np.arange(400) % 7 / 2
    with pytest.raises(UnsupportedModel, match="kd_tree"):
        onnxport.save(Regressor(algorithm="brute").fit(X, y), tmp_path / "m.onnx", X)
    _same(Regressor(algorithm="kd_tree"), X, y, rows, tmp_path)
