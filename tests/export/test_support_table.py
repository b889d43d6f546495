"""The support table says the truth: each class in it is saved here, and no public class is missing."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.decomposition import NMF, PCA
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KernelCenterer, MinMaxScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import all_estimators

import onnxport
from onnxport.errors import UnsupportedModel
from onnxport.export import support
from onnxport.export.emitters import RULES
from onnxport.export.registry import TRANSFORMS, Rule
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
SPECIAL: dict[str, Callable[[], Any]] = {
    "KernelCenterer": lambda: make_pipeline(Nystroem(n_components=150), KernelCenterer()),
    "PLSSVD": lambda: _frozen_latent(_by_name("PLSSVD")),
    "FrozenEstimator": lambda: _frozen(),
    "MissingIndicator": lambda: _made(_by_name("MissingIndicator"), features="all"),
    "OrthogonalMatchingPursuitCV": lambda: _made(
        _by_name("OrthogonalMatchingPursuitCV"), max_iter=2
    ),
    "RandomizedSearchCV": lambda: _made(_by_name("RandomizedSearchCV"), n_iter=2),
}
# Their fit_transform gives a pair, so they stand in a pipeline as they were fitted before.
STEPS: dict[str, Callable[[], Any]] = {
    "CCA": lambda: _frozen_latent(CCA),
    "FrozenEstimator": lambda: FrozenEstimator(KMeans(2, random_state=0).fit(data.iris()[0])),
    "PLSCanonical": lambda: _frozen_latent(PLSCanonical),
    "PLSRegression": lambda: _frozen_latent(PLSRegression),
}
SEVERAL = {"MultiTaskElasticNet", "MultiTaskLasso"}


def _by_name(name: str) -> type:
    return next(kind for kind in RULES if kind.__name__ == name)


def _frozen() -> Any:
    X, y = data.iris()
    return _by_name("FrozenEstimator")(LINE.fit(X, y))


def _frozen_latent(kind: type) -> Any:
    X, _ = data.iris()
    return FrozenEstimator(kind(n_components=1).fit(X, X[["petal_width", "petal_length"]]))


def _made(kind: type, **options: Any) -> Any:
    """A small estimator of a class."""
    known = inspect.signature(kind).parameters
    parts = PARTS | (REGRESSORS if issubclass(kind, RegressorMixin) else {})
    needed = {n: parts[n] for n, p in known.items() if p.default is p.empty and n in parts}
    small = {name: value for name, value in SMALL.items() if name in known}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of classes that scikit-learn retires
        return kind(**needed, **{**small, **options})


def _target(kind: type) -> Any:
    X, y = data.iris()
    if kind.__name__ in SEVERAL:
        return X[["petal_width", "petal_length"]].to_numpy()
    return X["petal_width"].to_numpy() if issubclass(kind, RegressorMixin) else y


def _is_step(kind: type) -> bool:
    """Neither classifier nor regressor: it stands before one."""
    return issubclass(kind, TransformerMixin) and not issubclass(
        kind, (ClassifierMixin, RegressorMixin)
    )


def _saved(model: Any, y: Any, path: Path) -> None:
    X, _ = data.iris()
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


def _sorted(rules: dict[type, Rule]) -> list[type]:
    return sorted(rules, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _sorted(RULES))
def test_every_class_with_a_rule_is_saved(kind: type, tmp_path: Path) -> None:
    make = SPECIAL.get(kind.__name__, lambda: _made(kind))
    model = make_pipeline(make(), LINE) if _is_step(kind) else make()
    _saved(model, _target(kind), tmp_path / "m.onnx")


def test_every_predictor_with_a_rule_is_saved_as_a_step(tmp_path: Path) -> None:
    for kind in _sorted(TRANSFORMS):
        step = STEPS.get(kind.__name__, lambda kind=kind: _made(kind))()
        _saved(make_pipeline(step, LINE), data.iris()[1], tmp_path / "m.onnx")


def test_a_class_converts_or_is_told_why_not() -> None:
    converts = {kind.__name__ for kind in RULES}
    assert converts & UNSUPPORTED.keys() == set()
    assert UNSUPPORTED.keys() <= {name for name, _ in all_estimators()}
    for reason, nearest in UNSUPPORTED.values():
        assert not reason.endswith(".")
        assert nearest.endswith(".")


def test_the_message_of_a_class_that_is_told_why_not(tmp_path: Path) -> None:
    X, y = data.iris()
    model = Pipeline([("parts", NMF(2, random_state=0, max_iter=2000)), ("line", LINE)]).fit(X, y)
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X)
    assert str(caught.value) == (
        "step 'parts' (sklearn's NMF): its transform searches anew for each row, in a loop that ends "
        "by a tolerance. Use PCA or TruncatedSVD."
    )


def test_refused_parameters_stand_in_the_table_as_they_are_told() -> None:
    entry = next(e for e in support.support_table() if e.name == "NuSVC")
    assert [refusal.parameter for refusal in entry.refused] == ["X", "kernel", "break_ties"]
    assert "break_ties: only libsvm's own votes convert. Set break_ties=False." in " ".join(
        support.as_text((entry,)).split()
    )


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
    assert {row["level"] for row in listed} <= {"exact", "tolerant", "unsupported"}
    assert all("reason" in row for row in listed if row["level"] == "unsupported")
