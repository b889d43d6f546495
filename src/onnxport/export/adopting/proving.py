"""The rows that an adopted graph is held to, and what the original says to them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxport import runtime
from onnxport.export.adopting.batching import Batching, difference_of
from onnxport.export.adopting.drawing import STYLES, draw
from onnxport.export.adopting.oracles import Oracle
from onnxport.export.adopting.slots import Layout
from onnxport.export.adopting.structure import Array
from onnxport.export.tensor_saving import batches
from onnxport.signature import Feature

Arrays = dict[str, Array]
RowSets = list[tuple[str, Arrays]]

_BUDGET = 4.0  # seconds that the original may take for all rows
_BYTES = 128 * 1024**2  # that all rows and answers may take together
_MOST, _FEWEST = 1000, 6
_MOST_ALONE = 200
_SEED = 5


def row_sets(
    batching: Batching,
    layout: Layout,
    features: Sequence[Feature],
    sample: Sequence[Arrays],
) -> RowSets:
    """Named rows, the first of which the original answers."""
    rng = np.random.default_rng(_SEED)
    styles = [*STYLES, *(["vast"] if any(not feature.is_tensor for feature in features) else [])]
    if any(points is not None for slot in layout.slots for points in slot.points):
        styles.insert(1, "thresholds")
    count = _affordable(batching.oracle, layout, len(styles) * len(layout.sizes))
    sets: RowSets = [
        ("sample", {name: array[: max(count, _MOST_ALONE)] for name, array in group.items()})
        for group in sample
    ]
    for sizes in layout.sizes:
        for style in styles:
            sets.append((style, draw(layout.slots, sizes, count, rng, style)))
        sets.append(("zeros", draw(layout.slots, sizes, 1, rng, "zeros")))
    nullable = [feature for feature in features if feature.nullable]
    if nullable:
        sets.append(("nulls", _with_nulls(draw(layout.slots, {}, count, rng), nullable, rng)))
    first = sets[0][1]
    sizes_of_batches = (1, 2, 257) if count >= 100 else (1, 2)
    sets += batches({name: array[:64] for name, array in first.items()}, sizes_of_batches)
    return sets


def _affordable(oracle: Oracle, layout: Layout, sets: int) -> int:
    """How many rows a set may have, by how long the original takes for five."""
    rng = np.random.default_rng(_SEED)
    largest, since = 1, time.perf_counter()
    for sizes in layout.sizes:
        rows = draw(layout.slots, sizes, 5, rng, "drawn")
        largest = max(largest, _row_bytes(rows) + _row_bytes(oracle_answers(oracle, rows) or {}))
    a_row = (time.perf_counter() - since) / (5 * len(layout.sizes))
    affordable = min(_BUDGET / max(a_row * sets, 1e-9), _BYTES / (largest * sets))
    return int(np.clip(affordable, _FEWEST, _MOST))


def _row_bytes(arrays: Arrays) -> int:
    return sum(array.nbytes // max(len(array), 1) for array in arrays.values())


def _with_nulls(rows: Arrays, nullable: Sequence[Feature], rng: np.random.Generator) -> Arrays:
    for feature in nullable:
        column = rows[feature.tensor][:, feature.column]
        column[rng.random(len(column)) < 0.3] = np.nan
    return rows


def able_to_take_null(
    oracle: Oracle, layout: Layout, features: Sequence[Feature]
) -> frozenset[str]:
    """Features whose NaN the original answers with finite numbers."""
    able = set()
    for feature in features:
        if feature.kind != "numeric":
            continue
        rows = draw(layout.slots, layout.sizes[0], 5, np.random.default_rng(_SEED), "drawn")
        rows[feature.tensor][:, feature.column] = np.nan
        answers = oracle_answers(oracle, rows)
        if answers is not None and all(
            np.isfinite(value).all() for value in answers.values() if value.dtype.kind == "f"
        ):
            able.add(feature.name)
    return frozenset(able)


def oracle_answers(oracle: Oracle, rows: Mapping[str, Array]) -> Arrays | None:
    """The original's answers, None where it refuses one of the rows."""
    try:
        return oracle(rows)
    except (runtime.RuntimeRefusal, KeyError, ValueError):
        return None


class Remembered:
    """The original, asked once about each set of rows."""

    def __init__(self, oracle: Oracle, sets: RowSets) -> None:
        self._oracle, self._sets = oracle, sets
        self._known = {id(rows): oracle_answers(oracle, rows) for _, rows in sets}

    def __call__(self, rows: Arrays) -> Arrays:
        known = self._known.get(id(rows))
        return self._oracle(rows) if known is None else known

    def every(self) -> list[Arrays]:
        """The answers to all sets that the original answers whole; to each row where it refuses some."""
        answers = []
        for _, rows in self._sets:
            given = self._known[id(rows)]
            if given is not None:
                answers.append(given)
                continue
            count = min(len(next(iter(rows.values()))), _MOST_ALONE)
            each = [{name: array[i : i + 1] for name, array in rows.items()} for i in range(count)]
            alone = (oracle_answers(self._oracle, row) for row in each)
            answers += [answer for answer in alone if answer is not None]
        return answers


def lowers(batching: Batching, model: bytes, layout: Layout) -> bool:
    """Whether a graph of another operator set answers like the original, on a few rows."""
    graph = runtime.Graph(model)
    rng = np.random.default_rng(_SEED)
    size = batching.rows_per_run
    other = replace(
        batching.oracle,
        graph=graph,
        feeds={
            name: replace(f, input=name, flat=False) for name, f in batching.oracle.feeds.items()
        },
        views={
            name: replace(v, output=name, labels=None, item=None)
            for name, v in batching.oracle.views.items()
        },
        rows=size,
        whole=frozenset(),
    )
    for sizes in layout.sizes:
        for style in ("drawn", "wide"):
            rows = draw(layout.slots, sizes, 5, rng, style)
            wanted, got = oracle_answers(batching.oracle, rows), oracle_answers(other, rows)
            if wanted is None:
                continue
            if got is None:
                return False
            if any(difference_of(wanted[name], got[name]) > batching.bar for name in wanted):
                return False
    return True
