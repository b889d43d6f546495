"""XGBoost: the classes that convert, and a bare Booster asked like an estimator.

Sources: `xgboost/sklearn.py`, `xgboost/core.py` (Booster.predict, inplace_predict).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost
from onnx import TensorProto
from sklearn.base import ClassifierMixin, RegressorMixin

from onnxport.export.adapted import Adapted
from onnxport.export.boosters.xgboost_dump import groups_of, objective_of, read_booster
from onnxport.export.boosters.xgboost_links import LINKS, softmax
from onnxport.export.boosters.xgboost_trees import Asked, raw_scores
from onnxport.export.decisions import code_from_raw, columns_of, pair
from onnxport.export.graph import Array, Columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Several,
    Valued,
    adapts,
    emits,
    refuse,
)

_BINARY = frozenset({"binary:hinge", "binary:logistic", "binary:logitraw"})
_MULTICLASS = frozenset({"multi:softmax", "multi:softprob"})
_GIVING_SHARES = frozenset({"binary:logistic", "multi:softprob"})

_UNKNOWN_OBJECTIVE = Refusal(
    "objective",
    "the formula from its trees' sums to its answers isn't known",
    "Train with a built-in objective, such as binary:logistic, multi:softprob or reg:squarederror.",
)
_UNKNOWN_BOOSTER = Refusal(
    "booster",
    "it is none of gbtree, dart and gblinear",
    "Train with booster='gbtree'.",
)


def _check_classifier(estimator: Any) -> Refusal | None:
    if not hasattr(estimator, "n_classes_"):
        return None
    objective = objective_of(estimator.get_booster())
    if objective == "multi:softprob" and estimator.n_classes_ == 2:
        return Refusal(
            "objective",
            "of two classes, predict takes multi:softprob for two labels a row",
            "Use objective='binary:logistic'.",
        )
    if objective not in _MULTICLASS and groups_of(estimator.get_booster()) > 1:
        return Refusal(
            "y",
            "it gives several labels a row, which it doesn't tell where it stands inside another "
            "estimator",
            "Save the classifier alone, or put it into a MultiOutputClassifier.",
        )
    return None


class _Booster(Adapted):
    """A Booster, asked by a DMatrix as its users do."""

    native: xgboost.Booster

    @property
    def n_features_in_(self) -> int:
        return int(self.native.num_features())

    @property
    def feature_names_in_(self) -> Array:
        """str [features]. Raises AttributeError where it was trained without names."""
        if self.native.feature_names is None:
            raise AttributeError("feature_names_in_")
        return np.array(self.native.feature_names, dtype=object)

    def get_params(self, **_: Any) -> dict[str, Any]:
        return {"config": self.native.save_config()}

    def _said(self, X: Any) -> Array:
        booster = self.native
        own = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
        described = {} if hasattr(X, "columns") else own
        answers: Array = booster.predict(xgboost.DMatrix(X, enable_categorical=True, **described))
        return answers


class BoosterRegressor(RegressorMixin, _Booster):  # type: ignore[misc]  # scikit-learn has no types
    """A Booster whose answers are numbers."""

    def predict(self, X: Any) -> Array:
        """[N], or [N, targets] of several."""
        return self._said(X)


class BoosterClassifier(ClassifierMixin, _Booster):  # type: ignore[misc]
    """A Booster of classes 0 to n - 1 that gives no probabilities."""

    @property
    def classes_(self) -> Array:
        return np.arange(max(2, groups_of(self.native)))

    def predict(self, X: Any) -> Array:
        """The class of each row, int [N]: by the sign of binary:logitraw's margins."""
        answers, objective = self._said(X), objective_of(self.native)
        if objective == "multi:softprob":
            return np.asarray(answers.argmax(axis=1))
        if objective == "multi:softmax":
            return np.asarray(answers, dtype=int)
        return np.asarray(answers > (0 if objective == "binary:logitraw" else 0.5), dtype=int)


class BoosterClassifierWithShares(BoosterClassifier):
    """A Booster of classes 0 to n - 1 that gives probabilities."""

    def predict_proba(self, X: Any) -> Array:
        """[N, classes]."""
        answers = self._said(X)
        return answers if answers.ndim == 2 else np.column_stack([1 - answers, answers])


class BoosterLabels(ClassifierMixin, _Booster):  # type: ignore[misc]
    """A Booster of binary:logistic on several targets."""

    @property
    def classes_(self) -> list[Array]:
        return [np.array([0, 1])] * groups_of(self.native)

    def predict(self, X: Any) -> Array:
        """Which labels each row has, int [N, targets]."""
        return (self._said(X) > 0.5).astype(int)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each label, [N, targets]."""
        return self._said(X)


class ClassifierLabels(ClassifierMixin, Adapted):  # type: ignore[misc]
    """An XGBClassifier of several labels, which tells its classes as if it had one."""

    native: Any

    @property
    def n_features_in_(self) -> int:
        return int(self.native.n_features_in_)

    @property
    def feature_names_in_(self) -> Array:
        names: Array = self.native.feature_names_in_
        return names

    @property
    def classes_(self) -> list[Array]:
        return [np.array([0, 1])] * groups_of(self.native.get_booster())

    def get_params(self, **_: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = self.native.get_params()
        return parameters

    def predict(self, X: Any) -> Array:
        answers: Array = self.native.predict(X)
        return answers

    def predict_proba(self, X: Any) -> Array:
        shares: Array = self.native.predict_proba(X)
        return shares


@adapts(xgboost.Booster)
def adapt_booster(booster: xgboost.Booster) -> Any:
    """By its objective: a classifier, one of several labels, or a regressor."""
    objective, groups = objective_of(booster), groups_of(booster)
    if objective in _BINARY and groups > 1:
        return (
            BoosterLabels(booster) if objective == "binary:logistic" else BoosterRegressor(booster)
        )
    if objective in _BINARY or objective in _MULTICLASS:
        shares = objective in _GIVING_SHARES
        return (BoosterClassifierWithShares if shares else BoosterClassifier)(booster)
    return BoosterRegressor(booster)


@adapts(xgboost.XGBClassifier, xgboost.XGBRFClassifier)
def adapt_classifier(model: Any) -> Any:
    """The classifier itself, unless it gives several labels a row."""
    if not model.__sklearn_is_fitted__() or model.n_classes_ != 2:
        return model
    booster = model.get_booster()
    several = groups_of(booster) > 1 and objective_of(booster) not in _MULTICLASS
    return ClassifierLabels(model) if several else model


def _answers(emission: Emission, estimator: Any, columns: Columns) -> tuple[str, str, str]:
    """The booster's objective, and in the graph its sums and what predict makes of them, float32
    [N, groups].
    """
    native = estimator.native if isinstance(estimator, Adapted) else estimator
    if isinstance(native, xgboost.Booster):
        booster, rounds, asked = native, None, Asked(np.nan, in_place=False)
    else:
        booster, rounds = native.get_booster(), _rounds(native)
        asked = Asked(float(native.missing), in_place=native.booster != "gblinear")
    dump = read_booster(booster, rounds)
    if dump.objective not in LINKS:
        raise refuse(emission, native, _UNKNOWN_OBJECTIVE)
    if dump.kind not in ("gbtree", "dart", "gblinear"):
        raise refuse(emission, native, _UNKNOWN_BOOSTER)
    raw = raw_scores(emission, native, columns, dump, asked)
    return dump.objective, raw, LINKS[dump.objective](emission.graph, raw)


def _rounds(model: Any) -> int | None:
    """How many rounds predict uses: after early stopping those to the best one."""
    best = getattr(model, "best_iteration", None)
    return None if best is None or model.booster == "gblinear" else best + 1


@emits(xgboost.XGBRegressor, xgboost.XGBRanker, xgboost.XGBRFRegressor, BoosterRegressor)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """What predict gives, of several targets or quantiles side by side."""
    _, _, value = _answers(emission, estimator, columns)
    return Valued(emission.graph.to_double(value))


@emits(xgboost.XGBClassifier, xgboost.XGBRFClassifier, check=_check_classifier)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Of two classes the second where predict gives more than 0.5, whatever the objective."""
    graph = emission.graph
    objective, raw, value = _answers(emission, estimator, columns)
    if objective == "multi:softmax":
        return Classified(code_from_raw(graph, raw), graph.to_double(softmax(graph, raw)))
    if objective == "multi:softprob":
        return Classified(code_from_raw(graph, value), graph.to_double(value))
    return Classified(_above(emission, value, 0.5), _pair(emission, value))


@emits(BoosterClassifier, BoosterClassifierWithShares)
def emit_booster_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    graph = emission.graph
    objective, raw, value = _answers(emission, estimator, columns)
    if objective == "multi:softmax":
        return Classified(code_from_raw(graph, raw), None)
    if objective == "multi:softprob":
        return Classified(code_from_raw(graph, value), graph.to_double(value))
    shares = _pair(emission, value) if objective == "binary:logistic" else None
    return Classified(
        _above(emission, value, 0.0 if objective == "binary:logitraw" else 0.5), shares
    )


@emits(BoosterLabels, ClassifierLabels)
def emit_labels(emission: Emission, estimator: Any, columns: Columns) -> Several:
    """Each label is given where its number is above 0.5."""
    _, _, value = _answers(emission, estimator, columns)
    targets = len(estimator.classes_)
    parts = columns_of(emission.graph, value, targets)
    return Several(tuple(_label(emission, part) for part in parts))


def _label(emission: Emission, share: str) -> Classified:
    return Classified(
        _above(emission, share, 0.5), pair(emission.graph, emission.graph.to_double(share))
    )


def _above(emission: Emission, value: str, threshold: float) -> str:
    """1 where value [N, 1] is above the threshold, compared in float32: int64 [N]."""
    graph = emission.graph
    above = graph.node("Greater", value, graph.constant(threshold, np.float32))
    return graph.node("Squeeze", graph.cast(above, TensorProto.INT64), graph.integers([1]))


def _pair(emission: Emission, share: str) -> str:
    """[1 - p, p], subtracted in float32: double [N, 2]."""
    graph = emission.graph
    other = graph.node("Sub", graph.constant(1.0, np.float32), share)
    return graph.to_double(graph.node("Concat", other, share, axis=1))
