"""Small predictors: dummies, naive Bayes, partial least squares, linear models with their own links."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import linear_model
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import onnxport
from onnxport.errors import UnsupportedModel, ValidationError
from tests.export import data
from tests.export.test_estimators import _prove


def _name(case: Any) -> str:
    return str(case)


@pytest.mark.parametrize(
    "model",
    [
        DummyClassifier(),
        DummyClassifier(strategy="most_frequent"),
        DummyClassifier(strategy="constant", constant="b"),
    ],
    ids=_name,
)
def test_dummy_classifiers(model: Any, tmp_path: Path) -> None:
    _prove(model, *data.wine(), tmp_path)


@pytest.mark.parametrize("strategy", ["uniform", "stratified"])
def test_answers_at_random_are_refused(strategy: str, tmp_path: Path) -> None:
    X, y = data.iris()
    with pytest.raises(UnsupportedModel, match=r"answers at random.*strategy='prior'"):
        onnxport.save(DummyClassifier(strategy=strategy).fit(X, y), tmp_path / "m.onnx", X)


@pytest.mark.parametrize(
    "model",
    [
        DummyRegressor(),
        DummyRegressor(strategy="quantile", quantile=0.3),
        DummyRegressor(strategy="constant", constant=3),
    ],
    ids=_name,
)
def test_dummy_regressors(model: Any, tmp_path: Path) -> None:
    _prove(model, *data.diabetes(), tmp_path)


def test_dummies_of_strings_and_of_two_targets(tmp_path: Path) -> None:
    _prove(DummyClassifier(), *data.mixed(), tmp_path)
    X, y = data.diabetes()
    _prove(DummyRegressor(strategy="median"), X, np.column_stack([y, -y]), tmp_path)


def test_a_dummy_of_two_labels(tmp_path: Path) -> None:
    X, y = data.iris()
    both = np.column_stack([y, np.where(y == "setosa", "s", "other")])
    model = DummyClassifier(strategy="most_frequent").fit(X, both)
    onnxport.save(model, tmp_path / "m.onnx", X)
    answer = onnxport.load(tmp_path / "m.onnx").predict(X.iloc[0].to_dict())
    assert list(answer["prediction"]) == model.predict(X.head(1))[0].tolist()


def _binned() -> tuple[pd.DataFrame, Any]:
    X, y = data.wine()
    return X.apply(lambda column: pd.qcut(column, 4, labels=False)), y


@pytest.mark.parametrize(
    "model",
    [
        CategoricalNB(min_categories=5),
        CategoricalNB(alpha=0.1, fit_prior=False, min_categories=[4] * 13),
        CategoricalNB(class_prior=[0.5, 0.2, 0.3], min_categories=4),
    ],
    ids=_name,
)
def test_categories_by_number(model: Any, tmp_path: Path) -> None:
    _prove(model, *_binned(), tmp_path)


def test_categories_that_were_never_seen_are_refused(tmp_path: Path) -> None:
    X, y = _binned()
    model = CategoricalNB().fit(X, y)
    report = onnxport.save(model, tmp_path / "m.onnx", X)
    assert report.signature.features[0].categories == (0, 1, 2, 3)
    loaded = onnxport.load(tmp_path / "m.onnx")
    for code in (-1, 4):
        with pytest.raises(ValidationError):
            loaded.predict(X.iloc[0].to_dict() | {"ash": code})


@pytest.mark.parametrize(
    "encoder",
    [OrdinalEncoder(), OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)],
    ids=["error", "value"],
)
def test_categories_by_name(encoder: Any, tmp_path: Path) -> None:
    columns = ColumnTransformer([("names", encoder, ["city", "class"])])
    _prove(make_pipeline(columns, CategoricalNB()), *data.mixed(), tmp_path)


def test_categories_are_cut_to_integers(tmp_path: Path) -> None:
    X, y = _binned()
    X = X + 0.75
    model = CategoricalNB().fit(X, y)
    onnxport.save(model, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    assert [answer["prediction"] for answer in answers] == model.predict(X).tolist()


@pytest.mark.parametrize(
    "model",
    [
        GaussianNB(priors=[0.5, 0.25, 0.25]),
        MultinomialNB(fit_prior=False),
        ComplementNB(norm=True),
        BernoulliNB(binarize=1.0, class_prior=[0.2, 0.3, 0.5]),
    ],
    ids=_name,
)
def test_bayes_in_batches(model: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    for half in (slice(0, None, 2), slice(1, None, 2)):
        model.partial_fit(X[half], y[half], classes=["a", "b", "c"])
    onnxport.save(model, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    proba = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("binarize", [0.1, None])
def test_bernoulli_on_float32(binarize: float | None, tmp_path: Path) -> None:
    """The threshold is compared as a float32, from which 0.1 differs."""
    X, y = data.wine()
    tenths = (X.to_numpy() % 0.3).round(1).astype(np.float32)
    bits = tenths if binarize else (tenths > 0.15).astype(np.float32)
    _prove(BernoulliNB(binarize=binarize), bits, y, tmp_path)


@pytest.mark.parametrize("model", [MultinomialNB, BernoulliNB, CategoricalNB])
def test_bayes_without_smoothing_is_refused(model: Any, tmp_path: Path) -> None:
    X, y = data.digits()
    options = {"min_categories": 17} if model is CategoricalNB else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = model(alpha=0, **options).fit(X.astype(int), y)
    with pytest.raises(UnsupportedModel, match="Set alpha > 0"):
        onnxport.save(fitted, tmp_path / "m.onnx", X.astype(int))


@pytest.mark.parametrize("model", [PLSRegression(3), PLSCanonical(1), CCA(1)], ids=_name)
def test_partial_least_squares(model: Any, tmp_path: Path) -> None:
    X, y = data.diabetes()
    _prove(model, X, y, tmp_path)
    _prove(model, X.to_numpy(np.float32), y, tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        PLSRegression(2),
        linear_model.MultiTaskLassoCV(cv=3),
        linear_model.MultiTaskElasticNetCV(cv=3),
    ],
    ids=_name,
)
def test_two_targets(model: Any, tmp_path: Path) -> None:
    X, y = data.diabetes()
    _prove(model, X, np.column_stack([y, -y]), tmp_path)


@pytest.mark.parametrize(
    ("power", "link"),
    [(0, "log"), (1, "auto"), (2, "identity"), (3, "auto"), (-1, "log")],
)
def test_tweedie(power: float, link: Any, tmp_path: Path) -> None:
    model = linear_model.TweedieRegressor(power=power, link=link, max_iter=1000)
    _prove(model, *data.diabetes(), tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        linear_model.TheilSenRegressor(random_state=0, max_subpopulation=100),
        linear_model.QuantileRegressor(quantile=0.3, alpha=0.01),
        linear_model.ARDRegression(),
        linear_model.RANSACRegressor(linear_model.Ridge(), min_samples=50, random_state=0),
    ],
    ids=_name,
)
def test_regressors(model: Any, tmp_path: Path) -> None:
    _prove(model, *data.diabetes(), tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        linear_model.LogisticRegressionCV(cv=2, max_iter=100, scoring="neg_log_loss"),
        linear_model.RidgeClassifierCV(),
        linear_model.SGDClassifier(loss="squared_hinge", random_state=0),
    ],
    ids=_name,
)
def test_linear_classifiers(model: Any, tmp_path: Path) -> None:
    _prove(model, *data.wine(), tmp_path)


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_scores_that_leave_no_probability(loss: str, tmp_path: Path) -> None:
    """Where every class's share is 0, the library answers evenly."""
    X, y = data.iris()
    model = linear_model.SGDClassifier(loss=loss, random_state=0).fit(X, y)
    model.intercept_ -= 1e4
    onnxport.save(model, tmp_path / "m.onnx", X)
    answer = onnxport.load(tmp_path / "m.onnx").predict(X.iloc[0].to_dict())
    assert list(answer["probabilities"].values()) == pytest.approx([1 / 3] * 3)
    assert answer["prediction"] == model.predict(X.head(1))[0]
