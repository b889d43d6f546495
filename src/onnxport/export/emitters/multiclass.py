"""Many classes from classifiers of two.

Source: `sklearn/multiclass.py`.
"""

from __future__ import annotations

from typing import Any

from sklearn.multiclass import OneVsRestClassifier

from onnxport.export.decisions import (
    code_from_raw,
    code_from_sign,
    normalized,
    pair,
)
from onnxport.export.graph import Columns
from onnxport.export.members import classified
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    emits,
    refuse,
)


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


def _score(emission: Emission, member: Any, result: Classified, positive: str | None) -> str:
    """What one-vs-rest compares: decision_function, else the probability of the positive class."""
    score = result.decision if hasattr(member, "decision_function") else positive
    if score is None:
        reason = "its decision_function doesn't convert"
        raise refuse(emission, member, Refusal("", reason, "Use a linear model or trees here."))
    return score
