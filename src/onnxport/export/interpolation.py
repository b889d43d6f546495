"""Piecewise linear functions of one column, bit by bit as numpy and scipy compute them.

Sources: `arr_interp` in `numpy/_core/src/multiarray/compiled_base.c`; `interp1d._call_linear` in
`scipy/interpolate/_interpolate.py`.
"""

from __future__ import annotations

import numpy as np

from onnxport.export.bisection import count_up_to
from onnxport.export.graph import Array
from onnxport.export.registry import Emission


def interpolated(emission: Emission, x: str, points: Array, values: Array) -> str:
    """numpy.interp(x, points, values) of x [N, 1] in doubles, where points[0] <= x <= points[-1].

    points: increasing; values: as many.
    """
    place = count_up_to(emission, x, [points[1:]])
    with np.errstate(over="ignore"):
        slopes = np.append(np.diff(values) / np.diff(points), 0.0)
    return _on_line(emission, x, place, (points, values, slopes), single=False)


def interpolated_single(emission: Emission, x: str, points: Array, values: Array) -> str:
    """scipy's interp1d of x [N, 1] in float32, where points[0] <= x <= points[-1].

    points: float32, increasing; values: float32, as many.
    """
    place = count_up_to(emission, x, [np.nextafter(points[1:-1].astype(np.float64), np.inf)])
    with np.errstate(over="ignore"):
        slopes = np.diff(values) / np.diff(points)
    return _on_line(emission, x, place, (points[:-1], values[:-1], slopes), single=True)


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
