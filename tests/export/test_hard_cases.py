"""Cases in which a conversion looks right and isn't: each answers as the estimator, or is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.random import default_rng
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import ExportError, ParityError, UnsupportedModel, ValidationError
from onnxport.export import registry
from onnxport.export.emitters import forests
from onnxport.export.graph import Columns
from onnxport.export.registry import Classified, Emission
from tests.export import data
from tests.export.answering import agree

RNG = default_rng(11)
COIN = RNG.integers(0, 2, 400)
CITIES = pd.DataFrame({"c": RNG.choice(list("abcd"), 400), "x": RNG.normal(size=400)})
IS_A = ((CITIES["c"] == "a") | (CITIES["x"] > 0)).astype(int)


def _model(estimator: Any, X: Any, y: Any, folder: Path) -> onnxport.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    return _saved(estimator, X, folder)


def _saved(estimator: Any, X: Any, folder: Path) -> onnxport.Model:
    onnxport.save(estimator, folder / "m.onnx", X)
    return onnxport.load(folder / "m.onnx")


def _refuses(model: onnxport.Model, row: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        model.predict(row)
    return caught.value.details[0].code


class Grid(RandomForestClassifier):
    """A forest of its own name, for an emitter that breaks ties the wrong way."""


def test_the_gate_sees_a_wrong_rule_for_ties(tmp_path: Path) -> None:
    def emit_last_of_equals(emission: Emission, estimator: Any, columns: Columns) -> Classified:
        right = forests.emit_forest_classifier(emission, estimator, columns)
        assert right.proba is not None
        last = emission.graph.node("ArgMax", right.proba, axis=1, keepdims=0, select_last_index=1)
        return Classified(last, right.proba)

    rng = default_rng(0)
    X = rng.integers(0, 3, (400, 5)).astype(float)
    y = rng.integers(0, 2, 400)
    registry.emits(Grid)(emit_last_of_equals)
    try:
        with pytest.raises(ParityError, match="label flips"):
            _model(Grid(10, random_state=0), X, y, tmp_path)
    finally:
        del registry.RULES[Grid]
    forest = RandomForestClassifier(10, random_state=0)
    agree(_model(forest, X, y, tmp_path), forest, rng.integers(0, 3, (3000, 5)).astype(float))


def test_a_kernel_on_large_means(tmp_path: Path) -> None:
    X = RNG.normal(size=(400, 2))
    machine = SVC()
    model = _model(machine, X + 1e6, (X[:, 0] * X[:, 1] > 0).astype(int), tmp_path)
    agree(model, machine, RNG.normal(size=(20_000, 2)) + 1e6)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
def test_a_closed_encoder_behind_an_imputer(encoder: Any, tmp_path: Path) -> None:
    X = pd.DataFrame({"n": RNG.integers(1, 4, 200), "age": RNG.normal(30, 10, 200)})
    encoded = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    columns = ColumnTransformer([("c", encoded, ["n"]), ("n", StandardScaler(), ["age"])])
    ridge = make_pipeline(columns, Ridge())
    model = _model(ridge, X, X["n"] + X["age"], tmp_path)
    agree(model, ridge, X)
    assert _refuses(model, {"n": 7, "age": 20.0}) == "unknown_category"


def test_encoders_inside_several_members(tmp_path: Path) -> None:
    def encoded(last: Any) -> Any:
        columns = ColumnTransformer([("c", OneHotEncoder(), ["c"])], remainder="passthrough")
        return make_pipeline(columns, last)

    members = [("a", encoded(LogisticRegression())), ("b", encoded(DecisionTreeClassifier()))]
    voting = VotingClassifier(members, voting="soft")
    model = _model(voting, CITIES, IS_A, tmp_path)
    agree(model, voting, CITIES)
    assert model.signature.by_name["c"].categories == ("a", "b", "c", "d")
    assert _refuses(model, {"c": "z", "x": 1.0}) == "unknown_category"


def test_two_encoders_on_one_column(tmp_path: Path) -> None:
    columns = ColumnTransformer(
        [
            ("all", OneHotEncoder(), ["c"]),
            ("some", OneHotEncoder(categories=[["a", "b"]], handle_unknown="ignore"), ["c"]),
        ],
        remainder="passthrough",
    )
    line = make_pipeline(columns, LogisticRegression())
    agree(_model(line, CITIES, IS_A, tmp_path), line, CITIES)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_rows_of_nearly_nothing(norm: str, tmp_path: Path) -> None:
    X, y = data.iris()
    line = make_pipeline(Normalizer(norm), LogisticRegression(max_iter=500))
    model = _model(line, X, y, tmp_path)
    for size in (1e-14, 1e-15, 1e-16, 1e-17, 0.0):
        agree(model, line, X.head(20) * size)


@pytest.mark.parametrize(
    ("estimator", "scale", "huge"),
    [
        (make_pipeline(PolynomialFeatures(2), LinearRegression()), 1.0, 1e200),
        (make_pipeline(StandardScaler(), LinearRegression()), 1e-3, 1.7e308),
        (make_pipeline(StandardScaler(), RandomForestClassifier(5)), 1.0, 3e38),
        (make_pipeline(PolynomialFeatures(2), PCA(2), Ridge()), 1.0, 1e200),
    ],
    ids=["polynomial", "scaler", "forest", "projection"],
)
def test_overflow_inside_the_pipeline(
    estimator: Any, scale: float, huge: float, tmp_path: Path
) -> None:
    X, _ = data.iris()
    model = _model(estimator, X * scale, COIN[: len(X)], tmp_path)
    row = X.head(1) * 0 + huge
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"infinity|too large"):
        estimator.predict(row)
    assert _refuses(model, row) == "non_finite"


def test_categories_that_doubles_cannot_tell_apart(tmp_path: Path) -> None:
    X = pd.DataFrame({"id": np.where(COIN, 2**53, 2**60), "x": RNG.normal(size=400)})
    columns = ColumnTransformer([("o", OneHotEncoder(), ["id"])], remainder="passthrough")
    with pytest.raises(UnsupportedModel, match=r"beyond 2\^53"):
        _model(make_pipeline(columns, Ridge()), X, X["x"], tmp_path)


def test_float32_and_integers_brought_together(tmp_path: Path) -> None:
    X = pd.DataFrame(
        {
            "a": RNG.normal(size=300).astype(np.float32),
            "b": RNG.normal(size=300).astype(np.float32),
            "c": RNG.integers(0, 50, 300),
        }
    )
    first = ColumnTransformer([("s", StandardScaler(), ["c"])], remainder="passthrough")
    second = ColumnTransformer([("z", StandardScaler(), [1, 2])])
    line = make_pipeline(first, second, LogisticRegression())
    parity = _model(line, X, (X["a"] > 0).astype(int), tmp_path).manifest["parity"]
    assert parity["tolerance"] == 1e-9


@pytest.mark.parametrize("small", [np.int8, np.uint8, np.int16, bool])
def test_float32_beside_small_integers(small: Any, tmp_path: Path) -> None:
    X = pd.DataFrame(
        {"a": RNG.normal(size=300).astype(np.float32), "b": RNG.integers(0, 2, 300).astype(small)}
    )
    y = (X["a"] + X["b"] > 0.7).astype(int)
    for estimator in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())):
        agree(_model(estimator, X, y, tmp_path), estimator, X)


def test_a_float_column_with_a_closed_encoder(tmp_path: Path) -> None:
    X = pd.DataFrame({"k": RNG.integers(0, 4, 300).astype(float), "x": RNG.normal(size=300)})
    columns = ColumnTransformer([("o", OneHotEncoder(), ["k"])], remainder="passthrough")
    tree = make_pipeline(columns, DecisionTreeClassifier(random_state=0))
    model = _model(tree, X, COIN[:300], tmp_path)
    agree(model, tree, X)
    assert model.manifest["parity"]["refused"] == 0
    assert _refuses(model, {"k": 0.5, "x": 1.0}) == "unknown_category"


def test_numbers_too_close_for_a_histogram(tmp_path: Path) -> None:
    X = pd.DataFrame({"t": 1.7e18 + RNG.integers(0, 3, 400) * 256.0})
    tree = DecisionTreeClassifier(random_state=0)
    agree(_model(tree, X, COIN, tmp_path), tree, X)
    X = pd.DataFrame({"a": RNG.choice([1.7e308, -1.7e308, 1.0], 400)})
    boosted = HistGradientBoostingRegressor(max_iter=5)
    agree(_model(boosted, X, COIN * 1.0, tmp_path), boosted, X)


@pytest.mark.parametrize(
    "estimator",
    [BaggingRegressor(random_state=0), MLPRegressor(max_iter=30, random_state=0)],
    ids=["bagging", "network"],
)
def test_two_targets_at_once(estimator: Any, tmp_path: Path) -> None:
    X, y = data.diabetes()
    agree(_model(estimator, X, np.column_stack([y, -y]), tmp_path), estimator, X)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_networks(activation: str, loss: str, tmp_path: Path) -> None:
    X, y = data.diabetes()
    network = MLPRegressor(
        hidden_layer_sizes=(7, 5),
        activation=activation,
        loss=loss,
        max_iter=30,
        random_state=0,
    )
    agree(_model(network, X, y, tmp_path), network, X)


@pytest.mark.parametrize("before", [PCA(3), Normalizer()])
def test_trees_behind_columns_that_differ_in_the_last_bit(before: Any, tmp_path: Path) -> None:
    X, y = data.cancer()
    forest = make_pipeline(before, RandomForestClassifier(10, random_state=0))
    agree(_model(forest, X.iloc[:, :6], y, tmp_path), forest, X.iloc[:, :6])
    with pytest.raises(UnsupportedModel, match="split points may equal"):
        _model(make_pipeline(before, HistGradientBoostingClassifier(max_iter=3)), X, y, tmp_path)


def test_boosting_behind_products_that_agree_to_the_last_bit(tmp_path: Path) -> None:
    X, y = data.cancer()
    boosting = HistGradientBoostingClassifier(max_iter=5)
    model = make_pipeline(PolynomialFeatures(2), boosting)
    agree(_model(model, X.iloc[:, :4], y, tmp_path), model, X.iloc[:, :4])


def test_an_array_in_training_and_a_frame_as_sample(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": RNG.normal(size=400).astype(np.float32), "b": RNG.normal(size=400)})
    line = LogisticRegression().fit(frame.to_numpy(), COIN)
    assert _saved(line, frame, tmp_path).signature.names == ("a", "b")
    assert _saved(line, frame.convert_dtypes(), tmp_path).signature.names == ("a", "b")


def test_a_frame_with_numbers_for_names(tmp_path: Path) -> None:
    X, y = data.iris()
    unnamed = pd.DataFrame(X.to_numpy())
    tree = DecisionTreeClassifier(random_state=0)
    agree(_model(tree, unnamed, y, tmp_path), tree, unnamed)


def test_first_steps_that_know_nothing(tmp_path: Path) -> None:
    X, y = data.iris()
    pipeline = Pipeline([("p", "passthrough"), ("l", LogisticRegression(max_iter=500))])
    agree(_model(pipeline, X, y, tmp_path), pipeline, X)
    frozen = FrozenEstimator(LogisticRegression(max_iter=500).fit(X, y))
    agree(_saved(frozen, X, tmp_path), frozen, X)


def test_a_constant_column(tmp_path: Path) -> None:
    X, y = data.iris()
    X = X.assign(k=1.0)
    bayes = GaussianNB()
    agree(_model(bayes, X, y, tmp_path), bayes, X)


def test_small_nullable_integers(tmp_path: Path) -> None:
    X, y = data.iris()
    X = (X * 10).round().astype("Int8")
    line = LogisticRegression(max_iter=2000)
    model = _model(line, X, y, tmp_path)
    agree(model, line, X)
    assert model.manifest["parity"]["refused"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"X": [[1, 2], [3]]},
        {"y": 5},
        {"labels": 5},
        {"labels": [float("nan"), 1, 2]},
        {"features": 5},
        {"features": {"petal_width": 5}},
        {"metadata": 5},
        {"author": ["a"]},
        {"license": 5},
        {"name": "\ud800"},
        {"sample_rows": True},
        {"path": 5},
        {"path": "a\0b"},
        {"path": "x" * 300},
    ],
    ids=lambda options: str(options)[:24],
)
def test_arguments_of_another_kind(options: dict[str, Any], tmp_path: Path) -> None:
    X, y = data.iris()
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    given = {"path": tmp_path / "m.onnx", "X": X, **options}
    with pytest.raises(ExportError):
        onnxport.save(tree, **given)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_looks_like_a_blank_digest(tmp_path: Path) -> None:
    X, y = data.iris()
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    onnxport.save(tree, tmp_path / "m.onnx", X, name="0" * 64)
    assert onnxport.load(tmp_path / "m.onnx").manifest.name == "0" * 64
