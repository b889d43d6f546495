"""Sorted numbers in the graph: between which of them a value lies, found by a balanced tree, and
tables looked up by that place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxport.export.graph import Array, Columns
from onnxport.export.registry import Emission, Refusal, refuse
from onnxport.export.treeoperator import Tree, TreeInput
from onnxport.export.trees import add_leaves


def count_up_to(emission: Emission, x: str, edges: Sequence[Array]) -> str:
    """How many of its column's edges each number reaches (edge <= x), int64 [N, columns]:
    `np.searchsorted(edges, x, side="right")`. NaN reaches none.

    x: double [N, columns]. edges: sorted, by column.
    """
    trees = [_balanced(np.asarray(e, np.float64), i) for i, e in enumerate(edges)]
    read = TreeInput(x, len(trees), single=False)
    places = add_leaves(emission, trees, read, len(trees))
    return emission.graph.cast(places, TensorProto.INT64)


def _balanced(edges: Array, feature: int) -> Tree:
    """A tree whose leaf is the number of edges that x reaches. Equal edges count once each."""
    distinct, ends = np.unique(edges, return_counts=True)
    counts = np.concatenate([[0.0], np.cumsum(ends)])
    left: list[int] = []
    right: list[int] = []
    threshold: list[float] = []
    value: list[float] = []

    def add(first: int, last: int) -> int:
        node = len(left)
        left.append(-1)
        right.append(-1)
        if first == last:
            threshold.append(0.0)
            value.append(counts[first])
            return node
        middle = (first + last) // 2
        threshold.append(np.nextafter(distinct[middle], -np.inf))  # x <= this: x < the edge
        value.append(0.0)
        left[node] = add(first, middle)
        right[node] = add(middle + 1, last)
        return node

    add(0, len(distinct))
    return Tree(
        left=np.array(left),
        right=np.array(right),
        feature=np.full(len(left), feature),
        threshold=np.array(threshold),
        default_left=np.ones(len(left), dtype=bool),
        value=np.array(value)[:, None],
        target=feature,
    )


def hold_to_edges(
    emission: Emission, estimator: Any, columns: Columns, edges: Sequence[Array]
) -> None:
    """Has the parity gate place rows on the edges and hold the graph to them to the last bit.
    Refuses columns that aren't computed to the last bit.
    """
    if not columns.exact:
        refusal = Refusal(
            "X",
            "its edges may equal values that an earlier step computes with another last bit",
            "Put it before the steps that compute with logarithms, sums or products.",
        )
        raise refuse(emission, estimator, refusal)
    emission.has_trees = True
    for column, values in zip(columns.items, edges, strict=True):
        for value in np.asarray(values).tolist():
            emission.split_at(column.origin, float(value))


def table(emission: Emission, places: str, rows: Sequence[Array]) -> str:
    """What stands at each place of its column's row, double [N, columns].

    places: int64 [N, columns]. rows: by column, all of one length.
    """
    graph, width = emission.graph, len(rows[0])
    starts = graph.integers(np.arange(len(rows)) * width)
    flat = graph.constant(np.concatenate(rows))
    return graph.node("Gather", flat, graph.node("Add", places, starts))
