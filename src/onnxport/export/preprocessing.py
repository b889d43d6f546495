"""Transformers: scalers, imputers, encoders, selection and projection, in double precision and in
the library's own order.

Sources: `sklearn/preprocessing/_data.py`, `_encoders.py`, `_polynomial.py`,
`sklearn/impute/_base.py`, `sklearn/decomposition/_base.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn import feature_selection, preprocessing
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.impute import SimpleImputer

from onnxport.datatypes import MAX_EXACT_INTEGER
from onnxport.export.graph import ML, Array, Column, Columns, joined, number_columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Refusal,
    emits,
    finite_only,
    numbers_only,
    refuse,
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


@emits(preprocessing.StandardScaler)
def emit_standard_scaler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """(x - mean) / scale."""
    numbers_only(emission, estimator, columns)
    mean = estimator.mean_ if estimator.with_mean else None
    scale = estimator.scale_
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
    center = estimator.center_ if estimator.with_centering else None
    scale = estimator.scale_ if estimator.with_scaling else None
    x = _step_by_step(emission, columns, [("Sub", center), ("Div", scale)])
    return _scaled(columns, x, center, scale)


@emits(preprocessing.MaxAbsScaler)
def emit_max_abs_scaler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    numbers_only(emission, estimator, columns)
    x = _step_by_step(emission, columns, [("Div", estimator.scale_)])
    if getattr(estimator, "clip", False):
        x = _clipped(emission, x, -1.0, 1.0)
    return _scaled(columns, x, None, estimator.scale_)


@emits(preprocessing.MinMaxScaler)
def emit_min_max_scaler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """x · scale + min, clipped to the range where asked."""
    numbers_only(emission, estimator, columns)
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
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    if columns.single:
        emission.relax(TOLERANT_BAR)
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
    numbers_only(emission, estimator, columns)
    graph = emission.graph
    above = graph.node("Greater", graph.matrix(columns), graph.constant(float(estimator.threshold)))
    for column in columns.items:
        emission.split_at(column.origin, float(estimator.threshold))
    return number_columns(graph.to_double(above), len(columns), finite=True)


def _function_check(estimator: Any) -> Refusal | None:
    if estimator.func is None:
        return None
    return Refusal(
        "func",
        "a function of Python's can't be carried into the graph yet",
        "Compute the column before calling the model, or use a scaler.",
    )


@emits(preprocessing.FunctionTransformer, check=_function_check)
def emit_function(_emission: Emission, _estimator: Any, columns: Columns) -> Columns:
    """No function: the identity."""
    return columns


def _imputer_check(estimator: Any) -> Refusal | None:
    if estimator.add_indicator:
        return Refusal(
            "add_indicator", "indicator columns don't convert yet", "Set add_indicator=False."
        )
    if not (isinstance(estimator.missing_values, float) and np.isnan(estimator.missing_values)):
        return Refusal(
            "missing_values",
            f"only NaN converts as the missing value, not {estimator.missing_values!r}",
            "Replace it by NaN before fitting.",
        )
    return None


@emits(SimpleImputer, check=_imputer_check)
def emit_simple_imputer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """NaN becomes the column's statistic; columns without one are dropped, as the library does."""
    if columns.strings:
        reason = "imputing string columns doesn't convert yet"
        nearest = "Fill the missing strings before fitting and before calling the model."
        raise refuse(emission, estimator, Refusal("", reason, nearest))
    statistics = np.asarray(estimator.statistics_, dtype=np.float64)
    kept = [
        i
        for i, value in enumerate(statistics)
        if not np.isnan(value) or estimator.keep_empty_features
    ]
    columns, statistics = columns.pick(kept), statistics[kept]
    graph = emission.graph
    x = graph.matrix(columns)
    x = graph.node("Where", graph.node("IsNaN", x), graph.constant(statistics), x)
    x = graph.rounded(x) if columns.single else x
    dtype = "float32" if columns.single else "float64"
    origins = [column.origin for column in columns.items]
    return number_columns(
        x,
        len(columns),
        dtype=dtype,
        origins=origins,
        finite=columns.finite,
        exact=columns.exact,
    )


def _one_hot_check(estimator: Any) -> Refusal | None:
    if getattr(estimator, "_infrequent_enabled", False):
        return Refusal(
            "min_frequency",
            "grouping infrequent categories doesn't convert yet",
            "Set min_frequency=None and max_categories=None.",
        )
    return _categories_check(estimator)


def _categories_check(estimator: Any) -> Refusal | None:
    if any(_is_missing(c) for categories in estimator.categories_ for c in categories):
        return Refusal(
            "categories_",
            "a missing value as a category of its own doesn't convert yet",
            "Fill missing values before fitting and before calling the model.",
        )
    return None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


@emits(preprocessing.OneHotEncoder, check=_one_hot_check)
def emit_one_hot(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """A column of 0 and 1 for each category that isn't dropped; an unknown category is all zeros."""
    dropped = estimator.drop_idx_ if estimator.drop_idx_ is not None else [None] * len(columns)
    parts = []
    for column, categories, drop in zip(columns.items, estimator.categories_, dropped, strict=True):
        hot = emission.graph.to_double(_equal_to(emission, estimator, column, list(categories)))
        part = number_columns(hot, len(categories), dtype=_dtype(estimator), finite=True)
        parts.append(part.pick(i for i in range(len(categories)) if i != drop))
    return joined(parts)


def _dtype(estimator: Any) -> str:
    return str(np.dtype(estimator.dtype))


def _equal_to(emission: Emission, estimator: Any, column: Column, categories: Sequence[Any]) -> str:
    """Which of the categories a row holds, bool [N, categories]. Rows that hold none are marked as
    refused where the encoder refuses them and the signature can't see it.
    """
    graph = emission.graph
    if column.origin is not None:
        emission.categories.setdefault(column.origin.feature, set()).update(categories)
    if column.kind == "string":
        codes = _string_codes(emission, estimator, column, categories)
        hot = graph.node("Equal", codes, graph.integers(np.arange(len(categories))[None, :]))
    else:
        values = np.array([_number(emission, estimator, c) for c in categories])
        x = graph.matrix(Columns((column,)))
        hot = graph.node("Equal", x, graph.constant(values[None, :]))
    if estimator.handle_unknown == "error" and not Columns((column,)).raw:
        known = graph.node(
            "ReduceMax", graph.cast(hot, TensorProto.INT64), graph.integers([1]), keepdims=1
        )
        emission.refused.append(graph.node("Not", graph.cast(known, TensorProto.BOOL)))
    return hot


def _string_codes(
    emission: Emission, estimator: Any, column: Column, categories: Sequence[Any]
) -> str:
    """The category's place, -1 where it is unknown, int64 [N, 1]."""
    if not all(isinstance(category, str) for category in categories):
        raise _mixed(emission, estimator)
    return emission.graph.node(
        "LabelEncoder",
        column.tensor,
        domain=ML,
        keys_strings=[str(category) for category in categories],
        values_int64s=list(range(len(categories))),
        default_int64=-1,
    )


def _number(emission: Emission, estimator: Any, category: Any) -> float:
    if not isinstance(category, (int, float, np.number, np.bool_)):
        raise _mixed(emission, estimator)
    if abs(float(category)) >= MAX_EXACT_INTEGER:
        reason = f"the category {category!r} is beyond 2^53, where numbers turn inexact"
        nearest = "Turn the column into strings before fitting."
        raise refuse(emission, estimator, Refusal("categories_", reason, nearest))
    return float(category)


def _mixed(emission: Emission, estimator: Any) -> Exception:
    reason = "the categories it was fitted with are not of the column's type in X"
    nearest = "Pass the X that the estimator was fitted on, with one type in each column."
    return refuse(emission, estimator, Refusal("categories_", reason, nearest))


@emits(preprocessing.OrdinalEncoder, check=_one_hot_check)
def emit_ordinal(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The category's place; an unknown one becomes `unknown_value`."""
    graph = emission.graph
    unknown = -1.0 if estimator.unknown_value is None else float(estimator.unknown_value)
    parts = []
    for column, categories in zip(columns.items, estimator.categories_, strict=True):
        hot = _equal_to(emission, estimator, column, list(categories))
        axes = graph.integers([1])
        known = graph.node("ReduceMax", graph.cast(hot, TensorProto.INT64), axes, keepdims=1)
        place = graph.to_double(
            graph.node("ArgMax", graph.cast(hot, TensorProto.INT64), axis=1, keepdims=1)
        )
        encoded = graph.node(
            "Where", graph.cast(known, TensorProto.BOOL), place, graph.constant(unknown)
        )
        finite = bool(np.isfinite(unknown))
        parts.append(number_columns(encoded, 1, dtype=_dtype(estimator), finite=finite))
    return joined(parts)


@emits(
    feature_selection.VarianceThreshold,
    feature_selection.SelectKBest,
    feature_selection.SelectPercentile,
    feature_selection.SelectFpr,
    feature_selection.SelectFdr,
    feature_selection.SelectFwe,
    feature_selection.GenericUnivariateSelect,
    feature_selection.SelectFromModel,
    feature_selection.SequentialFeatureSelector,
)
def emit_selection(_emission: Emission, estimator: Any, columns: Columns) -> Columns:
    return columns.pick(np.flatnonzero(estimator.get_support()).tolist())


@emits(PCA, TruncatedSVD)
def emit_projection(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """x · componentsᵀ - mean · componentsᵀ, whitened where asked."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:
        emission.relax(TOLERANT_BAR)
    graph, components = emission.graph, estimator.components_
    x = graph.node("MatMul", graph.matrix(columns), graph.constant(components.T))
    mean = getattr(estimator, "mean_", None)
    if mean is not None:
        x = graph.node("Sub", x, graph.constant(np.ravel(mean) @ components.T))
    if getattr(estimator, "whiten", False):
        scale = np.sqrt(estimator.explained_variance_)
        x = graph.node("Div", x, graph.constant(np.maximum(scale, np.finfo(scale.dtype).eps)))
    return number_columns(x, len(components), exact=False)


@emits(preprocessing.PolynomialFeatures)
def emit_polynomial(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Products of columns, each from a shorter product times one column."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:
        emission.relax(TOLERANT_BAR)
    graph = emission.graph
    x = graph.matrix(columns)
    factors = [np.repeat(np.arange(len(row)), row).tolist() for row in estimator.powers_]
    product = _ones_like(emission, x, len(factors))
    for place in range(max((len(f) for f in factors), default=0)):
        column = [f[place] if place < len(f) else len(columns) for f in factors]
        padded = graph.node("Concat", x, _ones_like(emission, x, 1), axis=1)
        taken = graph.node("Gather", padded, graph.integers(column), axis=1)
        product = graph.node("Mul", product, taken)
    return number_columns(product, len(factors), exact=False)


def _ones_like(emission: Emission, x: str, width: int) -> str:
    """A [N, width] tensor of ones, N taken from x."""
    graph = emission.graph
    rows = graph.node("Shape", x, start=0, end=1)
    shape = graph.node("Concat", rows, graph.integers([width]), axis=0)
    return graph.node("Expand", graph.constant(1.0), shape)
