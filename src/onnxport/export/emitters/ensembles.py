"""Estimators that combine others: voting, stacking, bagging, boosting by weights.

Sources: `sklearn/ensemble/_voting.py`, `_stacking.py`, `_bagging.py`, `_weight_boosting.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)

from onnxport.export.decisions import (
    binary_from_raw,
    code_from_raw,
)
from onnxport.export.graph import Columns, joined, number_columns
from onnxport.export.members import (
    classified,
    one_hot,
    probabilities_of,
    summed,
    valued,
    weighted_mean,
)
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    emits,
    numbers_only,
    refuse,
)


def _members(estimator: Any) -> list[tuple[str, Any]]:
    names = [name for name, member in estimator.estimators if member != "drop"]
    return list(zip(names, estimator.estimators_, strict=True))


def _voting_check(estimator: Any) -> Refusal | None:
    if isinstance(estimator.classes_, list):
        return Refusal("y", "multi-label targets don't convert yet", "Fit one classifier a label.")
    return None


@emits(VotingClassifier, check=_voting_check)
def emit_voting_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Soft: the mean of probabilities. Hard: the code with the most votes, the first of equals."""
    graph, classes = emission.graph, len(estimator.classes_)
    weights = estimator._weights_not_none
    if estimator.voting == "soft":
        terms = [
            probabilities_of(emission, member, columns, name)
            for name, member in _members(estimator)
        ]
        proba = weighted_mean(graph, terms, weights)
        return Classified(code_from_raw(graph, proba), proba)
    votes = [
        one_hot(graph, classified(emission, member, columns, name).code, classes)
        for name, member in _members(estimator)
    ]
    return Classified(code_from_raw(graph, weighted_mean(graph, votes, weights)), None)


@emits(VotingRegressor)
def emit_voting_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    terms = [valued(emission, member, columns, name) for name, member in _members(estimator)]
    return Valued(weighted_mean(emission.graph, terms, estimator._weights_not_none))


def _stacked(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """What the final estimator sees: the members' answers, then X itself where passed through."""
    parts = []
    for (name, member), method in zip(_members(estimator), estimator.stack_method_, strict=True):
        parts.append(_stack_part(emission, estimator, member, columns, name, method))
    if estimator.passthrough:
        numbers_only(emission, estimator, columns)
        parts.append(columns)
    return joined(parts)


def _stack_part(
    emission: Emission, estimator: Any, member: Any, columns: Columns, name: str, method: str
) -> Columns:
    graph = emission.graph
    if not hasattr(estimator, "classes_"):
        return number_columns(valued(emission, member, columns, name), 1)
    result = classified(emission, member, columns, name)
    classes = len(estimator.classes_)
    if method == "predict_proba" and result.proba is not None:
        whole = number_columns(result.proba, classes)
        return whole.pick([1]) if classes == 2 else whole
    if method == "decision_function" and result.decision is not None:
        return number_columns(result.decision, 1 if classes == 2 else classes)
    if method == "predict":
        column = graph.node("Unsqueeze", result.code, graph.integers([1]))
        return number_columns(graph.to_double(column), 1)
    reason = f"its {method} doesn't convert"
    raise refuse(
        emission, member, Refusal("stack_method", reason, "Set stack_method='predict_proba'.")
    )


def _stacking_check(estimator: Any) -> Refusal | None:
    if isinstance(estimator.classes_, list):
        return Refusal(
            "y",
            "multi-label targets don't convert yet",
            "Use MultiOutputClassifier with a StackingClassifier inside.",
        )
    return None


@emits(StackingClassifier, check=_stacking_check)
def emit_stacking_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    seen = _stacked(emission, estimator, columns)
    return classified(emission, estimator.final_estimator_, seen, "final_estimator_")


@emits(StackingRegressor)
def emit_stacking_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    seen = _stacked(emission, estimator, columns)
    return Valued(valued(emission, estimator.final_estimator_, seen, "final_estimator_"))


@emits(BaggingClassifier)
def emit_bagging_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The mean of the members' probabilities, each on its own subset of features."""
    graph, classes = emission.graph, len(estimator.classes_)
    terms = []
    for i, (member, features) in enumerate(
        zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    ):
        proba = probabilities_of(
            emission, member, columns.pick(features.tolist()), f"estimators_[{i}]"
        )
        if len(member.classes_) != classes:
            place = np.zeros((len(member.classes_), classes))
            place[np.arange(len(member.classes_)), member.classes_] = 1.0
            proba = graph.node("MatMul", proba, graph.constant(place))
        terms.append(proba)
    proba = weighted_mean(graph, terms, None)
    return Classified(code_from_raw(graph, proba), proba)


@emits(BaggingRegressor)
def emit_bagging_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    terms = [
        valued(emission, member, columns.pick(features.tolist()), f"estimators_[{i}]")
        for i, (member, features) in enumerate(
            zip(estimator.estimators_, estimator.estimators_features_, strict=True)
        )
    ]
    return Valued(weighted_mean(emission.graph, terms, None))


@emits(AdaBoostClassifier)
def emit_ada_boost(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """SAMME (Zhu et al., 2009): each member adds its weight to its class and takes some from the
    others.
    """
    graph, classes = emission.graph, len(estimator.classes_)
    terms = []
    for i, (member, weight) in enumerate(
        zip(estimator.estimators_, estimator.estimator_weights_, strict=False)
    ):
        code = classified(emission, member, columns, f"estimators_[{i}]").code
        own = np.searchsorted(estimator.classes_, member.classes_)
        code = graph.node("Gather", graph.integers(own), code)
        hot = graph.cast(one_hot(graph, code, classes), TensorProto.BOOL)
        other = graph.constant(-1 / (classes - 1) * weight)
        terms.append(graph.node("Where", hot, graph.constant(float(weight)), other))
    total = graph.constant(float(estimator.estimator_weights_.sum()))
    raw = graph.node("Div", summed(graph, terms), total)
    if classes == 2:
        signs = graph.node("Mul", raw, graph.constant([[-1.0, 1.0]]))
        decision = graph.node("ReduceSum", signs, graph.integers([1]), keepdims=1)
        return binary_from_raw(graph, decision)
    share = graph.node("Div", raw, graph.constant(float(classes - 1)))
    return Classified(code_from_raw(graph, raw), graph.node("Softmax", share, axis=1), raw)
