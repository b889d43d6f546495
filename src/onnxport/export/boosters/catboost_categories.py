"""CatBoost's categorical features as codes. It keeps only hashes of the categories, so X must tell what they are.

Source: `catboost/libs/cat_feature/cat_feature.cpp`, and `_catboost.pyx` for the texts of whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxport.export.boosters.catboost_dump import Dump
from onnxport.export.graph import ML, Array, Column, Columns
from onnxport.export.registry import Emission, Refusal, refuse, refuse_rows


@dataclass(frozen=True, slots=True)
class Codes:
    """A categorical feature's categories as numbers. tensor: int64 [N, 1], len(hashes) for what X
    doesn't hold. hashes: uint64, by code. rows: the codes of X, -1 for null.
    """

    tensor: str
    hashes: Array
    rows: Array


def known_categories(emission: Emission, native: Any, columns: Columns) -> dict[int, list[Any]]:
    """By categorical feature, what X (and an imputer in front) can give: strings or whole numbers."""
    return {
        place: _known(emission, native, columns.items[place])
        for place in native.get_cat_feature_indices()
    }


def text_of(category: Any) -> str:
    """What the library hashes: True is "1"."""
    return category if isinstance(category, str) else str(int(category))


def _known(emission: Emission, native: Any, column: Column) -> list[Any]:
    if column.origin is None or not column.origin.raw:
        raise refuse(emission, native, _COMPUTED)
    feature = column.origin.feature
    values = np.asarray(emission.sample.get(feature, ())).tolist()
    found = set(values) | set(column.categories or ()) | emission.categories.get(feature, set())
    texts = column.kind == "string"
    kept = [v for v in found if v is not None and v == v and isinstance(v, str) == texts]
    if not values:
        raise refuse(emission, native, _NO_SAMPLE)
    if not texts and any(abs(v) >= 2**53 or v % 1 for v in kept):
        wrong = next(v for v in kept if abs(v) >= 2**53 or v % 1)
        reason = (
            f"the feature {feature!r} is categorical and holds {wrong!r}, which is no whole number"
        )
        reason += " below 2^53"
        nearest = "Turn the column into strings before fitting."
        raise refuse(emission, native, Refusal("cat_features", reason, nearest))
    return sorted(kept)


def codes_of(
    emission: Emission, columns: Columns, dump: Dump, known: Mapping[int, list[Any]], i: int
) -> Codes:
    place = dump.categories[i]
    column, keys = columns.items[place], known[place]
    hashes = np.array([dump.hashes[text_of(key)] for key in keys], dtype=np.uint64)
    distinct, codes = np.unique(hashes, return_inverse=True)
    assert column.origin is not None
    emission.categories.setdefault(column.origin.feature, set()).update(keys)
    by_key = dict(zip(keys, codes.tolist(), strict=True))
    values = np.asarray(emission.sample[column.origin.feature]).tolist()
    rows = np.array([by_key.get(value, -1) for value in values], dtype=np.int64)
    found = _lookup(emission, column, keys, codes, len(distinct))
    return Codes(emission.graph.cast(found, TensorProto.INT64), distinct, rows)


def _lookup(
    emission: Emission, column: Column, keys: Sequence[Any], codes: Array, unknown: int
) -> str:
    """Each row's code, double [N, 1]. Rows with a broken number are refused, as the library does."""
    graph, tensor = emission.graph, column.tensor
    dtype: Any = object
    if column.kind == "number":
        tensor, dtype = graph.matrix(Columns((column,))), np.float64
        whole = graph.node("Equal", tensor, graph.node("Floor", tensor))
        refuse_rows(emission, graph.node("Not", whole))
    return graph.node(
        "LabelEncoder",
        tensor,
        domain=ML,
        keys_tensor=numpy_helper.from_array(np.array(keys, dtype=dtype), "keys"),
        values_tensor=numpy_helper.from_array(codes.astype(np.float64), "values"),
        default_tensor=numpy_helper.from_array(np.array([float(unknown)]), "default"),
    )


def place_of(emission: Emission, native: Any, codes: Codes, hash: int) -> int:
    """The code of this hash."""
    found = np.flatnonzero(codes.hashes == np.uint64(hash))
    if not len(found):
        raise refuse(emission, native, UNSEEN)
    return int(found[0])


_COMPUTED = Refusal(
    "cat_features",
    "an earlier step computes a categorical feature, and only those that come from X convert",
    "Let these columns pass to CatBoost as they are, or put a OneHotEncoder in front instead of cat_features.",
)
_NO_SAMPLE = Refusal(
    "cat_features",
    "CatBoost keeps only hashes of its categories, and there is no X to tell what they are",
    "Pass the X that it was fitted on: save(model, path, X).",
)
UNSEEN = Refusal(
    "cat_features",
    "it knows categories that X doesn't hold, and CatBoost keeps only their hashes",
    "Pass the whole X that it was fitted on, with the rows of eval_set where it has categories of its own.",
)
