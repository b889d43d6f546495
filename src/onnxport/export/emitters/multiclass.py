"""Many classes from estimators of two: one against the rest, one against one, output codes.

Sources: `sklearn/multiclass.py`; `_ovr_decision_function` in `sklearn/utils/multiclass.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
    _ConstantPredictor,
    _threshold_for_binary_predict,
)

from onnxport.export.decisions import (
    code_from_raw,
    code_from_sign,
    columns_of,
    label_from_raw,
    pair,
)
from onnxport.export.graph import Columns, Graph, with_dtype
from onnxport.export.members import classified, repeated, summed, valued
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Several,
    emits,
    refuse,
)


@dataclass(frozen=True, slots=True)
class _Member:
    """What one member says, each double [N, 1]. answer: `predict`. score: decision_function, else
    the positive class's probability, else `predict`. proba: of the positive class, if it has any.
    """

    answer: str
    score: str
    proba: str | None


def _members(emission: Emission, estimator: Any, columns: Columns) -> list[_Member]:
    return [
        _member(emission, member, columns, f"estimators_[{i}]")
        for i, member in enumerate(estimator.estimators_)
    ]


def _member(emission: Emission, member: Any, columns: Columns, name: str) -> _Member:
    graph = emission.graph
    if isinstance(member, _ConstantPredictor):  # the class was in every row, or in none
        always = repeated(emission.graph, columns, [float(np.ravel(member.y_)[0])])
        return _Member(always, always, always)
    if is_regressor(member):
        value = valued(emission, member, columns, name)
        return _Member(value, value, None)
    result = classified(emission, member, columns, name)
    proba = result.proba
    if proba is not None:
        proba = graph.node("Gather", proba, graph.integers([1]), axis=1)
    score = result.decision if hasattr(member, "decision_function") else proba
    if score is None:
        reason = "its decision_function doesn't convert exactly"
        raise refuse(
            emission,
            member,
            Refusal("", reason, "Use a linear model, or trees without init=, here."),
        )
    code = graph.node("Unsqueeze", result.code, graph.integers([1]))
    return _Member(graph.to_double(code), score, proba)


@emits(OneVsRestClassifier)
def emit_one_vs_rest(emission: Emission, estimator: Any, columns: Columns) -> Classified | Several:
    """The class whose own estimator is surest, by decision_function where there is one; of several
    labels all that their estimators give.
    """
    graph, parts = emission.graph, estimator.estimators_
    members = _members(emission, estimator, columns)
    if estimator.multilabel_:
        return _labels(graph, parts, members)
    probas = [m.proba for m in members if m.proba is not None]
    known = len(probas) == len(members)
    decides = all(hasattr(part, "decision_function") for part in parts)
    if len(members) == 1:
        score = members[0].score
        threshold = graph.constant(_threshold_for_binary_predict(parts[0]))
        code = code_from_sign(graph, graph.node("Sub", score, threshold))
        proba = _shares(graph, pair(graph, probas[0]), 2) if known else None
        return Classified(code, proba, score if decides else None)
    scores = graph.node("Concat", *(m.score for m in members), axis=1)
    proba = _shares(graph, graph.node("Concat", *probas, axis=1), len(probas)) if known else None
    return Classified(code_from_raw(graph, scores), proba, scores if decides else None)


def _labels(graph: Graph, estimators: Sequence[Any], members: Sequence[_Member]) -> Several:
    """Each label by its own estimator; the first one's kind decides which threshold holds for all,
    and a label that was constant in training counts as no classifier.
    """
    threshold = _threshold_for_binary_predict(estimators[0])
    parts = []
    for estimator, member in zip(estimators, members, strict=True):
        decided = threshold == 0.0 and hasattr(estimator, "decision_function")
        decision = member.score if decided else None
        label = label_from_raw(
            graph, member.score, threshold, proba=member.proba, decision=decision
        )
        parts.append(label)
    return Several(tuple(parts))


def _shares(graph: Graph, joint: str, width: int) -> str:
    """Each row divided by its sum; a row of zeros stays."""
    total = summed(graph, columns_of(graph, joint, width))
    empty = graph.node("Equal", total, graph.constant(0.0))
    return graph.node("Div", joint, graph.node("Where", empty, graph.constant(1.0), total))


def _pairwise_check(estimator: Any) -> Refusal | None:
    if estimator.pairwise_indices_ is None:
        return None
    return Refusal("estimator", "a precomputed kernel doesn't convert", "Use a built-in kernel.")


@emits(OneVsOneClassifier, check=_pairwise_check)
def emit_one_vs_one(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The class with most votes; the scores in its favour, squeezed to less than one vote, decide
    between equals.
    """
    graph, classes = emission.graph, len(estimator.classes_)
    columns = with_dtype(columns, str(columns.dtype))
    nothing = repeated(graph, columns, [0.0])
    votes, confidence = [nothing] * classes, [nothing] * classes
    members = _members(emission, estimator, columns)
    for (i, j), member in zip(combinations(range(classes), 2), members, strict=True):
        confidence[i] = graph.node("Sub", confidence[i], member.score)
        confidence[j] = graph.node("Add", confidence[j], member.score)
        for side, place in enumerate((i, j)):
            vote = graph.node("Equal", member.answer, graph.constant(float(side)))
            votes[place] = graph.node("Add", votes[place], graph.to_double(vote))
    scores = [_squeezed(graph, vote, sure) for vote, sure in zip(votes, confidence, strict=True)]
    if classes > 2:
        raw = graph.node("Concat", *scores, axis=1)
        return Classified(code_from_raw(graph, raw), None, raw)
    threshold = graph.constant(_threshold_for_binary_predict(estimator.estimators_[0]))
    return Classified(
        code_from_sign(graph, graph.node("Sub", scores[1], threshold)), None, scores[1]
    )


def _squeezed(graph: Graph, votes: str, confidence: str) -> str:
    """votes + s / (3 (|s| + 1))."""
    size = graph.node("Add", graph.node("Abs", confidence), graph.constant(1.0))
    share = graph.node("Div", confidence, graph.node("Mul", size, graph.constant(3.0)))
    return graph.node("Add", votes, share)


@emits(OutputCodeClassifier)
def emit_output_code(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The class whose code is nearest: |y|² - 2 y·c + |c|², as
    `sklearn/metrics/_pairwise_distances_reduction` adds it up.
    """
    graph, codes = emission.graph, np.asarray(estimator.code_book_, dtype=np.float64)
    scores = [member.score for member in _members(emission, estimator, columns)]
    joint = graph.node("Concat", *scores, axis=1)
    square = summed(graph, [graph.node("Mul", score, score) for score in scores])
    product = graph.node("MatMul", joint, graph.constant(codes.T))
    middle = graph.node("Mul", product, graph.constant(-2.0))
    norms = graph.constant((codes**2).sum(axis=1)[None, :])
    apart = graph.node("Add", graph.node("Add", square, middle), norms)
    distance = graph.node("Max", apart, graph.constant(0.0))
    return Classified(graph.node("ArgMin", distance, axis=1, keepdims=0), None)
