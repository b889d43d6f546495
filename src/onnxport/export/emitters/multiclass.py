"""Many classes from classifiers of two.

Source: `sklearn/multiclass.py`.
"""

from __future__ import annotations

from typing import Any

from sklearn.multiclass import (
    OneVsRestClassifier,
    _ConstantPredictor,
    _threshold_for_binary_predict,
)

from onnxport.export.decisions import (
    code_from_raw,
    code_from_sign,
    label_from_raw,
    normalized,
    pair,
)
from onnxport.export.graph import Columns
from onnxport.export.members import classified
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Several,
    emits,
    refuse,
)


def _one_vs_rest_check(estimator: Any) -> Refusal | None:
    if estimator.multilabel_:
        return None
    if any(isinstance(member, _ConstantPredictor) for member in estimator.estimators_):
        return Refusal("y", "a class was constant in training", "Fit on rows of every class.")
    return None


@emits(OneVsRestClassifier, check=_one_vs_rest_check)
def emit_one_vs_rest(emission: Emission, estimator: Any, columns: Columns) -> Classified | Several:
    """The class whose own classifier is surest, by decision_function where there is one; of several
    labels all that their classifiers give.
    """
    graph = emission.graph
    if estimator.multilabel_:
        return _labels(emission, estimator, columns)
    members = [
        classified(emission, member, columns, f"estimators_[{i}]")
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


def _labels(emission: Emission, estimator: Any, columns: Columns) -> Several:
    """Each label by its own classifier; the first one's kind decides which threshold holds for all,
    and a label that was constant in training counts as no classifier.
    """
    graph, members = emission.graph, estimator.estimators_
    threshold = _threshold_for_binary_predict(members[0])
    parts = []
    for i, member in enumerate(members):
        if isinstance(member, _ConstantPredictor):
            score = share = _constant(emission, columns, float(member.y_[0]))
        else:
            result = classified(emission, member, columns, f"estimators_[{i}]")
            share = None
            if result.proba is not None:
                share = graph.node("Gather", result.proba, graph.integers([1]), axis=1)
            score = _score(emission, member, result, share)
        decided = threshold == 0.0 and hasattr(member, "decision_function")
        decision = score if decided else None
        parts.append(label_from_raw(graph, score, threshold, proba=share, decision=decision))
    return Several(tuple(parts))


def _constant(emission: Emission, columns: Columns, value: float) -> str:
    """The same number for every row, [N, 1]."""
    graph = emission.graph
    shape = graph.node("Shape", next(c.tensor for c in columns.items if c.tensor))
    rows = graph.node("Gather", shape, graph.integers([0]))
    target = graph.node("Concat", rows, graph.integers([1]), axis=0)
    return graph.node("Expand", graph.constant(value), target)


def _score(emission: Emission, member: Any, result: Classified, positive: str | None) -> str:
    """What one-vs-rest compares: decision_function, else the probability of the positive class."""
    score = result.decision if hasattr(member, "decision_function") else positive
    if score is None:
        reason = "its decision_function doesn't convert"
        raise refuse(emission, member, Refusal("", reason, "Use a linear model or trees here."))
    return score
