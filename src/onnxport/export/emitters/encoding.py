"""Encoders of categories.

Source: `sklearn/preprocessing/_encoders.py`, `_target_encoder.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import numpy_helper
from sklearn import preprocessing

from onnxport.datatypes import MAX_EXACT_INTEGER
from onnxport.export.graph import ML, Array, Column, Columns, joined, number_columns
from onnxport.export.learned import distinct_nulls, is_missing
from onnxport.export.registry import Emission, Refusal, emits, refuse
from onnxport.signature import NULL_TOKEN

_UNKNOWN, _NOWHERE = -2.0, -1.0


@emits(preprocessing.OneHotEncoder)
def emit_one_hot(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """A column of 0 and 1 for each category, or group of infrequent ones, that isn't dropped."""
    graph = emission.graph
    parts = []
    for i, column in enumerate(columns.items):
        places, unknown, width = _one_hot_places(estimator, i)
        found = _lookup(emission, estimator, column, estimator.categories_[i], places, unknown)
        if estimator.handle_unknown == "error":
            _refuse_unknown(emission, column, found, _UNKNOWN)
        hot = graph.node("Equal", found, graph.constant(np.arange(float(width))[None, :]))
        dtype = str(np.dtype(estimator.dtype))
        parts.append(number_columns(graph.to_double(hot), width, dtype=dtype, finite=True))
    return joined(parts)


def _one_hot_places(estimator: Any, i: int) -> tuple[Array, float, int]:
    """The output column of each category of feature i and of unknown ones, and how many there are."""
    places, infrequent = _grouped(estimator, i)
    unknown = _UNKNOWN
    if infrequent is not None and estimator.handle_unknown in ("infrequent_if_exist", "warn"):
        unknown = float(infrequent)
    width = int(places.max()) + 1
    drop = None
    if estimator._drop_idx_after_grouping is not None:
        drop = estimator._drop_idx_after_grouping[i]
    if drop is None:
        return places, unknown, width
    unknown = _NOWHERE if unknown == drop else unknown - (unknown > drop)
    return np.where(places == drop, _NOWHERE, places - (places > drop)), unknown, width - 1


def _grouped(estimator: Any, i: int) -> tuple[Array, int | None]:
    """The places of the categories of feature i after grouping the infrequent ones, and the place
    of these.
    """
    places = np.arange(float(len(estimator.categories_[i])))
    mapping = None
    if estimator._infrequent_enabled:
        mapping = estimator._default_to_infrequent_mappings[i]
    if mapping is None:
        return places, None
    places[: len(mapping)] = mapping  # an ordinal encoder leaves NaN, the last, alone
    return places, int(mapping[estimator._infrequent_indices[i][0]])


@emits(preprocessing.OrdinalEncoder)
def emit_ordinal(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The category's place; unknown ones become `unknown_value`, NaN `encoded_missing_value`."""
    parts = []
    for i, column in enumerate(columns.items):
        categories = estimator.categories_[i]
        values = _grouped(estimator, i)[0].astype(estimator.dtype)
        if i in estimator._missing_indices:
            values[estimator._missing_indices[i]] = estimator.encoded_missing_value
        places = np.arange(float(len(categories)))
        if estimator.handle_unknown == "error":
            found = _lookup(emission, estimator, column, categories, places, _UNKNOWN)
            _refuse_unknown(emission, column, found, _UNKNOWN)
            unknown = values[:1]
        else:
            unknown = np.array([estimator.unknown_value]).astype(estimator.dtype)
        encoded = _lookup(emission, estimator, column, categories, values, float(unknown[0]))
        parts.append(_encoded(encoded, np.concatenate([values, unknown])))
    return joined(parts)


def _encoded(tensor: str, values: Array) -> Columns:
    finite = bool(np.isfinite(values.astype(np.float64)).all())
    return number_columns(tensor, 1, dtype=str(values.dtype), finite=finite)


@emits(preprocessing.TargetEncoder)
def emit_target(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The target's smoothed mean where the category was seen, of each class; for unknown ones its
    mean over all.
    """
    means = np.ravel(estimator.target_mean_)
    parts = []
    for i, column in enumerate(columns.items):
        categories = estimator.categories_[i]
        for target, mean in enumerate(means):
            values = np.asarray(estimator.encodings_[i * len(means) + target])
            found = _lookup(emission, estimator, column, categories, values, float(mean))
            parts.append(number_columns(found, 1, finite=True))
    return joined(parts)


def _lookup(
    emission: Emission,
    estimator: Any,
    column: Column,
    categories: Sequence[Any],
    values: Array,
    unknown: float,
) -> str:
    """The value of the category that a row holds, or `unknown`: double [N, 1]."""
    graph = emission.graph
    nulls = distinct_nulls(categories)
    if len(nulls) > 1:
        raise refuse(emission, estimator, _TWO_NULLS)
    numbers = [float(value) for value in values]
    null = [number for c, number in zip(categories, numbers, strict=True) if _is(c, column.missing)]
    fitting = [
        (category, number)
        for category, number in zip(categories, numbers, strict=True)
        if not is_missing(category) and isinstance(category, str) == (column.kind == "string")
    ]
    if not fitting and len(categories) > len(nulls):
        raise refuse(emission, estimator, _MIXED)
    keys = [category for category, _ in fitting]
    if column.origin is not None:
        emission.categories.setdefault(column.origin.feature, set()).update(keys)
    if column.kind == "string":
        tensor = column.tensor
        texts = _texts(emission, estimator, keys)
        array = np.array([*texts, *[NULL_TOKEN] * len(null)], dtype=object)
    else:
        tensor = graph.matrix(Columns((column,)))
        array = np.array([_number(emission, estimator, k) for k in keys] + [np.nan] * len(null))
    if not len(array):  # fitted on nulls of another kind: nothing is ever known
        return graph.node("Expand", graph.constant([[unknown]]), graph.node("Shape", tensor))
    return graph.node(
        "LabelEncoder",
        tensor,
        domain=ML,
        keys_tensor=numpy_helper.from_array(array, "keys"),
        values_tensor=numpy_helper.from_array(
            np.array([*(number for _, number in fitting), *null]), "values"
        ),
        default_tensor=numpy_helper.from_array(np.array([unknown]), "default"),
    )


def _is(category: Any, null: Any) -> bool:
    """Whether a null of this kind is taken for the category: None is None, and NaN is NaN."""
    if category is None or null is None:
        return category is null
    return isinstance(category, float) and isinstance(null, float) and np.isnan(category)


def _texts(emission: Emission, estimator: Any, keys: Sequence[str]) -> Sequence[str]:
    """Strings that can be the keys of a lookup."""
    for key in keys:
        if not key.isprintable():
            try:
                key.encode("utf-8")
            except UnicodeEncodeError as err:
                raise refuse(emission, estimator, _NO_TEXT) from err
    if NULL_TOKEN in keys:
        raise refuse(emission, estimator, _TOKEN)
    return keys


def _refuse_unknown(emission: Emission, column: Column, found: str, unknown: float) -> None:
    """Marks rows as refused whose category is unknown, where the signature can't see it."""
    if not Columns((column,)).raw:
        graph = emission.graph
        emission.refused.append(graph.node("Equal", found, graph.constant(unknown)))


def _number(emission: Emission, estimator: Any, category: Any) -> float:
    if not isinstance(category, (int, float, np.number, np.bool_)):
        raise refuse(emission, estimator, _MIXED)
    if abs(float(category)) >= MAX_EXACT_INTEGER:
        reason = f"the category {category} is beyond 2^53, where numbers turn inexact"
        nearest = "Turn the column into strings before fitting."
        raise refuse(emission, estimator, Refusal("categories_", reason, nearest))
    return float(category)


_MIXED = Refusal(
    "categories_",
    "the categories it was fitted with are not of the column's type in X",
    "Pass the X that the estimator was fitted on, with one type in each column.",
)
_TWO_NULLS = Refusal(
    "categories_",
    "it was fitted with None and NaN as two categories, and the API knows only one null",
    "Use one of them in training, for example with X.where(X.notna(), None).",
)
_NO_TEXT = Refusal(
    "categories_",
    "a category holds a lone surrogate, which is no valid Unicode",
    "Clean the column before fitting.",
)
_TOKEN = Refusal(
    "categories_",
    "a category is the string that stands for null in the graph",
    "Rename the category.",
)
