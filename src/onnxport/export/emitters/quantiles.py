"""Quantile transforms.

Sources: `_transform_col` in `sklearn/preprocessing/_data.py`; `arr_interp` in numpy's
`compiled_base.c`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from scipy import stats
from sklearn import preprocessing

from onnxport.export.bisection import count_up_to, hold_to_edges, table
from onnxport.export.graph import Array, Columns, number_columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Refusal,
    emits,
    not_infinite,
    numbers_only,
)
from onnxport.export.special import ndtri

_BOUND = 1e-7  # BOUNDS_THRESHOLD of sklearn/preprocessing/_data.py


def _quantiles_check(estimator: Any) -> Refusal | None:
    if np.isnan(estimator.quantiles_).any():
        return Refusal(
            "X",
            "a column had no value at all in training, so it has no quantiles",
            "Leave the empty column out.",
        )
    return None


@emits(preprocessing.QuantileTransformer, check=_quantiles_check)
def emit_quantiles(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The mean of two interpolations between quantiles, from the left and from the right; of a
    normal output, the normal quantile of that.
    """
    numbers_only(emission, estimator, columns)
    not_infinite(emission, columns)
    graph, quantiles = emission.graph, np.asarray(estimator.quantiles_, dtype=np.float64)
    if (np.diff(quantiles, axis=0) == 0).any():  # it jumps at values that are many rows'
        hold_to_edges(emission, estimator, columns, list(quantiles.T))
    x = graph.matrix(columns)
    y = _interpolated(emission, x, quantiles, np.asarray(estimator.references_, np.float64))
    normal = estimator.output_distribution == "normal"
    if columns.single:
        emission.relax(TOLERANT_BAR)
        y = graph.rounded(y)
    low, high = graph.constant(quantiles[0]), graph.constant(quantiles[-1])
    if normal:
        above = graph.node("Greater", _moved(emission, columns, x, _BOUND), high)
        below = graph.node("Less", _moved(emission, columns, x, -_BOUND), low)
    else:
        above, below = graph.node("Equal", x, high), graph.node("Equal", x, low)
    y = graph.node("Where", above, graph.constant(1.0), y)
    y = graph.node("Where", below, graph.constant(0.0), y)
    if normal:
        y = _normal(emission, y)
        y = graph.rounded(y) if columns.single else y
    dtype = "float32" if columns.single else "float64"
    return number_columns(
        y, len(columns), dtype=dtype, finite=columns.finite, exact=columns.exact and not normal
    )


def _moved(emission: Emission, columns: Columns, x: str, by: float) -> str:
    graph = emission.graph
    if not columns.single:
        return graph.node("Add", x, graph.constant(by))
    return graph.rounded(graph.node("Add", x, graph.constant(float(np.float32(by)))))


def _normal(emission: Emission, p: str) -> str:
    """The normal quantile, clipped as the library clips it."""
    graph = emission.graph
    edge = _BOUND - np.spacing(1)
    low, high = float(stats.norm.ppf(edge)), float(stats.norm.ppf(1 - edge))
    inside = ndtri(graph, p)
    under = graph.node("Less", p, graph.constant(edge))
    over = graph.node("Greater", p, graph.constant(1 - edge))
    inside = graph.node("Where", under, graph.constant(low), inside)
    return graph.node("Where", over, graph.constant(high), inside)


def _interpolated(emission: Emission, x: str, quantiles: Array, references: Array) -> str:
    """0.5 · (interp(x, q, r) - interp(-x, -q reversed, -r reversed)), bit by bit as numpy does.

    quantiles: [Q, columns], sorted. references: [Q].
    """
    graph, columns = emission.graph, quantiles.T
    reached = count_up_to(emission, x, list(columns))
    hit = graph.node("Equal", x, table(emission, reached, [_shift(q, np.nan) for q in columns]))
    firsts = [_shift(np.searchsorted(q, q, side="left"), 0) for q in columns]
    first = graph.cast(table(emission, reached, firsts), TensorProto.INT64)
    passed = graph.node("Where", hit, first, reached)  # how many quantiles lie below x
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = [np.diff(references) / np.diff(q) for q in columns]
    slopes = [np.concatenate([[0.0], s, [0.0]]) for s in inner]
    ends = [np.concatenate([[references[0]], references])] * len(columns)
    starts = [np.concatenate([q, [q[-1]]]) for q in columns]
    tops = [np.concatenate([references, [references[-1]]])] * len(columns)
    forward = _line(emission, x, reached, slopes, [_shift(q, q[0]) for q in columns], ends)
    backward = _line(emission, x, passed, slopes, starts, tops)
    both = graph.node("Mul", graph.node("Add", forward, backward), graph.constant(0.5))
    return graph.node("Where", graph.node("IsNaN", x), x, both)


def _shift(values: Array, first: float) -> Array:
    """A row that is looked up by how many values were reached: the last of them."""
    return np.concatenate([[first], values])


def _line(
    emission: Emission,
    x: str,
    places: str,
    slopes: list[Array],
    starts: list[Array],
    heights: list[Array],
) -> str:
    """slope · (x - start) + height, and the height itself at the start."""
    graph = emission.graph
    away = graph.node("Sub", x, table(emission, places, starts))
    height = table(emission, places, heights)
    risen = graph.node("Mul", table(emission, places, slopes), away)
    there = graph.node("Equal", away, graph.constant(0.0))
    return graph.node("Where", there, height, graph.node("Add", risen, height))
