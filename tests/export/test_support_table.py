"""The support table says the truth: each class in it is saved here, and no public class is missing."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import NMF, PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import VotingRegressor
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import KernelCenterer, MaxAbsScaler, MinMaxScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import all_estimators

import onnxport
from onnxport.errors import UnsupportedModel
from onnxport.export import support
from onnxport.export.emitters import RULES
from onnxport.export.libraries import LIBRARIES, library_of, load_installed
from onnxport.export.registry import TRANSFORMS
from onnxport.export.unsupported import UNSUPPORTED
from tests.export import data

LINE = LogisticRegression(max_iter=500)
# Small settings, for every class that has such a parameter.
SMALL = {"n_estimators": 4, "max_iter": 500, "random_state": 0, "n_components": 2, "cv": 3}
# What stands for the parameters without which a class can't be made.
PARTS: dict[str, Any] = {
    "estimator": LINE,
    "estimators": [("line", LINE), ("other", LogisticRegression(C=0.1, max_iter=500))],
    "param_grid": {"C": [0.1, 1.0]},
    "param_distributions": {"C": [0.1, 1.0]},
    "steps": [("scaler", MinMaxScaler()), ("end", LINE)],
    "transformer_list": [("a", MinMaxScaler()), ("b", PCA(2))],
    "transformers": [("a", MinMaxScaler(), [0, 1]), ("b", PCA(1), [2, 3])],
}
REGRESSORS = {
    "estimator": Ridge(),
    "estimators": [("line", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3))],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "CCA": {"n_components": 1},
    "GaussianProcessRegressor": {"alpha": 0.1},  # else its own answer hangs on rounding
    "LocalOutlierFactor": {"novelty": True},
    "MissingIndicator": {"features": "all"},
    "KNNImputer": {"n_neighbors": 150},  # all of them: no two irises are too much alike
    "OrthogonalMatchingPursuitCV": {"max_iter": 2},
    "PLSCanonical": {"n_components": 1},
    "RadiusNeighborsClassifier": {"radius": 4.0},  # few rows are refused, each by itself
    "RandomizedSearchCV": {"n_iter": 2},
    "SelfTrainingClassifier": {"estimator": LINE},
}
# Their fit_transform gives a pair or their fit takes several targets: they stand in a pipeline as
# they were fitted before.
LATENT = {"CCA", "PLSCanonical", "PLSRegression", "PLSSVD"}
# What each of these must be fitted on, for the test to be fair.
SEVERAL_NUMBERS = {"MultiOutputRegressor", "RegressorChain"}
SEVERAL_NUMBERS |= {
    f"MultiTask{name}" for name in ("ElasticNet", "ElasticNetCV", "Lasso", "LassoCV")
}
SEVERAL_LABELS = {"ClassifierChain", "MultiOutputClassifier"}
TWO_CLASSES = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}
ONE_COLUMN = {"IsotonicRegression"}
TEXT = {"CountVectorizer", "TfidfVectorizer"}


def _made(kind: type) -> Any:
    """A small estimator of a class."""
    if kind is FrozenEstimator:
        return kind(LINE.fit(*data.iris()))
    if kind is KernelCenterer:
        return make_pipeline(Nystroem(n_components=150), kind())
    known = inspect.signature(kind).parameters
    parts = PARTS | (REGRESSORS if issubclass(kind, RegressorMixin) else {})
    needed = {n: parts[n] for n, p in known.items() if p.default is p.empty and n in parts}
    small = {name: value for name, value in SMALL.items() if name in known}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of classes that scikit-learn retires
        return kind(**{**needed, **small, **OPTIONS.get(kind.__name__, {})})


def _made_step(kind: type) -> Any:
    """The same, to stand before others."""
    X, _ = data.iris()
    if kind.__name__ in LATENT:
        latent = kind(n_components=1)
        return FrozenEstimator(latent.fit(X, X[["petal_width", "petal_length"]]))
    if kind is Pipeline:
        return make_pipeline(MinMaxScaler(), LinearDiscriminantAnalysis())
    if issubclass(kind, BaseSearchCV):
        search = _made(kind)
        search.estimator = LinearDiscriminantAnalysis()
        grid = "param_grid" if hasattr(search, "param_grid") else "param_distributions"
        return search.set_params(**{grid: {"tol": [1e-4, 1e-3]}})
    return (
        FrozenEstimator(KMeans(2, random_state=0).fit(X))
        if kind is FrozenEstimator
        else _made(kind)
    )


def _is_step(kind: type) -> bool:
    """Neither classifier nor regressor: it stands before one."""
    return issubclass(kind, TransformerMixin) and not issubclass(
        kind, (ClassifierMixin, RegressorMixin)
    )


def _of_sklearn() -> list[type]:
    return [kind for kind in RULES if library_of(kind) == "sklearn"]


def _boosters() -> list[type]:
    """The classes of other libraries."""
    load_installed()
    found = [kind for kind in RULES if library_of(kind) in LIBRARIES]
    return sorted(found, key=lambda kind: kind.__name__)


def _cases() -> list[tuple[type, ...]]:
    """Every class of the table once: transformers and regressors several at a time, the rest alone."""
    ordered = sorted(_of_sklearn(), key=lambda kind: kind.__name__)
    alone = [kind for kind in ordered if kind.__name__ in SEVERAL_NUMBERS | ONE_COLUMN | TEXT]
    steps = [kind for kind in ordered if _is_step(kind) and kind not in alone]
    regressors = [kind for kind in ordered if issubclass(kind, RegressorMixin)]
    regressors = [kind for kind in regressors if kind not in alone]
    alone += [kind for kind in ordered if kind not in (*alone, *steps, *regressors)]
    return [*_batched(steps, 5), *_batched(regressors, 5), *((kind,) for kind in alone)]


def _batched(kinds: list[type], size: int) -> list[tuple[type, ...]]:
    return [tuple(kinds[at : at + size]) for at in range(0, len(kinds), size)]


def _together(kinds: tuple[type, ...]) -> Any:
    """One estimator that holds them all, each under its name."""
    make = _made_step if _is_step(kinds[0]) else _made
    made = [(kind.__name__, make(kind)) for kind in kinds]
    if kinds[0].__name__ in TEXT:
        return make_pipeline(ColumnTransformer([("text", made[0][1], "text")]), LINE)
    if _is_step(kinds[0]):
        return make_pipeline(FeatureUnion(made), MaxAbsScaler(), LINE)
    return made[0][1] if len(made) == 1 else VotingRegressor(made)


def _saved(model: Any, X: Any, y: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        report = onnxport.save(model, path, X)
        wanted = np.asarray(model.predict(X)).tolist()
    assert report.parity.label_flips == 0
    found = [answer["prediction"] for answer in onnxport.load(path).predict(X)]
    if report.signature.classes:
        assert found == wanted
    else:
        np.testing.assert_allclose(found, np.reshape(wanted, np.shape(found)), rtol=1e-5)


def _data(kind: type) -> data.Data:
    X, y = data.iris()
    name = kind.__name__
    if name in TEXT:
        return pd.DataFrame(
            {"text": [f"{kind} flower of Gräfin {i % 7}" for i, kind in enumerate(y)]}
        ), y
    if name in ONE_COLUMN:
        return X[["petal_length"]], X["petal_width"].to_numpy()
    if issubclass(kind, RegressorMixin):
        y = X["petal_width"].to_numpy()
        y = np.column_stack([y, X["petal_length"]]) if name in SEVERAL_NUMBERS else y
        return X[["sepal_length", "sepal_width", "petal_length"]], y
    if _is_step(kind):
        return X, np.unique(y, return_inverse=True)[1]  # some compute with y
    if name in SEVERAL_LABELS:
        return X, np.column_stack([X["petal_width"] > 1, X["sepal_width"] > 3]).astype(int)
    return (X[50:], y[50:]) if name in TWO_CLASSES else (X, y)


@pytest.mark.parametrize("kinds", _cases(), ids=lambda kinds: "-".join(k.__name__ for k in kinds))
def test_every_class_with_a_rule_is_saved(kinds: tuple[type, ...], tmp_path: Path) -> None:
    X, y = _data(kinds[0])
    _saved(_together(kinds), X, y, tmp_path / "m.onnx")


@pytest.mark.parametrize("kind", _boosters(), ids=lambda kind: kind.__name__)
def test_every_booster_with_a_rule_is_saved(kind: type, tmp_path: Path) -> None:
    X, labels = data.iris()
    y = np.unique(labels, return_inverse=True)[1]
    options: dict[str, Any] = {"n_estimators": 4, "verbosity": 0}
    if kind.__name__.startswith("LGBM"):
        options = {"n_estimators": 4, "verbose": -1}
    if kind.__name__.startswith("CatBoost"):
        options = {"iterations": 4, "verbose": 0, "allow_writing_files": False}
    if kind.__name__ == "CatBoost":
        options = {"params": {**options, "loss_function": "RMSE"}}
    ranks = kind.__name__.endswith("Ranker")
    groups: dict[str, Any] = {"group": [50, 100]} if ranks else {}
    if kind.__name__ == "CatBoostRanker":
        groups = {"group_id": np.repeat([0, 1], [50, 100])}
        options["loss_function"] = "QueryRMSE"
    model = kind(**options).fit(X, y, **groups)
    report = onnxport.save(model, tmp_path / "m.onnx", X)
    found = [answer["prediction"] for answer in onnxport.load(tmp_path / "m.onnx").predict(X)]
    wanted = np.asarray(model.predict(X)).reshape(len(X))
    if report.signature.classes:
        assert found == wanted.tolist()
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    assert kind.__name__ in {entry.name for entry in support.support_table()}


def test_every_predictor_with_a_rule_is_saved_as_a_step(tmp_path: Path) -> None:
    X, labels = data.iris()
    y = np.unique(labels, return_inverse=True)[1]
    for kind in TRANSFORMS:
        if kind.__name__ not in ONE_COLUMN:  # whose flat answer no step of scikit-learn takes
            _saved(make_pipeline(_made_step(kind), LINE), X, y, tmp_path / "m.onnx")


def test_a_class_converts_or_is_told_why_not() -> None:
    converts = {kind.__name__ for kind in _of_sklearn()}
    public = {name for name, _ in all_estimators()}
    assert converts & UNSUPPORTED.keys() == set()
    assert UNSUPPORTED.keys() <= public
    assert public - converts - UNSUPPORTED.keys() == set()
    for reason, nearest in UNSUPPORTED.values():
        assert not reason.endswith(".")
        assert nearest.endswith(".")


def test_the_message_of_a_class_that_is_told_why_not(tmp_path: Path) -> None:
    X, y = data.iris()
    model = Pipeline([("parts", NMF(2, random_state=0, max_iter=2000)), ("line", LINE)]).fit(X, y)
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X)
    assert str(caught.value) == (
        "step 'parts' (NMF): its transform searches anew for each row, in a loop that ends "
        "by a tolerance. Use PCA or TruncatedSVD."
    )


def test_refused_parameters_stand_in_the_table_as_they_are_told() -> None:
    entry = next(e for e in support.support_table() if e.name == "NuSVC")
    assert "kernel" in [refusal.parameter for refusal in entry.refused]
    narrow = support.as_text((entry,), 60)
    assert narrow.startswith("exact: numbers may differ by 1e-09")
    assert max(map(len, narrow.splitlines())) <= 60
    told = " ".join(narrow.split())
    assert "kernel: only the built-in kernels convert. Use rbf, poly, sigmoid or linear." in told


def _list(*options: str) -> str:
    command = [sys.executable, "-m", "onnxport", "export", "--list", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_the_list_on_the_command_line() -> None:
    table = support.support_table()
    text = _list()
    for entry in table:
        assert f"\n  {entry.name} " in text
    listed = json.loads(_list("--json"))
    assert [row["name"] for row in listed] == [entry.name for entry in table]
    assert ("CountVectorizer", "Transformers") in [(row["name"], row["kind"]) for row in listed]
    assert {row["level"] for row in listed} <= {"exact", "tolerant", "unsupported"}
    assert all("reason" in row for row in listed if row["level"] == "unsupported")
