"""CatBoost's CTRs in the graph: one table for each combination of categories, and its row by the codes.

Sources: `catboost/libs/model/static_ctr_provider.cpp`, `CalcHashes` (`catboost/libs/model/model_calcer.h`), `CalcHash`
(`catboost/libs/helpers/hash.h`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxport.export.boosters.catboost_categories import UNSEEN, Codes, place_of
from onnxport.export.boosters.catboost_ctrs import Bit, Combination, Ctr
from onnxport.export.graph import ML, Array, Columns, number_columns
from onnxport.export.registry import Emission, Refusal, refuse

_MAGIC = np.uint64(0x4906BA494954CB65)
_MOST_TRIED, _MOST_STATES = 4_000_000, 2**62


def statistics(
    emission: Emission,
    native: Any,
    numbers: Columns,
    ctrs: Sequence[Ctr],
    codes: Mapping[int, Codes],
) -> list[Columns]:
    """A column for each CTR, by one table for each combination."""
    found: dict[int, Columns] = {}
    for combination in dict.fromkeys(ctr.combination for ctr in ctrs):
        chosen = [i for i, ctr in enumerate(ctrs) if ctr.combination == combination]
        some = [ctrs[i] for i in chosen]
        looked_up = _table(emission, native, numbers, combination, some, codes)
        for column, i in enumerate(chosen):
            found[i] = looked_up.pick([column])
    return [found[i] for i in range(len(ctrs))]


def _table(
    emission: Emission,
    native: Any,
    numbers: Columns,
    combination: Combination,
    ctrs: Sequence[Ctr],
    codes: Mapping[int, Codes],
) -> Columns:
    """The CTRs of one combination."""
    graph = emission.graph
    sizes = [len(codes[i].hashes) + 1 for i in combination.features] + [2] * len(combination.bits)
    if np.prod(sizes, dtype=np.float64) > _MOST_STATES:
        raise refuse(emission, native, _TOO_MANY)
    wanted = np.unique(np.concatenate([ctr.hashes for ctr in ctrs]))
    states = _states_of(emission, native, combination, codes, wanted)
    hashes = _hashes(states, combination, codes)
    steps = np.cumprod([1, *sizes[:-1]]).astype(np.int64)
    parts = [codes[i].tensor for i in combination.features]
    parts += [_answer(emission, native, numbers, bit, codes) for bit in combination.bits]
    key = parts[0]
    for part, step in zip(parts[1:], steps[1:].tolist(), strict=True):
        key = graph.node("Add", key, graph.node("Mul", part, graph.integers(step)))
    row = graph.node(
        "LabelEncoder",
        key,
        domain=ML,
        keys_tensor=numpy_helper.from_array(states @ steps, "keys"),
        values_tensor=numpy_helper.from_array(np.arange(len(states)), "values"),
        default_tensor=numpy_helper.from_array(np.array([len(states)]), "default"),
    )
    table = np.column_stack([_values(ctr, hashes) for ctr in ctrs])
    row = graph.node("Squeeze", row, graph.integers([1]))
    emission.widen(len(ctrs))
    return number_columns(graph.node("Gather", graph.constant(table), row), len(ctrs), finite=True)


def _values(ctr: Ctr, hashes: Array) -> Array:
    """A CTR of combinations with these hashes, and last of an unknown one."""
    by_hash = dict(zip(ctr.hashes.tolist(), ctr.values.tolist(), strict=True))
    return np.array([*(by_hash.get(hash, ctr.unknown) for hash in hashes.tolist()), ctr.unknown])


def _answer(
    emission: Emission, native: Any, numbers: Columns, bit: Bit, codes: Mapping[int, Codes]
) -> str:
    """int64 [N, 1]."""
    graph = emission.graph
    if bit.border is None:
        place = place_of(emission, native, codes[bit.feature], bit.hash)
        equal = graph.node("Equal", codes[bit.feature].tensor, graph.integers(place))
        return graph.cast(equal, TensorProto.INT64)
    x = graph.rounded(graph.matrix(numbers.pick([bit.feature])))
    above = graph.node("Greater", x, graph.constant(bit.border))
    if bit.missing:
        above = graph.node("Or", above, graph.node("IsNaN", x))
    return graph.cast(above, TensorProto.INT64)


def _states_of(
    emission: Emission,
    native: Any,
    combination: Combination,
    codes: Mapping[int, Codes],
    wanted: Array,
) -> Array:
    """The combinations with the wanted hashes, int64 [known, categories and bits]: first those of
    X's rows are tried, then all.
    """
    rows = np.column_stack([codes[i].rows for i in combination.features])
    seen = np.unique(rows[(rows >= 0).all(axis=1)], axis=0)
    sizes = [len(codes[i].hashes) for i in combination.features]
    found = _matching(seen, combination, codes, wanted)
    if len(found) < len(wanted) and np.prod(sizes, dtype=np.float64) <= _MOST_TRIED:
        every = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1)
        found = _matching(every.reshape(-1, len(sizes)), combination, codes, wanted)
    if len(found) < len(wanted):
        raise refuse(emission, native, UNSEEN)
    return found


def _matching(
    rows: Array, combination: Combination, codes: Mapping[int, Codes], wanted: Array
) -> Array:
    """These rows of codes with all answers to the bits, as far as their hashes are wanted."""
    found = []
    for number in range(2 ** len(combination.bits)):
        bits = [number >> i & 1 for i in range(len(combination.bits))]
        states = np.column_stack([rows, np.tile(np.array(bits, dtype=np.int64), (len(rows), 1))])
        found.append(states[np.isin(_hashes(states, combination, codes), wanted)])
    return np.concatenate(found)


def _hashes(states: Array, combination: Combination, codes: Mapping[int, Codes]) -> Array:
    """`CalcHashes`: of the categories' hashes, as signed numbers of 32 bits, and of the bits, one
    after the other. uint64 [states].
    """
    total = np.zeros(len(states), dtype=np.uint64)
    for column, feature in enumerate(combination.features):
        signed = codes[feature].hashes.astype(np.uint32).view(np.int32).astype(np.int64)
        total = _joined_hash(total, signed.view(np.uint64)[states[:, column]])
    for column in range(len(combination.features), states.shape[1]):
        total = _joined_hash(total, states[:, column].astype(np.uint64))
    return total


def _joined_hash(a: Array, b: Array) -> Array:
    joined_hash: Array = _MAGIC * (a + _MAGIC * b)
    return joined_hash


_TOO_MANY = Refusal(
    "max_ctr_complexity",
    "a combination of its categorical features has more than 2^62 possible values",
    "Set max_ctr_complexity=1 or 2.",
)
