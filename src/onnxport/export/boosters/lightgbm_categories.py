"""Categories in front of LightGBM's trees: pandas' own as their codes, and a column for each set of
categories that some node asks for.

Source: `_data_from_pandas` in `python-package/lightgbm/basic.py`; `Tree::CategoricalDecision` in
`include/LightGBM/tree.h`, which cuts a code off to a whole number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxport.export.graph import ML, Array, Column, Columns, Graph, joined, number_columns
from onnxport.export.registry import Emission
from onnxport.signature import NULL_TOKEN

_PACKED_FROM = 2**16  # a table with so many answers is kept as bits
_NOTED = 512  # a feature's categories that are tried on and beside


@dataclass(frozen=True)
class Features:
    """X as LightGBM gets it. sources: as it comes in. codes: numbers, those of pandas' categories their
    places, NaN where missing or unknown. categories: by column, those of pandas in the order of training.
    """

    sources: Columns
    codes: Columns
    categories: Mapping[int, Sequence[Any]] = field(default_factory=dict)


def with_codes(
    emission: Emission, columns: Columns, categories: Mapping[int, Sequence[Any]]
) -> Features:
    """The features, with these columns known to hold pandas' categories."""
    parts = []
    for i, column in enumerate(columns.items):
        if i in categories:
            places = np.arange(float(len(categories[i])))
            code = _looked_up(emission.graph, column, categories[i], places, np.nan)
            parts.append(number_columns(code, 1))
            _note_values(emission, column, categories[i])
        else:
            parts.append(Columns((column,)))
    return Features(columns, joined(parts), categories)


def set_columns(
    emission: Emission, features: Features, feature: int, sets: Sequence[Array]
) -> Columns:
    """A column of 0 and 1 for each set of this feature's codes, 0 where the row is in it."""
    graph = emission.graph
    known = np.unique(np.concatenate(sets))
    outside = np.ones((len(known) + 1, len(sets)), dtype=bool)
    for i, members in enumerate(sets):
        outside[np.searchsorted(known, members), i] = False
    place = _place(emission, features, feature, known)
    emission.widen(len(sets))
    return number_columns(_answers(graph, outside, place), len(sets), finite=True)


def _place(emission: Emission, features: Features, feature: int, known: Array) -> str:
    """Each row's place in the known codes, or the one behind them: int64 [N]."""
    graph, places = emission.graph, np.arange(len(known) + 1)
    values = features.categories.get(feature)
    if values is not None:
        chosen = [values[code] for code in known.tolist()]
        column = features.sources.items[feature]
        found = _looked_up(graph, column, chosen, places[:-1], len(known))
    else:
        column = features.codes.items[feature]
        _note_codes(emission, column, known)
        code = graph.matrix(Columns((column,)))
        minus, beyond = graph.constant(-1.0), graph.constant(float(known[-1]) + 1)
        code = graph.node("Where", graph.node("IsNaN", code), minus, code)
        whole = graph.cast(graph.node("Clip", code, minus, beyond), TensorProto.INT64)
        found = _encoded(graph, whole, known, places[:-1], len(known))
    return graph.node("Squeeze", found, graph.integers([1]))


def _answers(graph: Graph, table: Array, place: str) -> str:
    """The table's rows at these places, double [N, at least the columns]. table: bool."""
    if table.size < _PACKED_FROM:
        return graph.to_double(graph.node("Gather", graph.constant(table, np.bool_), place))
    packed = np.packbits(table, axis=1, bitorder="little")
    found = graph.node("Gather", graph.constant(packed, np.uint8), place)
    bits = graph.constant(2 ** np.arange(8)[None, None, :], np.uint8)
    masked = graph.node("BitwiseAnd", graph.node("Unsqueeze", found, graph.integers([2])), bits)
    given = graph.to_double(graph.cast(masked, TensorProto.BOOL))
    flat = graph.node("Reshape", given, graph.integers([0, 8 * packed.shape[1]]))
    return graph.node("Slice", flat, *map(graph.integers, ([0], [table.shape[1]], [1])))


def _looked_up(
    graph: Graph, column: Column, values: Sequence[Any], places: Array, unknown: float
) -> str:
    """The place of a row's category, or `unknown`, [N, 1] in the dtype of the places."""
    fitting = [i for i, value in enumerate(values) if _fits(column, value)]
    chosen, tensor = [values[i] for i in fitting], column.tensor
    if column.kind == "number":
        tensor, chosen = graph.matrix(Columns((column,))), [float(value) for value in chosen]
    if not chosen:
        kind = graph.constant([[unknown]], places.dtype)
        return graph.node("Expand", kind, graph.node("Shape", tensor))
    keys = np.array(chosen, dtype=object if column.kind == "string" else np.float64)
    return _encoded(graph, tensor, keys, places[fitting], unknown)


def _fits(column: Column, value: Any) -> bool:
    """Whether a row can hold this category: no request holds a lone surrogate, or the null token."""
    if column.kind != "string":
        return not isinstance(value, str)
    if not isinstance(value, str) or value == NULL_TOKEN:
        return False
    return value.encode("utf-8", "ignore").decode() == value


def _encoded(graph: Graph, tensor: str, keys: Array, values: Array, default: float) -> str:
    return graph.node(
        "LabelEncoder",
        tensor,
        domain=ML,
        keys_tensor=numpy_helper.from_array(keys, "keys"),
        values_tensor=numpy_helper.from_array(values, "values"),
        default_tensor=numpy_helper.from_array(np.array([default], dtype=values.dtype), "default"),
    )


def _note_values(emission: Emission, column: Column, values: Sequence[Any]) -> None:
    """For the unknown rows, and for the threshold rows beside categories that are numbers."""
    if column.origin is None:
        return
    fitting = [value for value in values if _fits(column, value)]
    emission.categories.setdefault(column.origin.feature, set()).update(fitting)
    if column.kind == "number":
        for value in fitting[:_NOTED]:
            emission.split_at(column.origin, float(value))


def _note_codes(emission: Emission, column: Column, known: Array) -> None:
    """For the threshold rows: what is cut off to -0, to a known code, and to the next."""
    some = known[np.linspace(0, len(known) - 1, min(len(known), _NOTED)).astype(int)]
    for value in {-1, 0, *some.tolist(), *(some + 1).tolist()}:
        emission.split_at(column.origin, float(value))
