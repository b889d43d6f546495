"""The columns that CatBoost's trees ask about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxport.export.boosters.catboost_categories import Codes, codes_of, place_of
from onnxport.export.boosters.catboost_combinations import statistics
from onnxport.export.boosters.catboost_ctrs import Ctr
from onnxport.export.boosters.catboost_dump import Dump
from onnxport.export.graph import Columns, joined, number_columns
from onnxport.export.members import repeated
from onnxport.export.registry import Emission


def tree_columns(
    emission: Emission, native: Any, columns: Columns, dump: Dump, known: Mapping[int, list[Any]]
) -> Columns:
    """The columns that the trees ask about, in the order of the dump."""
    numbers = columns.pick(dump.numbers)
    asked = {i for i, _ in dump.values} | _asked(dump.ctrs)
    codes = {i: codes_of(emission, columns, dump, known, i) for i in sorted(asked)}
    parts = [numbers, *_indicators(emission, native, dump, codes)]
    parts += statistics(emission, native, numbers, dump.ctrs, codes)
    whole = joined(parts)
    if len(whole):
        return whole
    return number_columns(repeated(emission.graph, columns, [0.0]), 1, finite=True)


def _asked(ctrs: Sequence[Ctr]) -> set[int]:
    """The categorical features that a CTR needs."""
    combinations = {ctr.combination for ctr in ctrs}
    exact = {bit.feature for c in combinations for bit in c.bits if bit.border is None}
    return exact | {feature for c in combinations for feature in c.features}


def _indicators(
    emission: Emission, native: Any, dump: Dump, codes: Mapping[int, Codes]
) -> list[Columns]:
    """For each feature, a column of 0 and 1 for each category that a tree asks for."""
    graph, parts = emission.graph, []
    for i in dict.fromkeys(feature for feature, _ in dump.values):
        wanted = [hash for feature, hash in dump.values if feature == i]
        places = [place_of(emission, native, codes[i], hash) for hash in wanted]
        hot = graph.node("Equal", codes[i].tensor, graph.integers(np.array([places])))
        emission.widen(len(places))
        parts.append(number_columns(graph.to_double(hot), len(places), finite=True))
    return parts
