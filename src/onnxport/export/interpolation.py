"""Piecewise linear functions of one column, bit by bit as numpy and scipy compute them.

Sources: `arr_interp` in `numpy/_core/src/multiarray/compiled_base.c`; `interp1d._call_linear` in
`scipy/interpolate/_interpolate.py`.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from onnxport.export.graph import Array
from onnxport.export.registry import Emission
from onnxport.export.treeoperator import Tree, TreeInput
from onnxport.export.trees import add_leaves


def interpolated(emission: Emission, x: str, points: Array, values: Array) -> str:
    """numpy.interp(x, points, values) of x [N, 1] in doubles, where points[0] <= x <= points[-1].

    points: increasing; values: as many.
    """
    place = _place(emission, x, np.nextafter(points[1:], -np.inf))
    with np.errstate(over="ignore"):
        slopes = np.append(np.diff(values) / np.diff(points), 0.0)
    return _on_line(emission, x, place, (points, values, slopes), single=False)


def interpolated_single(emission: Emission, x: str, points: Array, values: Array) -> str:
    """scipy's interp1d of x [N, 1] in float32, where points[0] <= x <= points[-1].

    points: float32, increasing; values: float32, as many.
    """
    place = _place(emission, x, points[1:-1].astype(np.float64))
    with np.errstate(over="ignore"):
        slopes = np.diff(values) / np.diff(points)
    return _on_line(emission, x, place, (points[:-1], values[:-1], slopes), single=True)


def _place(emission: Emission, x: str, bounds: Array) -> str:
    """How many of the bounds lie below x, int64 [N, 1], by a walk down a balanced tree."""
    places = add_leaves(emission, [_search_tree(bounds)], TreeInput(x, 1, single=False), 1)
    return emission.graph.cast(places, TensorProto.INT64)


def _search_tree(bounds: Array) -> Tree:
    left: list[int] = []
    right: list[int] = []
    threshold: list[float] = []
    value: list[float] = []

    def grow(low: int, high: int) -> int:
        node, middle = len(left), (low + high) // 2
        left.append(-1)
        right.append(-1)
        threshold.append(float(bounds[middle]) if low < high else 0.0)
        value.append(float(low))
        if low < high:
            left[node] = grow(low, middle)
            right[node] = grow(middle + 1, high)
        return node

    grow(0, len(bounds))
    return Tree(
        left=np.array(left),
        right=np.array(right),
        feature=np.zeros(len(left), dtype=np.int64),
        threshold=np.array(threshold),
        default_left=np.zeros(len(left), dtype=bool),
        value=np.array(value)[:, None],
    )


def _on_line(
    emission: Emission, x: str, place: str, tables: tuple[Array, Array, Array], *, single: bool
) -> str:
    """slope · (x - point) + value, with all three looked up."""
    graph = emission.graph

    def rounded(tensor: str) -> str:
        return graph.rounded(tensor) if single else tensor

    point, value, slope = (graph.node("Gather", graph.constant(t), place) for t in tables)
    apart = rounded(graph.node("Sub", x, point))
    line = rounded(graph.node("Add", rounded(graph.node("Mul", slope, apart)), value))
    if np.isfinite(tables[2]).all():
        return line
    return graph.node("Where", graph.node("Equal", x, point), value, line)
