"""Estimators around estimators: votes, codes, thresholds, searches and transformed targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import ExportError, UnsupportedModel
from tests.export import data
from tests.export.test_estimators import _prove

assert enable_halving_search_cv  # what an experiment asks for
LINE = LinearSVC(random_state=0)
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
FOREST = RandomForestClassifier(8, max_depth=3, random_state=0)
SCALED = make_pipeline(StandardScaler(), LogisticRegression())


def _name(case: Any) -> str:
    return type(case).__name__


@pytest.mark.parametrize("inner", [LINE, TREE, SCALED, FOREST], ids=_name)
@pytest.mark.parametrize(
    "around",
    [OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier],
    ids=lambda c: c.__name__,
)
def test_many_classes(around: Any, inner: Any, tmp_path: Path) -> None:
    options = {"random_state": 0} if around is OutputCodeClassifier else {}
    _prove(around(inner, **options), *data.wine(), tmp_path)


@pytest.mark.parametrize("inner", [LINE, TREE], ids=_name)
@pytest.mark.parametrize("around", [OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier])
def test_two_classes(around: Any, inner: Any, tmp_path: Path) -> None:
    options = {"random_state": 0} if around is OutputCodeClassifier else {}
    _prove(around(inner, **options), *data.cancer(), tmp_path)


@pytest.mark.parametrize("make", [data.wine, data.cancer], ids=["three", "two"])
@pytest.mark.parametrize("around", [OneVsOneClassifier, OneVsRestClassifier])
def test_regressors_that_vote(around: Any, make: Callable[[], data.Data], tmp_path: Path) -> None:
    _prove(around(Ridge()), *make(), tmp_path)


def test_ten_classes_vote(tmp_path: Path) -> None:
    _prove(OneVsOneClassifier(TREE), *data.digits(), tmp_path)


@pytest.mark.parametrize(
    ("inner", "options"),
    [
        (SCALED, {}),
        (FOREST, {"threshold": 0.3}),
        (FOREST, {"threshold": 0.625, "pos_label": False}),
        (GaussianNB(), {"threshold": 0.9, "response_method": "predict_proba"}),
    ],
)
def test_fixed_thresholds(inner: Any, options: dict[str, Any], tmp_path: Path) -> None:
    _prove(FixedThresholdClassifier(inner, **options), *data.cancer(), tmp_path)


def test_trees_exactly_on_a_threshold(tmp_path: Path) -> None:
    trees = RandomForestClassifier(8, random_state=0)  # pure leaves: eighths
    _prove(FixedThresholdClassifier(trees, threshold=0.625), *data.cancer(), tmp_path)


@pytest.mark.parametrize("positive", [None, True, False])
def test_fixed_thresholds_of_decisions(positive: Any, tmp_path: Path) -> None:
    model = FixedThresholdClassifier(LINE, threshold=0.25, pos_label=positive)
    _prove(model, *data.cancer(), tmp_path)


@pytest.mark.parametrize("inner", [SCALED, FOREST, LINE], ids=_name)
def test_tuned_thresholds(inner: Any, tmp_path: Path) -> None:
    _prove(TunedThresholdClassifierCV(inner, cv=2, thresholds=20), *data.cancer(), tmp_path)


@pytest.mark.parametrize("positive", ["yes", "no"])
def test_tuned_thresholds_of_strings(positive: str, tmp_path: Path) -> None:
    X, y = data.cancer()
    scoring = make_scorer(f1_score, pos_label=positive)
    model = TunedThresholdClassifierCV(TREE, scoring=scoring, cv=2, thresholds=20)
    _prove(model, X, np.where(y, "yes", "no").astype(object), tmp_path)


def test_searches_by_halves(tmp_path: Path) -> None:
    grid: dict[str, Any] = {"C": [0.1, 1]}
    line = LogisticRegression(max_iter=300)
    _prove(HalvingGridSearchCV(line, grid, min_resources=60), *data.wine(), tmp_path)
    search = HalvingRandomSearchCV(line, grid, n_candidates=2, min_resources=60, random_state=0)
    _prove(search, *data.cancer(), tmp_path)


def test_a_search_that_keeps_no_estimator(tmp_path: Path) -> None:
    X, y = data.iris()
    search = GridSearchCV(TREE, {"max_depth": [2, 3]}, refit=False).fit(X, y)
    with pytest.raises(ExportError, match="refit=False and keeps no fitted estimator; set refit="):
        onnxport.save(search, tmp_path / "m.onnx", X)


def test_self_training(tmp_path: Path) -> None:
    X, y = data.cancer()
    labels = np.where(np.arange(len(X)) % 3 == 0, -1, y.astype(int))
    _prove(SelfTrainingClassifier(SCALED), X, labels, tmp_path)


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        MinMaxScaler((-1, 2)),
        MaxAbsScaler(),
        RobustScaler(),
        RobustScaler(with_centering=False),
        PowerTransformer(),
        PowerTransformer(standardize=False),
        PowerTransformer("box-cox"),
        QuantileTransformer(n_quantiles=100),
        QuantileTransformer(n_quantiles=50, output_distribution="normal"),
        make_pipeline(FunctionTransformer(np.log1p, np.expm1), StandardScaler()),
    ],
    ids=str,
)
def test_targets_transformed(transformer: Any, tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = TransformedTargetRegressor(Ridge(0.01), transformer=transformer, check_inverse=False)
    _prove(model, X, y, tmp_path)


@pytest.mark.parametrize(
    ("func", "inverse"),
    [(np.log1p, np.expm1), (np.log, np.exp), (np.log2, np.exp2), (np.sqrt, np.square)],
)
def test_targets_under_a_function(func: Any, inverse: Any, tmp_path: Path) -> None:
    model = TransformedTargetRegressor(LinearRegression(), func=func, inverse_func=inverse)
    _prove(model, *data.diabetes(), tmp_path)


@pytest.mark.parametrize("transformer", [PowerTransformer(), QuantileTransformer(n_quantiles=50)])
def test_two_targets_transformed(transformer: Any, tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = TransformedTargetRegressor(Ridge(0.01), transformer=transformer, check_inverse=False)
    _prove(model, X, np.column_stack([y, y**2]), tmp_path)


@pytest.mark.parametrize(
    ("options", "parameter", "nearest"),
    [
        ({"func": np.tanh, "inverse_func": lambda y: y}, "inverse_func", "of numpy's itself"),
        (
            {"transformer": KBinsDiscretizer(5, encode="ordinal")},
            "transformer",
            "Use StandardScaler",
        ),
    ],
    ids=["lambda", "bins"],
)
def test_inverses_that_are_refused(
    options: dict[str, Any], parameter: str, nearest: str, tmp_path: Path
) -> None:
    X, y = data.diabetes()
    model = TransformedTargetRegressor(Ridge(), check_inverse=False, **options).fit(X, y)
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X)
    assert caught.value.parameter == parameter
    assert nearest in caught.value.nearest


@pytest.mark.parametrize(
    "last",
    [TREE, FOREST, HistGradientBoostingClassifier(max_iter=5, random_state=0)],
    ids=_name,
)
def test_trees_behind_lines(last: Any, tmp_path: Path) -> None:
    """The last bits of the members' answers decide on which side of a split a row falls."""
    members = [("line", SCALED), ("bayes", GaussianNB())]
    _prove(StackingClassifier(members, final_estimator=last, cv=2), *data.cancer(), tmp_path)


def test_labels_as_numbers(tmp_path: Path) -> None:
    members = [("line", LINE), ("tree", TREE)]
    model = StackingClassifier(members, cv=2, stack_method="predict")
    _prove(model, *data.cancer(), tmp_path)


@pytest.mark.parametrize("labels", [[5, 8, 11], [-1, 0, 1], [2.0, 3.0, 4.5]], ids=str)
def test_labels_that_are_no_codes(labels: list[Any], tmp_path: Path) -> None:
    X, y = data.wine()
    y = np.array(labels)[np.unique(y, return_inverse=True)[1]]
    members = [("line", SCALED), ("tree", TREE), ("bayes", GaussianNB())]
    if isinstance(labels[0], float):  # scikit-learn takes 4.5 for a number
        y = np.floor(y)
    _prove(VotingClassifier(members), X, y, tmp_path)
    _prove(OneVsOneClassifier(TREE), X, y, tmp_path)


def test_members_that_vote_with_their_own_labels(tmp_path: Path) -> None:
    X, y = data.wine()
    y = np.unique(y, return_inverse=True)[1] * 2
    members = [(str(i), FrozenEstimator(TREE.fit(X, y))) for i in range(2)]
    model = VotingClassifier(members).fit(X, y)
    first = X[y == 0]  # the library answers these only
    with pytest.raises(ExportError, match="labels"):
        onnxport.save(model, tmp_path / "m.onnx", first)
