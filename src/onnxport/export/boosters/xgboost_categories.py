"""XGBoost's categories in the graph: codes of what a row holds, and on which side of a split each
code stands.

Sources: `src/common/categorical.h`, `src/encoder/ordinal.h`, `pd_cat_inf` of
`xgboost/_data_utils.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxport.errors import shorten
from onnxport.export.boosters.xgboost_dump import Codes, Dump, keys_of
from onnxport.export.graph import ML, Array, Column, Columns, number_columns
from onnxport.export.registry import Emission, Refusal, refuse
from onnxport.signature import NULL_TOKEN

# Each set of codes that goes right, by feature, with its place among all of them.
Sets = Mapping[tuple[int, tuple[int, ...]], int]

_NOWHERE = 2.0**23  # a code that stands in no set

_NO_X = Refusal(
    "X",
    "it knows categories, and there is no X to show the type of their columns",
    "Pass the X of training: save(model, path, X).",
)


def _named(column: Column) -> str:
    return "a column" if column.origin is None else f"the column {shorten(column.origin.feature)!r}"


def _no_category(column: Column) -> Refusal:
    reason = f"{_named(column)} holds strings, and is no pandas category"
    nearest = (
        "Pass X.astype({name: 'category'}) as in training, or put a OneHotEncoder or OrdinalEncoder "
        "in front."
    )
    return Refusal("X", reason, nearest)


def codes_of(emission: Emission, estimator: Any, column: Column, known: Codes | None) -> Columns:
    """A feature as XGBoost sees it: a category by its code, NaN where it is missing. known: the
    categories that the booster remembers, by which it codes anew, and takes one that it doesn't know
    for another; without them a category keeps the code that pandas gives it.
    """
    if column.categories is None:
        if known is not None and not any(map(len, emission.sample.values())):
            raise refuse(emission, estimator, _NO_X)
        if column.kind == "string":
            raise refuse(emission, estimator, _no_category(column))
        return Columns((column,))
    categories = list(column.categories)
    codes: list[int | None] = list(range(len(categories)))
    if known is not None:
        codes = [known.get(key) for key in keys_of(categories)]
    if None in codes:
        new = shorten(repr(categories[codes.index(None)]))
        reason = f"{_named(column)} has the category {new}, which training hadn't"
        nearest = "Pass the X of training, or one whose columns have its dtypes."
        raise refuse(emission, estimator, Refusal("X", reason, nearest))
    if column.origin is not None:
        emission.categories.setdefault(column.origin.feature, set()).update(categories)
    found = _looked_up(emission, column, categories, codes)
    if known is not None:
        emission.undecided.append(
            emission.graph.node("Equal", found, emission.graph.constant(_NOWHERE))
        )
    return number_columns(found, 1, finite=True)


def _looked_up(
    emission: Emission, column: Column, categories: Sequence[Any], codes: Sequence[Any]
) -> str:
    """The code of the category in each row, double [N, 1]."""
    if column.kind == "string":
        tensor, keys = column.tensor, np.array([*categories, NULL_TOKEN], dtype=object)
    else:
        tensor = emission.graph.matrix(Columns((column,)))
        keys = np.array([*map(float, categories), np.nan])
    return emission.graph.node(
        "LabelEncoder",
        tensor,
        domain=ML,
        keys_tensor=numpy_helper.from_array(keys, "keys"),
        values_tensor=numpy_helper.from_array(np.array([*map(float, codes), np.nan]), "values"),
        default_tensor=numpy_helper.from_array(np.array([_NOWHERE]), "default"),
    )


def distinct_sets(dump: Dump) -> Sets:
    """All sets that some node asks about."""
    found = {
        (int(tree.feature[node]), codes) for tree in dump.trees for node, codes in tree.sets.items()
    }
    return {key: place for place, key in enumerate(sorted(found))}


def sides(emission: Emission, numbers: Columns, sets: Sets) -> str | None:
    """A column for each set: 1 where the code is in it, so that the row goes right, 0 where it
    isn't, NaN where it is missing: float32 [N, sets]. Nothing where no tree splits categories.
    """
    emission.widen(len(sets))
    parts = []
    for feature in sorted({feature for feature, _ in sets}):
        own = [codes for other, codes in sets if other == feature]
        parts.append(_beside(emission, numbers.pick([feature]), own))
    if len(parts) < 2:
        return parts[0] if parts else None
    return emission.graph.node("Concat", *parts, axis=1)


def _beside(emission: Emission, column: Columns, own: list[tuple[int, ...]]) -> str:
    """One feature's columns, looked up by its code, cut to a whole number. A negative code stands in
    no set.
    """
    graph = emission.graph
    table = _table(own)
    last = float(len(table) - 1)
    code = graph.rounded(graph.matrix(column))
    low = graph.node("Less", code, graph.constant(0.0))
    high = graph.node("GreaterOrEqual", code, graph.constant(last - 1))
    place = graph.node("Where", graph.node("Or", low, high), graph.constant(last - 1), code)
    place = graph.node("Where", graph.node("IsNaN", code), graph.constant(last), place)
    place = graph.node("Squeeze", graph.cast(place, TensorProto.INT64), graph.integers([1]))
    return graph.node("Gather", graph.constant(table, np.float32), place)


def _table(own: list[tuple[int, ...]]) -> Array:
    """By code and set, [codes + 2, sets]: then what no set holds, and what is missing."""
    codes = 1 + max((max(codes, default=-1) for codes in own), default=-1)
    table = np.zeros((codes + 2, len(own)), dtype=np.float32)
    for place, chosen in enumerate(own):
        table[list(chosen), place] = 1
    table[-1] = np.nan
    return table
