"""Splines of columns.

Sources: `SplineTransformer` in `sklearn/preprocessing/_polynomial.py`; `_deBoor_D` and
`find_interval` of scipy's `scipy/interpolate/src`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import preprocessing

from onnxport.export.bisection import count_up_to, hold_to_edges
from onnxport.export.graph import Array, Columns, Graph, joined, number_columns
from onnxport.export.registry import (
    Emission,
    emits,
    finite_only,
    numbers_only,
    refuse_rows,
)


@dataclass(frozen=True)
class _Edge:
    """What lies beyond a column's knots: below low `under`, above high `over`, each plus the
    distance times its slopes where asked; the `first` splines and the `last` alone, the others 0.
    """

    low: float
    high: float
    under: Array
    over: Array
    under_slope: Array
    over_slope: Array
    first: Array
    last: Array


@emits(preprocessing.SplineTransformer)
def emit_splines(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Every column as a row of B-splines (de Boor's recursion), continued as asked."""
    numbers_only(emission, estimator, columns)
    zeros = getattr(estimator, "handle_missing", "error") == "zeros"
    if not zeros:
        finite_only(emission, columns)
    graph, degree, parts = emission.graph, estimator.degree, []
    for column, spline in zip(columns.items, estimator.bsplines_, strict=True):
        x = graph.matrix(Columns((column,)))
        edge = None
        if estimator.extrapolation in ("constant", "linear"):
            edge, degree = _edge(estimator, spline, degree)
        values = _column(emission, estimator, spline, x, edge)
        if zeros:
            values = graph.node("Where", graph.node("IsNaN", x), graph.constant(0.0), values)
        if columns.single:
            values = graph.rounded(values)
        if spline.k == 0:  # steps, which jump at the knots
            hold_to_edges(emission, estimator, Columns((column,)), [spline.t])
        for value in spline.t.tolist():
            emission.split_at(column.origin, value)
        width = spline.c.shape[1]
        part = number_columns(
            values,
            width,
            dtype="float32" if columns.single else "float64",
            finite=columns.finite,
            exact=columns.exact and not estimator.sparse_output,
        )
        parts.append(part if estimator.include_bias else part.pick(range(width - 1)))
    return joined(parts)


def _edge(estimator: Any, spline: Any, degree: int) -> tuple[_Edge, int]:
    """The values beyond the knots, and the degree that the library goes on with: extrapolating
    linearly, it counts a degree below 2 up from column to column.
    """
    low, high = float(spline.t[degree]), float(spline.t[-degree - 1])
    under, over = spline(low), spline(high)
    width = len(under)
    slopes = (spline(low, nu=1), spline(high, nu=1))
    if estimator.extrapolation == "linear":
        degree += degree <= 1
    first, last = np.arange(width) < degree, np.arange(width) >= width - degree
    return _Edge(low, high, under, over, *slopes, first, last), degree


def _column(emission: Emission, estimator: Any, spline: Any, x: str, edge: _Edge | None) -> str:
    """One column's splines, double [N, splines]."""
    graph, inner = emission.graph, x
    first, last = float(spline.t[spline.k]), float(spline.t[-spline.k - 1])
    if estimator.extrapolation == "periodic":
        inner = _wrapped(graph, x, first, last)
    if estimator.extrapolation == "error":
        below = graph.node("Less", x, graph.constant(first))
        above = graph.node("Greater", x, graph.constant(last))
        refuse_rows(emission, graph.node("Or", below, above))
    if edge is None:
        return _de_boor(emission, spline, inner)
    below = graph.node("Less", x, graph.constant(edge.low))
    above = graph.node("Greater", x, graph.constant(edge.high))
    if estimator.degree == 0 and estimator.extrapolation == "constant":
        refuse_rows(emission, above)  # the library assigns many values to none, and fails
    outside = graph.node("Or", below, above)
    inner = graph.node("Where", outside, graph.constant(edge.low), x)
    values = _de_boor(emission, spline, inner)
    for mask, end, row, slope, kept in (
        (below, edge.low, edge.under, edge.under_slope, edge.first),
        (above, edge.high, edge.over, edge.over_slope, edge.last),
    ):
        line = graph.constant(row[None, :])
        if estimator.extrapolation == "linear":
            away = graph.node("Sub", x, graph.constant(end))
            line = graph.node("Add", line, graph.node("Mul", away, graph.constant(slope[None, :])))
        line = graph.node("Where", graph.constant(kept[None, :], bool), line, graph.constant(0.0))
        values = graph.node("Where", mask, line, values)
    return values


def _wrapped(graph: Graph, x: str, first: float, last: float) -> str:
    """first + (x - first) % (last - first), the remainder as Python takes it."""
    if last <= first:
        return graph.node("Mul", x, graph.constant(0.0))
    period, zero = graph.constant(last - first), graph.constant(0.0)
    rest = graph.node("Mod", graph.node("Sub", x, graph.constant(first)), period, fmod=1)
    lifted = graph.node("Add", rest, period)
    rest = graph.node("Where", graph.node("Less", rest, zero), lifted, rest)
    return graph.node("Add", graph.constant(first), rest)


def _de_boor(emission: Emission, spline: Any, x: str) -> str:
    """The splines' values at x [N, 1], in scipy's own order of operations."""
    graph, k, knots = emission.graph, spline.k, np.asarray(spline.t, dtype=np.float64)
    intervals = len(knots) - 2 * k - 1
    interval = count_up_to(emission, x, [knots[k + 1 : k + intervals]])

    def knot(shift: int) -> str:
        """t[ell + shift], where ell is the interval's left knot."""
        row = graph.constant(knots[k + shift : k + shift + intervals])
        return graph.node("Gather", row, interval)

    zero, values = graph.constant(0.0), [graph.constant(1.0)]
    for j in range(1, k + 1):
        before, values = values, [zero]
        for n in range(1, j + 1):
            right, left = knot(n), knot(n - j)
            width = graph.node("Sub", right, left)
            same = graph.node("Equal", width, zero)
            weight = graph.node("Div", before[n - 1], width)
            rising = graph.node("Mul", weight, graph.node("Sub", right, x))
            added = graph.node("Add", values[n - 1], rising)
            falling = graph.node("Mul", weight, graph.node("Sub", x, left))
            values[n - 1] = graph.node("Where", same, values[n - 1], added)
            values.append(graph.node("Where", same, zero, falling))
    rows = graph.constant(np.asarray(spline.c, dtype=np.float64))
    place = graph.node("Squeeze", interval, graph.integers([1]))
    total = zero
    for a, value in enumerate(values):
        row = graph.node("Gather", rows, graph.node("Add", place, graph.integers([a])), axis=0)
        total = graph.node("Add", total, graph.node("Mul", row, value))
    return total
