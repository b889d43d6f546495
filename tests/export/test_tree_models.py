"""Trees and what is made of them: categories, init estimators, several targets, outliers, votes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from palmerpenguins import load_penguins
from sklearn import ensemble, linear_model, naive_bayes, svm, tree
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import onnxport
from onnxport.errors import ValidationError
from tests.export import data

HistogramClassifier = ensemble.HistGradientBoostingClassifier
HistogramRegressor = ensemble.HistGradientBoostingRegressor
Boosting = ensemble.GradientBoostingClassifier
LogisticRegression = linear_model.LogisticRegression


def _save(estimator: Any, X: Any, y: Any, folder: Path, *, bar: float = 1e-9) -> onnxport.Model:
    """Fits, saves, and compares on X through the loaded file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    report = onnxport.save(estimator, folder / "m.onnx", X)
    assert report.parity.label_flips == 0
    assert report.parity.tolerance <= bar
    model = onnxport.load(folder / "m.onnx")
    answers, expected = model.predict(X), np.asarray(estimator.predict(X))
    found = [answer["prediction"] for answer in answers]
    if report.signature.class_sets:
        assert found == expected.tolist()
    else:
        np.testing.assert_allclose(found, expected, rtol=bar)
    return model


def _codes() -> data.Data:
    """Codes of 60 and of 5 categories, one fractional, beside a number; a jagged target."""
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [rng.integers(0, 60, 700), rng.normal(size=700), 1.5 * rng.integers(0, 5, 700)]
    )
    return X, np.sin(7 * X[:, 0]) + X[:, 1] + (X[:, 2] == 3)


def _penguins() -> data.Data:
    X, y = data.penguins()
    return X.astype({"island": "category"}), y


def _cars() -> data.Data:
    """Horsepower by cylinders and origin as categories, and weight."""
    X, origin = data.cars()
    X = X.assign(origin=origin).dropna(subset=["Horsepower"])
    chosen = X[["Cylinders", "origin", "Weight_in_lbs"]]
    return chosen.astype({"Cylinders": "category", "origin": "category"}), X["Horsepower"]


def _sexes() -> data.Data:
    """Penguins with their sex, which is missing in some."""
    X, y = _penguins()
    sex = load_penguins()["sex"]
    return X.assign(sex=sex.astype("category")), y


def _holes() -> data.Data:
    X, y = _codes()
    return np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X), y


def _named() -> data.Data:
    X, y = _codes()
    return pd.DataFrame(X, columns=["a", "b", "c"]).astype({"a": int}), np.exp(y)


CATEGORIES: list[tuple[str, Any, Callable[[], data.Data]]] = [
    ("penguins", HistogramClassifier(max_iter=15), _penguins),
    ("missing strings", HistogramClassifier(max_iter=15), _sexes),
    ("missing codes", HistogramRegressor(categorical_features=[0, 2], max_iter=20), _holes),
    ("cars", HistogramRegressor(max_iter=30), _cars),
    ("a mask", HistogramRegressor(categorical_features=[True, False, True], max_iter=20), _codes),
    (
        "quantile, by index",
        HistogramRegressor(loss="quantile", quantile=0.7, categorical_features=[0], max_iter=20),
        _codes,
    ),
    (
        "poisson, by name",
        HistogramRegressor(loss="poisson", categorical_features=["a"], max_iter=20),
        _named,
    ),
    (
        "gamma, stopped early, categories only",
        HistogramRegressor(
            loss="gamma", categorical_features=[0, 1], early_stopping=True, random_state=0
        ),
        lambda: (_named()[0][["a", "c"]], _named()[1]),
    ),
    (
        "integers as categories",
        HistogramRegressor(loss="absolute_error", max_iter=20),
        lambda: (_named()[0].astype({"a": "category"}), _named()[1]),
    ),
    (
        "no split at all",
        HistogramRegressor(categorical_features=[0], min_samples_leaf=500, max_iter=3),
        _codes,
    ),
]


@pytest.mark.parametrize(
    ("name", "estimator", "make"), CATEGORIES, ids=[case[0] for case in CATEGORIES]
)
def test_histograms_of_categories(
    name: str, estimator: Any, make: Callable[[], data.Data], tmp_path: Path
) -> None:
    assert name
    _save(estimator, *make(), tmp_path)


def test_an_unknown_category_goes_where_missing_goes(tmp_path: Path) -> None:
    X, y = _penguins()
    estimator = HistogramClassifier(max_iter=15)
    model = _save(estimator, X, y, tmp_path)
    island = next(f for f in model.signature.features if f.name == "island")
    assert (island.kind, island.refuses_unknown) == ("categorical", False)
    rows = X.head(40).assign(island="Ísland")
    assert [a["prediction"] for a in model.predict(rows)] == estimator.predict(rows).tolist()


def test_categories_without_a_sample(tmp_path: Path) -> None:
    X, y = _penguins()
    report = onnxport.save(HistogramClassifier(max_iter=5).fit(X, y), tmp_path / "m.onnx")
    assert report.signature.features[0].kind == "categorical"


@pytest.mark.parametrize(
    ("estimator", "make", "bar"),
    [
        (
            ensemble.GradientBoostingRegressor(init=linear_model.LinearRegression()),
            data.diabetes,
            1e-5,
        ),
        (
            ensemble.GradientBoostingRegressor(
                init=ensemble.RandomForestRegressor(5, random_state=0), loss="huber"
            ),
            data.diabetes,
            1e-9,
        ),
        (
            ensemble.GradientBoostingRegressor(init="zero", loss="absolute_error"),
            data.diabetes,
            1e-9,
        ),
        (Boosting(init=LogisticRegression(max_iter=300)), data.iris, 1e-5),
        (
            Boosting(init=make_pipeline(StandardScaler(), LogisticRegression())),
            data.cancer,
            1e-5,
        ),
        (
            Boosting(
                init=ensemble.RandomForestClassifier(5, max_depth=2, random_state=0),
                loss="exponential",
            ),
            data.cancer,
            1e-9,
        ),
    ],
    ids=["line", "huber", "zero", "three classes", "saturated", "exponential"],
)
def test_init_estimators(
    estimator: Any, make: Callable[[], data.Data], bar: float, tmp_path: Path
) -> None:
    _save(estimator.set_params(n_estimators=15, random_state=0), *make(), tmp_path, bar=bar)


@pytest.mark.parametrize(
    "estimator",
    [
        tree.DecisionTreeClassifier(max_depth=4, random_state=0),
        tree.ExtraTreeClassifier(random_state=0),
        ensemble.RandomForestClassifier(20, max_depth=3, random_state=0),
        ensemble.ExtraTreesClassifier(20, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_several_targets(estimator: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    letters = np.random.default_rng(0).choice(list("abcd"), len(X))
    targets = np.column_stack([y, np.where(X["hue"] > 1, "blue", "red"), letters])
    model = _save(estimator, X, targets.astype(object), tmp_path)
    answer = model.predict(X.iloc[0].to_dict())
    expected = [proba[0].tolist() for proba in estimator.predict_proba(X.head(1))]
    assert [list(part.values()) for part in answer["probabilities"]] == expected


@pytest.mark.parametrize(
    ("estimator", "make"),
    [
        (ensemble.IsolationForest(random_state=0), data.wine),
        (
            ensemble.IsolationForest(n_estimators=30, contamination=0.1, max_features=0.5),
            data.holes,
        ),
        (ensemble.IsolationForest(n_estimators=5, max_samples=1), data.wine),
        (
            make_pipeline(
                StandardScaler(), ensemble.IsolationForest(n_estimators=30, contamination=0.05)
            ),
            data.wine,
        ),
    ],
    ids=["usual", "subsets with holes", "one row a tree", "scaled"],
)
def test_isolation_forests(estimator: Any, make: Callable[[], data.Data], tmp_path: Path) -> None:
    X, _ = make()
    model = _save(estimator, X, None, tmp_path)
    scores = [answer["score"] for answer in model.predict(X)]
    np.testing.assert_allclose(scores, estimator.decision_function(X), rtol=1e-9, atol=1e-12)


def test_random_trees_embedding(tmp_path: Path) -> None:
    X, y = data.wine()
    embedding = ensemble.RandomTreesEmbedding(10, max_depth=4, random_state=0)
    onnxport.save(embedding.fit(X), tmp_path / "alone.onnx", X)
    answers = onnxport.load(tmp_path / "alone.onnx").predict(X)
    expected = embedding.transform(X).toarray()
    np.testing.assert_array_equal([answer["output"] for answer in answers], expected)
    _save(make_pipeline(embedding, LogisticRegression()), X, y, tmp_path)


def _voters() -> list[tuple[str, Any]]:
    return [
        ("bayes", naive_bayes.GaussianNB()),
        ("tree", tree.DecisionTreeClassifier(max_depth=2, random_state=0)),
        ("out", "drop"),
    ]


def _regressors() -> list[tuple[str, Any]]:
    return [("line", linear_model.Ridge()), ("tree", tree.DecisionTreeRegressor(max_depth=3))]


@pytest.mark.parametrize(
    ("estimator", "make"),
    [
        (ensemble.AdaBoostRegressor(n_estimators=20, random_state=0), data.diabetes),
        (ensemble.AdaBoostRegressor(linear_model.Ridge(), n_estimators=5), data.diabetes),
        (ensemble.AdaBoostClassifier(naive_bayes.GaussianNB(), n_estimators=5), data.iris),
        (
            ensemble.BaggingClassifier(
                svm.LinearSVC(), max_features=0.6, max_samples=0.2, random_state=0
            ),
            data.wine,
        ),
        (
            ensemble.BaggingRegressor(
                linear_model.Ridge(), max_features=0.5, bootstrap_features=True
            ),
            data.diabetes,
        ),
        (ensemble.VotingClassifier(_voters(), weights=[1, 2.5, 3]), data.iris),
        (make_pipeline(ensemble.VotingClassifier(_voters()), LogisticRegression()), data.iris),
        (
            make_pipeline(
                ensemble.VotingClassifier(_voters(), voting="soft"), LogisticRegression()
            ),
            data.iris,
        ),
        (
            make_pipeline(ensemble.VotingRegressor(_regressors()), linear_model.Ridge()),
            data.diabetes,
        ),
        (make_pipeline(ensemble.StackingClassifier(_voters()), LogisticRegression()), data.iris),
        (ensemble.StackingClassifier(_voters(), stack_method="predict"), data.iris),
        (
            ensemble.StackingClassifier([("a", svm.LinearSVC()), *_voters()], passthrough=True),
            data.iris,
        ),
    ],
    ids=[
        "median",
        "median of lines",
        "SAMME of bayes",
        "bagged votes",
        "bagged lines",
        "weighted votes",
        "votes in the middle",
        "shares in the middle",
        "answers in the middle",
        "stack in the middle",
        "stacked labels",
        "stacked decisions",
    ],
)
def test_combined(estimator: Any, make: Callable[[], data.Data], tmp_path: Path) -> None:
    _save(estimator, *make(), tmp_path)


def test_members_fitted_beforehand_keep_their_labels(tmp_path: Path) -> None:
    X, _ = data.iris()
    y = np.repeat([7, 3, 11], 50)
    final = tree.DecisionTreeClassifier(max_depth=3)
    options = {"cv": "prefit", "stack_method": "predict", "final_estimator": final}
    member = tree.DecisionTreeClassifier(max_depth=2)
    stack = ensemble.StackingClassifier([("tree", member.fit(X, y))], **options)
    _save(stack, X, y, tmp_path)


def test_a_forest_large_enough_for_turned_splits(tmp_path: Path) -> None:
    X, y = data.holes()
    forest = ensemble.RandomForestClassifier(120, max_depth=9, random_state=0)
    model = _save(forest, X, y, tmp_path)
    rows = X.head(50).mask(np.random.default_rng(0).random((50, X.shape[1])) < 0.5)
    shares = [list(answer["probabilities"].values()) for answer in model.predict(rows)]
    np.testing.assert_array_equal(shares, forest.predict_proba(rows))


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_what_float32_rounds_to_a_split(scale: float, tmp_path: Path) -> None:
    """Halfway between a split's float32 and the next, where rounding turns, and a step beside it."""
    X = np.random.default_rng(0).normal(size=(300, 1)) * scale
    regressor = tree.DecisionTreeRegressor()
    model = _save(regressor, X, np.arange(300.0), tmp_path)
    splits = regressor.tree_.threshold[regressor.tree_.children_left >= 0].astype(np.float32)
    sides = [np.nextafter(splits, np.float32(way)) for way in (-np.inf, np.inf)]
    halves = np.concatenate([(splits.astype(float) + side) / 2 for side in sides])
    steps = [np.nextafter(halves, way) for way in (-np.inf, np.inf)]
    rows = np.concatenate([halves, *steps])[:, None]
    found = [answer["prediction"] for answer in model.predict(rows)]
    np.testing.assert_array_equal(found, regressor.predict(rows))


@pytest.mark.parametrize(
    "estimator", [Boosting(n_estimators=3), ensemble.AdaBoostClassifier(n_estimators=3)]
)
def test_nan_from_an_earlier_step_is_refused(estimator: Any, tmp_path: Path) -> None:
    X = np.random.default_rng(0).uniform(0.1, 5, (300, 2))
    roots = make_pipeline(FunctionTransformer(np.sqrt), estimator)
    model = _save(roots, X, X[:, 0] > 2, tmp_path)
    with pytest.raises(ValidationError):
        model.predict([[-1.0, 2.0]])
