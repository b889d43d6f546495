"""libsvm's probabilities: each pair of classes by a sigmoid, then all pairs coupled in a loop.

Source: `sklearn/svm/src/libsvm/svm.cpp` (`predict_probability`, `multiclass_probability`): method 2
of Wu, Lin and Weng, Probability Estimates for Multi-class Classification by Pairwise Coupling,
JMLR 5, 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxport.export.decisions import expit
from onnxport.export.graph import Graph
from onnxport.export.members import summed
from onnxport.export.registry import Emission

_LEAST = 1e-7  # of a pair's probabilities
_STOP = 0.005
_TURNS = 100


def coupled(emission: Emission, estimator: Any, pairs: str) -> str:
    """The probability of each class, double [N, classes]. pairs: one decision for each pair, the
    first class positive, double [N, pairs].
    """
    graph, classes = emission.graph, len(estimator.classes_)
    emission.widen(4 * classes**2)
    slopes, offsets = graph.constant(estimator._probA), graph.constant(estimator._probB)
    raised = graph.node("Add", graph.node("Mul", pairs, slopes), offsets)
    first = expit(graph, graph.node("Neg", raised))
    first = graph.node("Max", first, graph.constant(_LEAST))
    first = graph.node("Min", first, graph.constant(1 - _LEAST))
    return _fixed_point(graph, _rows_of_q(graph, first, classes), classes)


def _rows_of_q(graph: Graph, first: str, classes: int) -> list[str]:
    """Q[t] of the quadratic form, double [N, classes] each: Q[t, t] = Σ r[j, t]², Q[t, j] =
    -r[j, t] r[t, j].
    """
    numbers = {pair: i for i, pair in enumerate(combinations(range(classes), 2))}
    second = graph.node("Sub", graph.constant(1.0), first)
    none = graph.node(
        "Mul", graph.node("Gather", first, graph.integers([0]), axis=1), graph.constant(0.0)
    )
    both = graph.node("Concat", first, second, none, axis=1)  # r[i, j], r[j, i] for i < j, and 0

    def place(i: int, j: int) -> int:
        if i == j:
            return 2 * len(numbers)
        return numbers[i, j] if i < j else len(numbers) + numbers[j, i]

    def picked(places: Sequence[int]) -> str:
        return graph.node("Gather", both, graph.integers(places), axis=1)

    everyone, rows = range(classes), []
    against = [picked([place(j, t) for t in everyone]) for j in everyone]  # [j]: r[j, t] by t
    diagonal = summed(graph, [graph.node("Mul", r, r) for r in against])
    for t in everyone:
        mine = picked([place(t, j) for j in everyone])
        theirs = picked([place(j, t) for j in everyone])
        product = graph.node("Neg", graph.node("Mul", theirs, mine))
        own = graph.constant(np.arange(classes)[None, :] == t, bool)
        rows.append(graph.node("Where", own, diagonal, product))
    return rows


def _fixed_point(graph: Graph, q: list[str], classes: int) -> str:
    """The p that minimizes pᵀ Q p, by libsvm's turns and its stopping rule, row by row."""
    rows = graph.node("Shape", q[0], end=1)
    size = graph.node("Concat", rows, graph.integers([classes]), axis=0)
    uniform = graph.node("Expand", graph.constant(1.0 / classes), size)
    some = graph.node("Greater", graph.node("Squeeze", rows), graph.integers(0))

    def turn(inner: Graph, state: Sequence[str]) -> tuple[str, Sequence[str]]:
        p, count = state
        qp = summed(inner, [inner.node("Mul", q[j], _at(inner, p, j)) for j in range(classes)])
        product = inner.node("Mul", p, qp)
        pqp = summed(inner, [_at(inner, product, t) for t in range(classes)])
        error = inner.node("Abs", inner.node("Sub", qp, pqp))
        largest = inner.node("ReduceMax", error, inner.integers([1]), keepdims=1)
        going = inner.node("GreaterOrEqual", largest, inner.constant(_STOP / classes))
        after = inner.node("Where", going, _swept(inner, q, (p, qp, pqp), classes), p)
        count = inner.node("Add", count, inner.integers(np.array([[1]])))
        any_left = inner.node("ReduceMax", inner.cast(going, TensorProto.INT64), keepdims=0)
        early = inner.node("Less", count, inner.integers(np.array([[max(_TURNS, classes)]])))
        left = inner.node(
            "And", inner.cast(any_left, TensorProto.BOOL), inner.node("Squeeze", early)
        )
        return left, (after, count)

    state = {uniform: TensorProto.DOUBLE, graph.integers(np.array([[0]])): TensorProto.INT64}
    return graph.loop(some, state, turn)[0]


def _swept(graph: Graph, q: list[str], state: tuple[str, str, str], classes: int) -> str:
    """p after one step in each coordinate. state: p, Q p and pᵀ Q p."""
    (p, qp, pqp), one = state, graph.constant(1.0)
    for t in range(classes):
        own, qp_t = _at(graph, q[t], t), _at(graph, qp, t)
        diff = graph.node("Div", graph.node("Add", graph.node("Neg", qp_t), pqp), own)
        shrink = graph.node("Add", one, diff)
        gain = graph.node(
            "Add", graph.node("Mul", diff, own), graph.node("Mul", graph.constant(2.0), qp_t)
        )
        pqp = graph.node("Add", pqp, graph.node("Mul", diff, gain))
        pqp = graph.node("Div", graph.node("Div", pqp, shrink), shrink)
        qp = graph.node("Div", graph.node("Add", qp, graph.node("Mul", diff, q[t])), shrink)
        here = graph.constant(np.arange(classes)[None, :] == t, bool)
        moved = graph.node("Where", here, graph.node("Add", p, diff), p)
        p = graph.node("Div", moved, shrink)
    return p


def _at(graph: Graph, tensor: str, column: int) -> str:
    """One column, [N, 1]."""
    return graph.node("Gather", tensor, graph.integers([column]), axis=1)
