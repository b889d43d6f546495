"""Columns by feature name into the tensors that the graph takes, as the signature lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxport.analysis import joined_ngrams
from onnxport.datatypes import BY_NAME
from onnxport.signature import NULL_TOKEN, Feature, Signature

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


def column_array(feature: Feature, values: Sequence[Any] | Array) -> Array:
    """One feature's plain values, null as None, as an array: object for strings, float64 (NaN for
    null) else. Of a whole tensor, its rows' arrays as an object array.
    """
    if feature.is_tensor:
        rows = np.empty(len(values), dtype=object)
        for i, value in enumerate(values):
            rows[i] = value
        return rows
    if feature.is_string:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def pack(signature: Signature, columns: Mapping[str, Array], rows: int) -> Arrays:
    """Feeds for one run: a matrix [rows, width] a tensor, nulls in strings as the null token, texts
    as their n-grams, whole tensors stacked.

    columns: by feature name, as `column_array` makes them, each of length `rows`; whole tensors of
    one feature have one shape (see `groups`).
    """
    feeds = {
        tensor.name: np.empty((rows, tensor.width), dtype=BY_NAME[tensor.datatype].numpy)
        for tensor in signature.tensors
        if tensor.name not in signature.whole_tensors
    }
    for feature in signature.features:
        if not feature.tensor:
            continue
        values = columns[feature.name]
        if feature.is_tensor:
            feeds[feature.tensor] = _stacked(feature, values)
            continue
        if feature.is_string:
            values = np.array(
                [NULL_TOKEN if value is None else value for value in values], dtype=object
            )
        feeds[feature.tensor][:, feature.column] = values
    for text in signature.texts:
        feeds[text.tensor][:, 0] = [
            joined_ngrams(text.analysis, value) for value in columns[text.feature]
        ]
    return feeds


def _stacked(feature: Feature, rows: Array) -> Array:
    """[rows, *shape] in the tensor's datatype."""
    dtype = BY_NAME[feature.dtype].numpy
    if not len(rows):
        return np.empty((0, *(size or 1 for size in feature.shape or ())), dtype=dtype)
    return np.stack([np.asarray(row, dtype=dtype) for row in rows])


def groups(signature: Signature, columns: Mapping[str, Array], rows: int) -> list[Array]:
    """The places of rows that can be run together: whose tensors have the same sizes. All of them,
    where no dimension but the batch is dynamic.
    """
    dynamic = [f.name for f in signature.features if f.is_tensor and None in (f.shape or ())]
    if not dynamic:
        return [np.arange(rows)]
    found: dict[tuple[Any, ...], list[int]] = {}
    for row in range(rows):
        sizes = tuple(columns[name][row].shape for name in dynamic)
        found.setdefault(sizes, []).append(row)
    return [np.array(places) for places in found.values()]
