"""Selection of columns: every selector, and recursive elimination as a step and as the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import feature_selection as fs
from sklearn.feature_selection import RFE, RFECV
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import RequestError
from tests.export import data

Tree = DecisionTreeClassifier


def _same(model: Any, X: Any, folder: Path) -> onnxport.Model:
    """Saves a fitted model, and compares its answers about X."""
    report = onnxport.save(model, folder / "m.onnx", X)
    assert report.parity.label_flips == 0
    loaded = onnxport.load(folder / "m.onnx")
    found = [answer["prediction"] for answer in loaded.predict(X)]
    expected = model.predict(X)
    if report.signature.classes:
        assert found == expected.tolist()
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    return loaded


@pytest.mark.parametrize(
    "selector",
    [
        fs.VarianceThreshold(0.2),
        fs.SelectKBest(fs.mutual_info_classif, k=4),
        fs.SelectPercentile(percentile=30),
        fs.SelectFpr(alpha=1e-9),
        fs.SelectFdr(alpha=1e-9),
        fs.SelectFwe(alpha=1e-9),
        fs.GenericUnivariateSelect(mode="k_best", param=5),
        fs.SelectFromModel(LogisticRegression(max_iter=2000), max_features=4),
        fs.SequentialFeatureSelector(
            Tree(max_depth=2, random_state=0), n_features_to_select=2, cv=2
        ),
        RFE(Tree(random_state=0), n_features_to_select=3),
        RFECV(Tree(max_depth=3, random_state=0), cv=2, step=4),
    ],
    ids=lambda s: type(s).__name__,
)
def test_selectors_before_a_tree(selector: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    model = make_pipeline(StandardScaler(), selector, Tree(max_depth=4, random_state=0)).fit(X, y)
    _same(model, X, tmp_path)


@pytest.mark.parametrize("last", [RFE, RFECV])
def test_elimination_as_the_model(last: type, tmp_path: Path) -> None:
    X, y = data.wine()
    model = last(LogisticRegression(max_iter=3000)).fit(StandardScaler().fit_transform(X), y)
    loaded = _same(model, StandardScaler().fit_transform(X), tmp_path)
    proba = [
        list(answer["probabilities"].values())
        for answer in loaded.predict(StandardScaler().fit_transform(X))
    ]
    expected = model.predict_proba(StandardScaler().fit_transform(X))
    np.testing.assert_allclose(proba, expected, atol=1e-9)


def test_elimination_of_a_regressor(tmp_path: Path) -> None:
    X, y = data.diabetes()
    _same(make_pipeline(StandardScaler(), RFE(Ridge())).fit(X, y), X, tmp_path)


def test_a_row_is_refused_for_a_column_that_is_not_chosen(tmp_path: Path) -> None:
    """The library checks all columns of an array before it chooses."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"kept": rng.random(80) + 1, "left": rng.random(80) + 1})
    y = 3 * X["kept"]
    model = make_pipeline(
        FunctionTransformer(np.log),
        FunctionTransformer(validate=False),
        fs.SelectKBest(fs.f_regression, k=1),
        Ridge(),
    ).fit(X, y)
    assert model[2].get_support().tolist() == [True, False]
    loaded = _same(model, X, tmp_path)
    with pytest.raises(RequestError):
        loaded.predict({"kept": 1.0, "left": 0.0})
    model.set_output(transform="pandas").fit(X, y)
    with np.errstate(all="ignore"):
        answer = model.predict(pd.DataFrame({"kept": [1.0], "left": [0.0]}))
        loaded = _same(model, X, tmp_path)
    assert loaded.predict({"kept": 1.0, "left": 0.0})["prediction"] == pytest.approx(answer[0])
