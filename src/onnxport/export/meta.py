"""Estimators that combine others: voting, stacking, bagging, boosting by weights, one-vs-rest,
sigmoid calibration.

Sources: `sklearn/ensemble/_voting.py`, `_stacking.py`, `_bagging.py`, `_weight_boosting.py`,
`sklearn/multiclass.py`, `sklearn/calibration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.multiclass import OneVsRestClassifier

from onnxport.export.decisions import (
    binary_from_raw,
    code_from_raw,
    code_from_sign,
    expit,
    normalized,
    pair,
)
from onnxport.export.graph import Columns, Graph, joined, number_columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    emit,
    emits,
    numbers_only,
    refuse,
)


def _classified(emission: Emission, estimator: Any, columns: Columns, name: str) -> Classified:
    with emission.inside(name):
        result = emit(emission, estimator, columns)
    if not isinstance(result, Classified):
        raise refuse(emission, estimator, Refusal("", "not a classifier", "Use a classifier here."))
    return result


def _valued(emission: Emission, estimator: Any, columns: Columns, name: str) -> str:
    with emission.inside(name):
        result = emit(emission, estimator, columns)
    if not isinstance(result, Valued):
        raise refuse(emission, estimator, Refusal("", "not a regressor", "Use a regressor here."))
    return result.value


def _proba(emission: Emission, estimator: Any, columns: Columns, name: str) -> str:
    result = _classified(emission, estimator, columns, name)
    if result.proba is None:
        reason = "it gives no probabilities, which are needed here"
        nearest = "Use a classifier with predict_proba."
        raise refuse(emission, estimator, Refusal("", reason, nearest))
    return result.proba


def _hot(graph: Graph, code: str, classes: int) -> str:
    """Codes [N] as 0 and 1, double [N, classes]."""
    column = graph.node("Unsqueeze", code, graph.integers([1]))
    return graph.to_double(graph.node("Equal", column, graph.integers(np.arange(classes)[None, :])))


def _sum(graph: Graph, terms: Sequence[str]) -> str:
    """One after the other, as the library adds them."""
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", total, term)
    return total


def _weighted_mean(graph: Graph, terms: Sequence[str], weights: Sequence[float] | None) -> str:
    """numpy.average: Σ wᵢ xᵢ / Σ wᵢ."""
    if weights is None:
        return graph.node("Div", _sum(graph, terms), graph.constant(float(len(terms))))
    scaled = [
        graph.node("Mul", term, graph.constant(float(weight)))
        for term, weight in zip(terms, weights, strict=True)
    ]
    return graph.node("Div", _sum(graph, scaled), graph.constant(float(np.sum(weights))))


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
        terms = [_proba(emission, member, columns, name) for name, member in _members(estimator)]
        proba = _weighted_mean(graph, terms, weights)
        return Classified(code_from_raw(graph, proba), proba)
    votes = [
        _hot(graph, _classified(emission, member, columns, name).code, classes)
        for name, member in _members(estimator)
    ]
    return Classified(code_from_raw(graph, _weighted_mean(graph, votes, weights)), None)


@emits(VotingRegressor)
def emit_voting_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    terms = [_valued(emission, member, columns, name) for name, member in _members(estimator)]
    return Valued(_weighted_mean(emission.graph, terms, estimator._weights_not_none))


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
        return number_columns(_valued(emission, member, columns, name), 1)
    result = _classified(emission, member, columns, name)
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


@emits(StackingClassifier)
def emit_stacking_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    seen = _stacked(emission, estimator, columns)
    return _classified(emission, estimator.final_estimator_, seen, "final_estimator_")


@emits(StackingRegressor)
def emit_stacking_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    seen = _stacked(emission, estimator, columns)
    return Valued(_valued(emission, estimator.final_estimator_, seen, "final_estimator_"))


@emits(BaggingClassifier)
def emit_bagging_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The mean of the members' probabilities, each on its own subset of features."""
    graph, classes = emission.graph, len(estimator.classes_)
    terms = []
    for i, (member, features) in enumerate(
        zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    ):
        proba = _proba(emission, member, columns.pick(features.tolist()), f"estimators_[{i}]")
        if len(member.classes_) != classes:
            place = np.zeros((len(member.classes_), classes))
            place[np.arange(len(member.classes_)), member.classes_] = 1.0
            proba = graph.node("MatMul", proba, graph.constant(place))
        terms.append(proba)
    proba = _weighted_mean(graph, terms, None)
    return Classified(code_from_raw(graph, proba), proba)


@emits(BaggingRegressor)
def emit_bagging_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    terms = [
        _valued(emission, member, columns.pick(features.tolist()), f"estimators_[{i}]")
        for i, (member, features) in enumerate(
            zip(estimator.estimators_, estimator.estimators_features_, strict=True)
        )
    ]
    return Valued(_weighted_mean(emission.graph, terms, None))


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
        code = _classified(emission, member, columns, f"estimators_[{i}]").code
        own = np.searchsorted(estimator.classes_, member.classes_)
        code = graph.node("Gather", graph.integers(own), code)
        hot = graph.cast(_hot(graph, code, classes), TensorProto.BOOL)
        other = graph.constant(-1 / (classes - 1) * weight)
        terms.append(graph.node("Where", hot, graph.constant(float(weight)), other))
    total = graph.constant(float(estimator.estimator_weights_.sum()))
    raw = graph.node("Div", _sum(graph, terms), total)
    if classes == 2:
        signs = graph.node("Mul", raw, graph.constant([[-1.0, 1.0]]))
        decision = graph.node("ReduceSum", signs, graph.integers([1]), keepdims=1)
        return binary_from_raw(graph, decision)
    share = graph.node("Div", raw, graph.constant(float(classes - 1)))
    return Classified(code_from_raw(graph, raw), graph.node("Softmax", share, axis=1), raw)


def _one_vs_rest_check(estimator: Any) -> Refusal | None:
    if estimator.multilabel_:
        return Refusal("y", "multi-label targets don't convert yet", "Fit one classifier a label.")
    if any(type(member).__name__ == "_ConstantPredictor" for member in estimator.estimators_):
        return Refusal("y", "a class was constant in training", "Fit on rows of every class.")
    return None


@emits(OneVsRestClassifier, check=_one_vs_rest_check)
def emit_one_vs_rest(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The class whose own classifier is surest, by decision_function where there is one."""
    graph = emission.graph
    members = [
        _classified(emission, member, columns, f"estimators_[{i}]")
        for i, member in enumerate(estimator.estimators_)
    ]
    positive = [
        None if m.proba is None else graph.node("Gather", m.proba, graph.integers([1]), axis=1)
        for m in members
    ]
    shares = [p for p in positive if p is not None]
    scores = [
        _score(emission, e, m, p)
        for e, m, p in zip(estimator.estimators_, members, positive, strict=True)
    ]
    if len(members) == 1:
        proba = normalized(graph, pair(graph, shares[0])) if shares else None
        threshold = graph.constant(
            0.0 if hasattr(estimator.estimators_[0], "decision_function") else 0.5
        )
        return Classified(code_from_sign(graph, graph.node("Sub", scores[0], threshold)), proba)
    code = code_from_raw(graph, graph.node("Concat", *scores, axis=1))
    if len(shares) < len(members):
        return Classified(code, None)
    joint = graph.node("Concat", *shares, axis=1)
    total = graph.node("ReduceSum", joint, graph.integers([1]), keepdims=1)
    empty = graph.node("Equal", total, graph.constant(0.0))
    total = graph.node("Where", empty, graph.constant(1.0), total)
    return Classified(code, graph.node("Div", joint, total))


def _score(emission: Emission, member: Any, result: Classified, positive: str | None) -> str:
    """What one-vs-rest compares: decision_function, else the probability of the positive class."""
    score = result.decision if hasattr(member, "decision_function") else positive
    if score is None:
        reason = "its decision_function doesn't convert"
        raise refuse(emission, member, Refusal("", reason, "Use a linear model or trees here."))
    return score


def _calibration_check(estimator: Any) -> Refusal | None:
    if estimator.method == "sigmoid":
        return None
    return Refusal("method", f"{estimator.method!r} doesn't convert yet", "Use method='sigmoid'.")


@emits(CalibratedClassifierCV, check=_calibration_check)
def emit_calibrated(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Platt's sigmoid on each class's score, normalized; the mean over the folds."""
    graph, classes = emission.graph, len(estimator.classes_)
    terms = []
    for i, fold in enumerate(estimator.calibrated_classifiers_):
        name = f"calibrated_classifiers_[{i}]"
        inner = fold.estimator
        result = _classified(emission, inner, columns, name)
        if hasattr(inner, "decision_function"):
            scores = result.decision
        else:
            scores = result.proba
        if scores is None or len(inner.classes_) != classes:
            reason = "its scores don't convert"
            raise refuse(emission, inner, Refusal("", reason, "Calibrate a linear model or trees."))
        if classes == 2 and not hasattr(inner, "decision_function"):
            scores = graph.node("Gather", scores, graph.integers([1]), axis=1)
        terms.append(_calibrated(graph, fold.calibrators, scores, classes))
    proba = _weighted_mean(graph, terms, None)
    return Classified(code_from_raw(graph, proba), proba)


def _calibrated(graph: Graph, calibrators: Sequence[Any], scores: str, classes: int) -> str:
    """expit(-(a · score + b)) of each column; where all are 0, uniform."""
    slope = graph.constant([-c.a_ for c in calibrators])
    offset = graph.constant([-c.b_ for c in calibrators])
    proba = expit(graph, graph.node("Add", graph.node("Mul", scores, slope), offset))
    return pair(graph, proba) if classes == 2 else normalized(graph, proba)
