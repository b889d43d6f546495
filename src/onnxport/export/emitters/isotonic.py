"""Isotonic regression: a piecewise linear function of one feature.

Source: `sklearn/isotonic.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.isotonic import IsotonicRegression

from onnxport.export.graph import Columns, number_columns
from onnxport.export.interpolation import interpolated, interpolated_single
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Valued,
    emits,
    finite_only,
    numbers_only,
    transforms,
)


@emits(IsotonicRegression)
def emit_isotonic(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if estimator.X_thresholds_.dtype == np.float32:
        emission.relax(TOLERANT_BAR)
    for point in estimator.X_thresholds_.tolist():
        emission.split_at(columns.items[0].origin, point)
    return Valued(isotonic(emission, estimator, emission.graph.matrix(columns)))


@transforms(IsotonicRegression)
def emit_isotonic_transform(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The same numbers as `predict`, as a column."""
    value = emit_isotonic(emission, estimator, columns).value
    single = estimator.X_thresholds_.dtype == np.float32
    dtype = "float32" if single else "float64"
    return number_columns(value, 1, dtype=dtype, exact=columns.exact)


def isotonic(emission: Emission, estimator: Any, x: str) -> str:
    """x and the answer: double [N, 1]. Beyond the ends: clipped, NaN, or a refused row."""
    graph = emission.graph
    points, values = estimator.X_thresholds_, estimator.y_thresholds_
    if len(values) == 1:  # whatever x is
        nothing = graph.node("Mul", x, graph.constant(0.0))
        return graph.node("Add", nothing, graph.constant(float(values[0])))
    single = points.dtype == np.float32
    x = graph.rounded(x) if single else x
    low, high = graph.constant(float(points[0])), graph.constant(float(points[-1]))
    line = interpolated_single if single else interpolated
    answer = line(emission, graph.node("Clip", x, low, high), points, values)
    if estimator.out_of_bounds == "clip":
        return answer
    outside = graph.node("Or", graph.node("Less", x, low), graph.node("Greater", x, high))
    if estimator.out_of_bounds == "raise":
        emission.refused.append(graph.cast(outside, TensorProto.BOOL))
        return answer
    return graph.node("Where", outside, graph.constant(np.nan), answer)
