"""The k smallest of a row's distances as scikit-learn's heap keeps them, where several are equal.

Which of equally distant neighbours stay depends on the order in which they were visited and on how
the heap moves its entries. Source: `sklearn/utils/_heap.pyx` (`heap_push`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from onnxport.export.graph import Graph

_LATER = 1e300  # no position in an order of visits


def kept_by_heap(graph: Graph, distances: str, visits: str, k: int) -> str:
    """Pushes every distance onto a max-heap of k and returns the indices that stay, the nearest
    first, int64 [n, k].

    distances: double [n, candidates]. visits: each candidate's place in the order of pushes, double
    [n, candidates] or [1, candidates]. A push that is not below the largest kept changes nothing,
    so each turn looks for the next that is.
    """
    rows = graph.node("Shape", distances, end=1)
    size = graph.node("Concat", rows, graph.integers([k]), axis=0)
    column = graph.node("Concat", rows, graph.integers([1]), axis=0)
    values = graph.node("Expand", graph.constant(np.inf), size)
    kept = graph.node("Expand", graph.integers(0), size)
    cursor = graph.node("Expand", graph.constant(-1.0), column)
    some = graph.node("Greater", graph.node("Squeeze", rows), graph.integers(0))

    def push(inner: Graph, state: Sequence[str]) -> tuple[str, Sequence[str]]:
        values, kept, cursor = state
        largest = inner.node("Slice", values, *map(inner.integers, ([0], [1], [1])))
        enters = inner.node("Less", distances, largest)
        later = inner.node("Greater", visits, cursor)
        ahead = inner.node(
            "Where", inner.node("And", enters, later), visits, inner.constant(_LATER)
        )
        index = inner.node("ArgMin", ahead, axis=1, keepdims=1)
        place = inner.node("ReduceMin", ahead, inner.integers([1]), keepdims=1)
        going = inner.node("Less", place, inner.constant(_LATER))
        value = inner.node("GatherElements", distances, index, axis=1)
        values, kept = _sift(inner, (values, kept), (value, index), going, k)
        any_left = inner.node("ReduceMax", inner.cast(going, TensorProto.INT64), keepdims=0)
        return inner.cast(any_left, TensorProto.BOOL), (values, kept, place)

    double, integer = TensorProto.DOUBLE, TensorProto.INT64
    state = {values: double, kept: integer, cursor: double}
    values, kept, _ = graph.loop(some, state, push)
    _, order = smallest(graph, values, k, k)
    return graph.node("GatherElements", kept, order, axis=1)


def smallest(graph: Graph, values: str, width: int, k: int) -> tuple[str, str]:
    """The k least of each row, sorted, the first of equals first: double [N, k], and their places,
    int64 [N, k].

    values: double [N, width]. ONNX Runtime's TopK divides by the number of rows, up to 1.27 at
    least, and so ends the process on none: a row is put in their place.
    """
    rows, one = graph.node("Shape", values, end=1), graph.integers([1])
    missing = graph.node("Sub", one, graph.node("Min", rows, one))
    size = graph.node("Concat", missing, graph.integers([width]), axis=0)
    filled = graph.node("Concat", values, graph.node("Expand", graph.constant(0.0), size), axis=0)
    found = graph.several("TopK", 2, filled, graph.integers([k]), axis=1, largest=0, sorted=1)
    start = graph.integers([0])
    least, places = (graph.node("Slice", part, start, rows) for part in found)
    return least, places


def _sift(
    graph: Graph, heap: tuple[str, str], new: tuple[str, str], going: str, k: int
) -> tuple[str, str]:
    """Puts `new` (value, index, each [n, 1]) in place of the root and lets it sink, in the rows that
    are `going`.
    """
    (values, kept), (value, index) = heap, new
    places = graph.integers(np.arange(k)[None, :])
    at = graph.node("Mul", index, graph.integers(0))
    one = graph.integers(1)
    rows = graph.node("Shape", value, end=1)
    width = graph.node("Concat", rows, graph.integers([k + 1]), axis=0)
    beyond = graph.node("Expand", graph.constant(-np.inf), width)  # children that aren't there
    for _ in range(int(np.log2(k))):
        padded = graph.node("Concat", values, beyond, axis=1)
        left = graph.node("Add", graph.node("Add", at, at), one)
        right = graph.node("Add", left, one)
        on_left = graph.node("GatherElements", padded, left, axis=1)
        on_right = graph.node("GatherElements", padded, right, axis=1)
        takes_left = graph.node("GreaterOrEqual", on_left, on_right)
        child = graph.node("Where", takes_left, left, right)
        larger = graph.node("Where", takes_left, on_left, on_right)
        going_on = graph.node("And", going, graph.node("Less", value, larger))
        inside = graph.node("Min", child, graph.integers(k - 1))
        theirs = graph.node("GatherElements", kept, inside, axis=1)
        here = graph.node("And", graph.node("Equal", places, at), going_on)
        values = graph.node("Where", here, larger, values)
        kept = graph.node("Where", here, theirs, kept)
        at = graph.node("Where", going_on, inside, at)
        # Where it stops, a later turn finds the same children and stops again.
    here = graph.node("And", graph.node("Equal", places, at), going)
    return graph.node("Where", here, value, values), graph.node("Where", here, index, kept)
