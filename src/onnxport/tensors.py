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
    null) else.
    """
    if feature.is_string:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def pack(signature: Signature, columns: Mapping[str, Array], rows: int) -> Arrays:
    """Feeds for one run: a matrix [rows, width] a tensor, nulls in strings as the null token, texts
    as their n-grams.

    columns: by feature name, as `column_array` makes them, each of length `rows`.
    """
    feeds = {
        tensor.name: np.empty((rows, tensor.width), dtype=BY_NAME[tensor.datatype].numpy)
        for tensor in signature.tensors
    }
    for feature in signature.features:
        if not feature.tensor:
            continue
        values = columns[feature.name]
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
