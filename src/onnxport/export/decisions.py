"""From raw scores to codes and probabilities, by the same quantity and the same ties as the
library.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from onnxport.export.graph import Graph
from onnxport.export.registry import Classified


def code_from_raw(graph: Graph, scores: str) -> str:
    """The first maximum of each row, int64 [N]."""
    return graph.node("ArgMax", scores, axis=1, keepdims=0)


def code_from_sign(graph: Graph, raw: str, *, tie_is_positive: bool = False) -> str:
    """1 where raw [N, 1] is positive, int64 [N]."""
    op = "GreaterOrEqual" if tie_is_positive else "Greater"
    positive = graph.node(op, raw, graph.constant(0.0))
    return graph.node("Squeeze", graph.cast(positive, TensorProto.INT64), graph.integers([1]))


def pair(graph: Graph, positive: str) -> str:
    """[1 - p, p] from p [N, 1]."""
    negative = graph.node("Sub", graph.constant(1.0), positive)
    return graph.node("Concat", negative, positive, axis=1)


def binary_from_raw(
    graph: Graph, raw: str, *, factor: float = 1.0, tie_is_positive: bool = False
) -> Classified:
    """p = expit(factor · raw); the label from the sign of raw [N, 1]."""
    pads = graph.integers([0, 1, 0, 0])
    both = graph.node("Pad", raw, pads, graph.constant(0.0))
    return binary_from_both(graph, both, raw, factor=factor, tie_is_positive=tie_is_positive)


def binary_from_both(
    graph: Graph,
    both: str,
    raw: str | None = None,
    *,
    factor: float = 1.0,
    tie_is_positive: bool = False,
) -> Classified:
    """The same from [0, raw], [N, 2], in fewer nodes: expit is the softmax of these two, and precise
    in both tails, where ONNX Runtime's Sigmoid is 1 - (1 - ε) far on the left.
    """
    code = graph.node("ArgMax", both, axis=1, keepdims=0, select_last_index=int(tie_is_positive))
    scaled = both if factor == 1.0 else graph.node("Mul", both, graph.constant(factor))
    proba = graph.node("Softmax", scaled, axis=1)
    return Classified(code, proba, raw or graph.node("Gather", both, graph.integers([1]), axis=1))


def multiclass_from_raw(graph: Graph, raw: str) -> Classified:
    """p = softmax(raw); the label from raw itself, where probabilities would saturate."""
    return Classified(code_from_raw(graph, raw), graph.node("Softmax", raw, axis=1), raw)


def label_from_raw(
    graph: Graph, raw: str, threshold: float, *, proba: str | None, decision: str | None = None
) -> Classified:
    """One label of a multi-label classifier: given where raw [N, 1] is above the threshold. proba:
    the label's own, [N, 1].
    """
    code = code_from_sign(graph, graph.node("Sub", raw, graph.constant(threshold)))
    return Classified(code, None if proba is None else pair(graph, proba), decision)


def columns_of(graph: Graph, matrix: str, width: int) -> list[str]:
    """A matrix [N, width] as its columns [N, 1]."""
    return [graph.node("Gather", matrix, graph.integers([i]), axis=1) for i in range(width)]


def expit(graph: Graph, x: str) -> str:
    """The logistic function, 1 / (1 + exp(-x)), precise in both tails: ONNX Runtime's Sigmoid is
    1 - (1 - ε) far on the left.
    """
    one = graph.constant(1.0)
    below = graph.node("Add", one, graph.node("Exp", graph.node("Neg", x)))
    return graph.node("Div", one, below)


def normalized(graph: Graph, proba: str) -> str:
    """Each row divided by its sum; a row of zeros becomes uniform."""
    axes = graph.integers([1])
    empty = graph.node(
        "Equal", graph.node("ReduceSum", proba, axes, keepdims=1), graph.constant(0.0)
    )
    filled = graph.node("Where", empty, graph.constant(1.0), proba)
    return graph.node("Div", filled, graph.node("ReduceSum", filled, axes, keepdims=1))


def row_sum(graph: Graph, x: str, width: int) -> str:
    """Each row's sum, double [N, 1], added in the order of numpy: one after the other, or from
    eight on in eight sums side by side (`pairwise_sum`, `numpy/_core/src/umath/loops_utils.h.src`).
    """
    if width > 128:
        return graph.node("ReduceSum", x, graph.integers([1]), keepdims=1)
    if width < 8:
        return _added(graph, [_slice(graph, x, i, i + 1) for i in range(width)])
    whole = width - width % 8
    eight = _added(graph, [_slice(graph, x, i, i + 8) for i in range(0, whole, 8)])
    parts = [_slice(graph, eight, i, i + 1) for i in range(8)]
    while len(parts) > 1:
        parts = [graph.node("Add", a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return _added(graph, parts + [_slice(graph, x, i, i + 1) for i in range(whole, width)])


def _slice(graph: Graph, x: str, start: int, end: int) -> str:
    ends = (graph.integers([start]), graph.integers([end]), graph.integers([1]))
    return graph.node("Slice", x, *ends)


def _added(graph: Graph, terms: Sequence[str]) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", total, term)
    return total
