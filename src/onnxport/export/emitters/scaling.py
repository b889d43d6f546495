"""Scalers, in double precision and in the library's own order.

Source: `sklearn/preprocessing/_data.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import preprocessing

from onnxport.export.graph import Array, Columns, number_columns
from onnxport.export.registry import (
    Emission,
    emits,
    factors_only,
    finite_only,
    not_infinite,
    numbers_only,
)


def _step_by_step(
    emission: Emission, columns: Columns, steps: Sequence[tuple[str, Array | None]]
) -> str:
    """Applies (operator, row of constants) one after the other; rounds to float32 in between where
    the library does.
    """
    graph = emission.graph
    x = graph.matrix(columns)
    for op, constants in steps:
        if constants is not None:
            x = graph.node(op, x, graph.constant(np.ravel(constants)))
            x = graph.rounded(x) if columns.single else x
    return x


def _scaled(columns: Columns, tensor: str, shift: Any, scale: Any) -> Columns:
    """Columns after (x - shift) / scale, which rows near a split can be traced back through."""
    width = len(columns)
    shifts = np.zeros(width) if shift is None else np.ravel(shift)
    scales = np.ones(width) if scale is None else np.ravel(scale)
    origins = [
        column.origin.scaled(float(s), float(d)) if column.origin else None
        for column, s, d in zip(columns.items, shifts, scales, strict=True)
    ]
    dtype = "float32" if columns.single else "float64"
    return number_columns(tensor, width, dtype=dtype, origins=origins, exact=columns.exact)


def _sparsely_scaled(emission: Emission, columns: Columns, scale: Array | None) -> Columns:
    """A sparse matrix's columns are multiplied by 1 / scale (`inplace_column_scale` of
    `sklearn/utils/sparsefuncs.py`), which rounds otherwise than dividing by it.
    """
    x = _step_by_step(emission, columns, [("Mul", None if scale is None else 1.0 / scale)])
    return _scaled(columns, x, None, scale)


@emits(preprocessing.StandardScaler)
def emit_standard_scaler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """(x - mean) / scale."""
    numbers_only(emission, estimator, columns)
    not_infinite(emission, columns)
    mean = estimator.mean_ if estimator.with_mean else None
    scale = estimator.scale_
    if columns.sparse:
        return _sparsely_scaled(emission, columns, scale)
    if columns.single and _casts_constants(estimator):
        mean, scale = (None if c is None else c.astype(np.float32) for c in (mean, scale))
    x = _step_by_step(emission, columns, [("Sub", mean), ("Div", scale)])
    return _scaled(columns, x, mean, scale)


def _casts_constants(estimator: Any) -> bool:
    """Whether this release rounds mean and scale to float32 before it scales float32 data: found by
    asking it.
    """
    rng = np.random.default_rng(0)
    rows = (
        rng.normal(size=(64, estimator.n_features_in_))
        * np.pi
        * (1.0 if estimator.scale_ is None else estimator.scale_)
    )
    rows = (rows + (0.0 if estimator.mean_ is None else estimator.mean_)).astype(np.float32)
    expected = rows
    if estimator.with_mean:
        expected = expected - estimator.mean_.astype(np.float32)
    if estimator.scale_ is not None:
        expected = expected / estimator.scale_.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fitted with names, asked without
        return bool((estimator.transform(rows) == expected).all())


@emits(preprocessing.RobustScaler)
def emit_robust_scaler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """(x - center) / scale."""
    numbers_only(emission, estimator, columns)
    not_infinite(emission, columns)
    center = estimator.center_ if estimator.with_centering else None
    scale = estimator.scale_ if estimator.with_scaling else None
    if columns.sparse:
        return _sparsely_scaled(emission, columns, scale)
    x = _step_by_step(emission, columns, [("Sub", center), ("Div", scale)])
    return _scaled(columns, x, center, scale)


@emits(preprocessing.MaxAbsScaler)
def emit_max_abs_scaler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    numbers_only(emission, estimator, columns)
    not_infinite(emission, columns)
    if columns.sparse:
        return _sparsely_scaled(emission, columns, estimator.scale_)
    x = _step_by_step(emission, columns, [("Div", estimator.scale_)])
    if getattr(estimator, "clip", False):
        x = _clipped(emission, x, -1.0, 1.0)
    return _scaled(columns, x, None, estimator.scale_)


@emits(preprocessing.MinMaxScaler)
def emit_min_max_scaler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """x · scale + min, clipped to the range where asked."""
    numbers_only(emission, estimator, columns)
    not_infinite(emission, columns)
    x = _step_by_step(emission, columns, [("Mul", estimator.scale_), ("Add", estimator.min_)])
    if estimator.clip:
        x = _clipped(emission, x, *estimator.feature_range)
    return _scaled(columns, x, -estimator.min_ / estimator.scale_, 1.0 / estimator.scale_)


def _clipped(emission: Emission, x: str, low: float, high: float) -> str:
    """np.clip, which lets NaN through (ONNX's Clip need not)."""
    graph = emission.graph
    lower, upper = graph.constant(float(low)), graph.constant(float(high))
    x = graph.node("Where", graph.node("Less", x, lower), lower, x)
    return graph.node("Where", graph.node("Greater", x, upper), upper, x)


@emits(preprocessing.Normalizer)
def emit_normalizer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Each row divided by its norm; a row of nearly nothing stays (`_handle_zeros_in_scale`)."""
    factors_only(emission, estimator, columns)
    graph = emission.graph
    x, axes = graph.matrix(columns), graph.integers([1])
    op = {"l1": "ReduceL1", "l2": "ReduceL2", "max": "ReduceMax"}[estimator.norm]
    norm = graph.node(op, graph.node("Abs", x) if op == "ReduceMax" else x, axes, keepdims=1)
    nothing = 10 * np.finfo(np.float32 if columns.single else np.float64).eps
    small = graph.node("Less", norm, graph.constant(nothing))
    x = graph.node("Div", x, graph.node("Where", small, graph.constant(1.0), norm))
    dtype = "float32" if columns.single else "float64"
    return number_columns(x, len(columns), dtype=dtype, exact=False)


@emits(preprocessing.Binarizer)
def emit_binarizer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """1 above the threshold, which a float32 column rounds unless it is a double of numpy's."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph, threshold = emission.graph, float(estimator.threshold)
    if columns.single and not isinstance(estimator.threshold, np.floating):
        threshold = float(np.float32(threshold))
    above = graph.node("Greater", graph.matrix(columns), graph.constant(threshold))
    emission.has_trees |= columns.exact  # hold it to the threshold
    for column in columns.items:
        emission.split_at(column.origin, threshold)
    dtype = "float32" if columns.single else "float64"
    return number_columns(graph.to_double(above), len(columns), dtype=dtype, finite=True)
