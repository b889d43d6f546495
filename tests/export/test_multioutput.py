"""Several targets at once: labels and probabilities of each, in the order of the targets, against the estimator."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import onnxport
from onnxport.errors import ExportError, ParityError
from onnxport.export import registry
from onnxport.export.emitters import linear
from tests.export import data
from tests.export.answering import expected_answers, same


@cache
def flowers() -> data.Data:
    """Iris with two targets of strings: three species, two sizes."""
    X, y = data.iris()
    size = np.where(X["sepal_length"] + X["petal_width"] > 7, "big", "small")
    return X, pd.DataFrame({"species": y, "size": size})


@cache
def labels(dtype: str = "int64") -> data.Data:
    """Breast cancer as three labels that overlap."""
    X, y = data.cancer()
    X = X.iloc[:, :4]
    wide, rough = X["mean radius"] > 14, X["mean texture"] + X["mean radius"] > 33
    return X, np.column_stack([~y, wide, rough]).astype(dtype)


@cache
def numbers() -> data.Data:
    X, y = data.diabetes()
    noise = np.random.default_rng(2).normal(0, 30, (len(X), 2))
    return X, np.column_stack([y, 200 * X["bmi"], 3 * y - 900 * X["s5"]]) + np.pad(
        noise, ((0, 0), (1, 0))
    )


def prove(estimator: Any, X: Any, y: Any, folder: Path) -> onnxport.Model:
    """Fits on half, saves, and compares every answer to the other half."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X[::2], y[::2])
        report = onnxport.save(estimator, folder / "m.onnx", X[::2], y[::2])
    assert report.parity.rows > 2000
    model = onnxport.load(folder / "m.onnx")
    for wanted, got in zip(
        expected_answers(estimator, X[1::2]), model.predict(X[1::2]), strict=True
    ):
        assert same(wanted, got)
    return model


scaled = make_pipeline(StandardScaler(), LogisticRegression())


@pytest.mark.parametrize(
    "estimator",
    [
        MultiOutputClassifier(LogisticRegression(max_iter=2000)),
        MultiOutputClassifier(LinearSVC()),
        MultiOutputClassifier(DecisionTreeClassifier(max_depth=4)),
        MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=5)),
        make_pipeline(StandardScaler(), MultiOutputClassifier(GaussianNB())),
        GridSearchCV(MultiOutputClassifier(scaled), {"estimator__logisticregression__C": [0.1, 1]}),
    ],
    ids=["linear", "svc", "tree", "histogram", "pipeline", "search"],
)
def test_classifiers_of_two_targets_of_strings(estimator: Any, tmp_path: Path) -> None:
    X, y = flowers()
    model = prove(estimator, X, y, tmp_path)
    assert model.signature.task == "multioutput_classification"
    assert model.signature.target_classes == (
        ("setosa", "versicolor", "virginica"),
        ("big", "small"),
    )
    assert model.signature.targets == ("species", "size")
    assert 0.8 < model.manifest["training"]["metrics"]["subset_accuracy"] <= 1


@pytest.mark.parametrize(
    "estimator",
    [
        MultiOutputClassifier(scaled),
        ClassifierChain(scaled),
        ClassifierChain(scaled, order=[2, 0, 1], chain_method="predict_proba"),
        ClassifierChain(scaled, order="random", random_state=3, chain_method="decision_function"),
        ClassifierChain(scaled, chain_method="predict_log_proba", cv=3),
        ClassifierChain(LinearSVC()),
        ClassifierChain(DecisionTreeClassifier(max_depth=4), chain_method="predict_proba"),
        make_pipeline(StandardScaler(), ClassifierChain(GaussianNB(), order=(1, 0, 2))),
        OneVsRestClassifier(scaled),
        OneVsRestClassifier(LinearSVC()),
        OneVsRestClassifier(DecisionTreeClassifier(max_depth=4)),
        make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=60, random_state=0)),
        RidgeClassifier(),
        RidgeClassifierCV(),
    ],
    ids=lambda e: type(getattr(e, "estimator", e)).__name__,
)
def test_classifiers_of_three_labels(estimator: Any, tmp_path: Path) -> None:
    model = prove(estimator, *labels(), tmp_path)
    assert len(model.predict(labels()[0].head(1))[0]["prediction"]) == 3


@pytest.mark.parametrize("dtype", ["bool", "float64"])
@pytest.mark.parametrize("make", [MultiOutputClassifier, ClassifierChain, OneVsRestClassifier])
def test_labels_keep_the_type_of_predict(make: Any, dtype: str, tmp_path: Path) -> None:
    prove(make(GaussianNB()), *labels(dtype), tmp_path)


def test_a_chain_of_more_than_two_classes(tmp_path: Path) -> None:
    """It has no probabilities that anybody could ask for, and its labels are floats."""
    X, y = flowers()
    codes = np.column_stack([pd.factorize(y[name])[0] for name in y])
    estimator = ClassifierChain(DecisionTreeClassifier(max_depth=3), order=[1, 0])
    estimator.fit(X, codes)
    onnxport.save(estimator, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    assert answers == [{"prediction": row} for row in estimator.predict(X).tolist()]


@pytest.mark.parametrize(
    "column", [(0, 0), (2, 0), (0, 1), (1, 1)], ids=["first-0", "last-0", "first-1", "middle-1"]
)
@pytest.mark.parametrize("base", [LogisticRegression(), GaussianNB(), LinearSVC()])
def test_one_vs_rest_with_a_constant_label(base: Any, column: Any, tmp_path: Path) -> None:
    """A first label that is constant moves the threshold of all others, as the library has it."""
    X, y = labels()
    y = y.copy()
    y[:, column[0]] = column[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = make_pipeline(StandardScaler(), OneVsRestClassifier(base)).fit(X, y)
    onnxport.save(estimator, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    assert [answer["prediction"] for answer in answers] == estimator.predict(X).tolist()
    assert ("probabilities" in answers[0]) is (not isinstance(base, LinearSVC))


@pytest.mark.parametrize(
    "estimator",
    [
        MultiOutputRegressor(Ridge()),
        MultiOutputRegressor(GradientBoostingRegressor(n_estimators=8)),
        RegressorChain(LinearRegression()),
        RegressorChain(DecisionTreeRegressor(max_depth=5), order=[2, 0, 1]),
        make_pipeline(StandardScaler(), RegressorChain(Ridge(), order="random", random_state=1)),
        GridSearchCV(MultiOutputRegressor(Ridge()), {"estimator__alpha": [0.1, 1]}),
    ],
    ids=lambda e: type(getattr(e, "estimator", e)).__name__,
)
def test_regressors_of_three_targets(estimator: Any, tmp_path: Path) -> None:
    model = prove(estimator, *numbers(), tmp_path)
    assert model.signature.targets == ("y0", "y1", "y2")


def test_members_that_choose_their_own_columns(tmp_path: Path) -> None:
    """A column that no member reads isn't asked for; strings and numbers stand side by side."""
    X, y = data.mixed()
    names = list(X.columns)
    numeric = [name for name in names if X[name].dtype.kind in "if"][:2]
    steps = ColumnTransformer(
        [("n", StandardScaler(), numeric), ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    )
    targets = pd.DataFrame(
        {"y": y, "size": np.where(X[numeric[0]].rank() > len(X) / 2, "high", "low")}
    )
    estimator = MultiOutputClassifier(make_pipeline(steps, LogisticRegression()))
    model = prove(estimator, X.fillna({numeric[0]: 0, numeric[1]: 0}), targets, tmp_path)
    assert set(model.signature.names) == {*numeric, "city"}
    onnxport.save(estimator, tmp_path / "without.onnx")


def test_labels_for_each_target(tmp_path: Path) -> None:
    X, y = flowers()
    estimator = MultiOutputClassifier(GaussianNB()).fit(X, y)
    renamed: list[Any] = [None, {"big": "large"}]
    onnxport.save(estimator, tmp_path / "m.onnx", X, labels=renamed)
    answer = onnxport.load(tmp_path / "m.onnx").predict(X.tail(1))[0]
    assert answer["prediction"] == ["virginica", "large"]
    assert list(answer["probabilities"][1]) == ["large", "small"]
    for wrong, said in (
        ({"big": 1}, "one entry for each of the 2 targets"),
        ([None], "must have 2 entries"),
        ([None, ["a"]], "must have 2 entries, one for each of ['big', 'small']"),
        ([None, ["a", "a"]], "two classes would have the label 'a'"),
    ):
        with pytest.raises(ExportError) as caught:
            onnxport.save(estimator, tmp_path / "n.onnx", X, labels=wrong)
        assert said in str(caught.value)


def test_targets_given_as_a_list(tmp_path: Path) -> None:
    X, y = flowers()
    as_list = y.to_numpy().tolist()
    estimator = MultiOutputClassifier(GaussianNB()).fit(X, as_list)
    report = onnxport.save(estimator, tmp_path / "m.onnx", X, as_list)
    assert report.signature.targets == ("y0", "y1")
    assert report.manifest["training"]["metrics"]["subset_accuracy"] > 0.8
    with pytest.raises(ExportError, match="y doesn't fit the estimator"):
        onnxport.save(estimator, tmp_path / "m.onnx", X, y["size"])


def test_one_target_is_no_list(tmp_path: Path) -> None:
    X, y = flowers()
    model = prove(MultiOutputClassifier(GaussianNB()), X, y[["species"]], tmp_path)
    assert model.signature.task == "multiclass_classification"


class Stubborn(LogisticRegression):
    """Says the other label where petals are wide, whatever its probabilities are."""

    def predict(self, X: Any) -> Any:
        said = super().predict(X)
        return np.where(np.asarray(X)[:, 3] > 1.5, self.classes_[0], said)


def test_a_target_that_ties_excuses_no_other(tmp_path: Path) -> None:
    """The size hangs on rounding in every row; the species that the graph gets wrong is a flip."""
    X, y = flowers()
    estimator = MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(X, y)
    estimator.estimators_[1].coef_[:] = [[1e-17, -1e-17, 1e-17, -1e-17]]
    estimator.estimators_[1].intercept_[:] = 0.0
    assert onnxport.save(estimator, tmp_path / "m.onnx", X).parity.label_flips == 0
    estimator.estimators_[0].__class__ = Stubborn
    registry.emits(Stubborn)(linear.emit_logistic)
    try:
        with pytest.raises(ParityError, match="petal_width") as caught:
            onnxport.save(estimator, tmp_path / "n.onnx", X)
    finally:
        del registry.RULES[Stubborn]
    assert "the estimator says ['setosa', " in str(caught.value)
