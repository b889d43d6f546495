"""What can't be saved says where, what, and what to do; and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.cluster import DBSCAN, FeatureAgglomeration
from sklearn.ensemble import (
    RandomForestClassifier,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import ExportError, UnsupportedModel
from tests.export import data


class Majority(ClassifierMixin, BaseEstimator):
    """A classifier of one's own."""

    def fit(self, X: Any, y: Any) -> Majority:
        self.classes_, self.counts_ = np.unique(y, return_counts=True)
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict(self, X: Any) -> Any:
        return np.repeat(self.classes_[self.counts_.argmax()], len(X))


class Halves(TransformerMixin, BaseEstimator):
    """A transformer of one's own, which learns nothing."""

    def fit(self, *_: Any) -> Halves:
        return self

    def transform(self, X: Any) -> Any:
        return X / 2


class MyForest(RandomForestClassifier):
    """A subclass may compute anything."""


def _fails(model: Any, path: Path, *args: Any, **options: Any) -> str:
    with pytest.raises(ExportError) as caught:
        onnxport.save(model, path, *args, **options)
    assert not path.exists()
    return str(caught.value)


def test_an_unknown_class(tmp_path: Path) -> None:
    X, y = data.iris()
    model = make_pipeline(StandardScaler(), Majority()).fit(X, y)
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X)
    error = caught.value
    assert (error.step, error.parameter) == ("majority", None)
    assert "Majority" in error.estimator
    assert "RandomForestClassifier" in error.nearest


def test_a_subclass_is_unknown(tmp_path: Path) -> None:
    X, y = data.iris()
    said = _fails(MyForest(3).fit(X, y), tmp_path / "m.onnx", X)
    assert "MyForest" in said
    assert "Use RandomForestClassifier itself" in said


@pytest.mark.parametrize(
    ("model", "step", "parameter", "nearest"),
    [
        (
            make_pipeline(FunctionTransformer(np.cumsum), Ridge()),
            "functiontransformer",
            "func",
            "before calling the model",
        ),
        (
            Pipeline(
                [("deep", Pipeline([("in", FunctionTransformer(np.cumsum))])), ("end", Ridge())]
            ),
            "deep.in",
            "func",
            "before calling the model",
        ),
    ],
    ids=["func", "nested"],
)
def test_a_parameter(model: Any, step: str, parameter: str, nearest: str, tmp_path: Path) -> None:
    X, y = data.diabetes()
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model.fit(X.abs(), y), tmp_path / "m.onnx", X.abs())
    assert (caught.value.step, caught.value.parameter) == (step, parameter)
    assert nearest in caught.value.nearest
    assert parameter in str(caught.value)


def test_what_is_no_predictor(tmp_path: Path) -> None:
    X, _ = data.iris()
    assert "is a class; pass a fitted object" in _fails(Ridge, tmp_path / "m.onnx", X)
    assert "no estimator that can be saved" in _fails({"a": 1}, tmp_path / "m.onnx", X)
    assert "not fitted; call fit" in _fails(Ridge(), tmp_path / "m.onnx", X)
    assert "has no predict for new ones. Use KMeans" in _fails(
        DBSCAN().fit(X), tmp_path / "m.onnx", X
    )
    assert "no predict for new rows. Set novelty=True" in _fails(
        LocalOutlierFactor().fit(X), tmp_path / "m.onnx", X
    )
    for model, said in (
        (NearestNeighbors(), "Use KNeighborsClassifier or KNeighborsRegressor"),
        (KernelDensity(), "neither predict nor transform. Use GaussianMixture"),
        (FeatureAgglomeration(), "Use PCA, or SelectKBest"),
        (make_pipeline("passthrough"), "no step that computes anything; save a fitted estimator"),
    ):
        assert said in _fails(model.fit(X), tmp_path / "m.onnx", X)
    assert "DictVectorizer: it takes dicts" in _fails(DictVectorizer(), tmp_path / "m.onnx")
    assert "model= is a path; load the estimator" in _fails("m.joblib", tmp_path / "m.onnx", X)


def test_a_part_that_is_not_ready(tmp_path: Path) -> None:
    X, y = data.iris()
    half = make_pipeline(StandardScaler(), RandomForestClassifier(2).fit(X, y))
    assert "step 'standardscaler' (StandardScaler) is not fitted; call fit" in _fails(
        half, tmp_path / "m.onnx", X
    )
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [2]}, cv=2, refit=False)
    inner = make_pipeline(StandardScaler(), search).fit(X, y)
    assert "step 'gridsearchcv' (GridSearchCV) was fitted with refit=False" in _fails(
        inner, tmp_path / "m.onnx", X
    )


def test_what_is_not_scikit_learns_own(tmp_path: Path) -> None:
    X, y = data.iris()
    said = _fails(make_pipeline(Halves(), StandardScaler()).fit(X, y), tmp_path / "m.onnx", X)
    assert said.startswith(
        "step 'halves' (Halves): only classes of scikit-learn, XGBoost, LightGBM and CatBoost convert"
    )
    assert "Compute its columns before calling the model" in said
    svc = SVC(kernel=lambda a, b: a @ b.T).fit(X.to_numpy(), y)
    assert "SVC, parameter kernel: only the built-in kernels" in _fails(
        svc, tmp_path / "m.onnx", X.to_numpy()
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X: X.drop(columns="petal_width"), "X lacks the column 'petal_width'"),
        (lambda X: X.assign(extra=1), "X has the column 'extra'"),
        (lambda X: X.head(0), "X has no rows"),
        (lambda X: X.to_numpy()[:, :3], "X has 3 columns, and the estimator was fitted on 4"),
        (lambda X: X.to_numpy()[0], "X has shape (4,)"),
        (lambda X: X.to_dict("records"), "X is a list of dicts; pass pandas.DataFrame(X)"),
        (lambda _: "iris.csv", "X is of type str; pass a DataFrame"),
        (lambda X: X.assign(petal_width=pd.Timestamp(0)), "'petal_width' has the datatype"),
        (lambda X: X.assign(petal_width=["a", 1] * 75), "'petal_width' holds int, str"),
        (lambda X: X.assign(petal_width="wide"), "it gets string columns"),
    ],
    ids=[
        "missing",
        "extra",
        "empty",
        "narrow",
        "row",
        "dicts",
        "path",
        "dates",
        "types",
        "strings",
    ],
)
def test_a_sample_that_does_not_fit(change: Any, said: str, tmp_path: Path) -> None:
    X, y = data.iris()
    model = RandomForestClassifier(3, random_state=0).fit(X, y)
    assert said in _fails(model, tmp_path / "m.onnx", change(X))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": ["a", "b"]}, "labels= must have 3 entries"),
        ({"labels": ["a", "a", "b"]}, "two classes would have the label 'a'"),
        ({"labels": {"lilac": "x"}}, "names the class 'lilac'"),
        ({"features": ["a", "b", "c", "d"]}, "the estimator has names of its own"),
        ({"features": {"petal": {"unit": "cm"}}}, "there is no feature 'petal'; did you mean"),
        ({"features": {"petal_width": {"units": "cm"}}}, "takes description and unit"),
        ({"redact": ["nothing"]}, "there is no feature 'nothing'"),
        ({"metadata": {"a": {1, 2}}}, "metadata= must be JSON"),
        ({"metadata": {"a": float("nan")}}, "metadata= must be JSON"),
        ({"y": [1, 2]}, "y has 2 entries, and X has 150 rows"),
        ({"y": "species"}, "y is of type str; pass the targets"),
        ({"y": ["rose"] * 150}, "y holds 'rose' and none of the classes"),
        ({"redact": "petal_width"}, "redact= takes a list of features; pass ['petal_width']"),
        ({"progress": True}, "progress= takes a function"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_options_that_do_not_fit(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    X, y = data.iris()
    model = RandomForestClassifier(3, random_state=0).fit(X, y)
    assert said in _fails(model, tmp_path / "m.onnx", X, **options)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    X, y = data.iris()
    model = RandomForestClassifier(3, random_state=0).fit(X, y)
    with pytest.raises(ExportError, match="is a folder"):
        onnxport.save(model, tmp_path, X)
    with pytest.raises(ExportError, match="save takes the estimator first, then a path"):
        onnxport.save("m.onnx", model, X)
    assert "create it first" in _fails(model, tmp_path / "no" / "m.onnx", X)


def test_one_class_only(tmp_path: Path) -> None:
    X, _ = data.iris()
    model = DecisionTreeClassifier().fit(X, ["a"] * len(X))
    assert "one class only" in _fails(model, tmp_path / "m.onnx", X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_of_2_gb(tmp_path: Path) -> None:
    X, y = data.iris()
    model = MLPClassifier((2, 2), max_iter=1).fit(X, y)
    wide = 17_000  # empty pages: nothing is allocated until somebody reads them
    model.coefs_ = [np.zeros((4, wide)), np.zeros((wide, wide)), np.zeros((wide, 3))]
    model.intercepts_ = [np.zeros(wide), np.zeros(wide), np.zeros(3)]
    assert "more than the 2 GB that an ONNX file can hold" in _fails(model, tmp_path / "m.onnx", X)
