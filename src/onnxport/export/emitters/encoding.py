"""Encoders of categories.

Source: `sklearn/preprocessing/_encoders.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn import preprocessing

from onnxport.datatypes import MAX_EXACT_INTEGER
from onnxport.export.graph import ML, Column, Columns, joined, number_columns
from onnxport.export.registry import (
    Emission,
    Refusal,
    emits,
    refuse,
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
