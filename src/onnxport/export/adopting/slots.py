"""The inputs of a repaired graph as slots to be filled, and the sizes and integers that it takes, found
by trying the original.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from onnxport import runtime
from onnxport.datatypes import BY_NAME, Datatype
from onnxport.errors import shorten
from onnxport.export.adopting.bounds import bounded
from onnxport.export.adopting.drawing import Slot, draw
from onnxport.export.adopting.findings import cure, named, refusal
from onnxport.export.adopting.knowledge import Knowledge
from onnxport.export.adopting.oracles import Oracle, refused
from onnxport.export.adopting.repairs import Repaired
from onnxport.export.adopting.structure import Array, Port, inputs

_BY_ONNX = {row.onnx: row for row in BY_NAME.values()}
_SIZES = (5, 16, 32, 64, 3, 128, 224, 1, 2, 256, 8, 640)
_HIGHS = (127, 9, 1, 0)
_MOST_SIZES = 3
_SEED = 17
_ROWS = 4
_MORE_SIZES = (7, 4, 6, 8, 9, 10, 12, 14, 20, 24, 48, 50, 77, 100, 196, 384, 512)
_MOST_ELEMENTS, _MOST_TRIED = 2**26, 2**22


@dataclass(frozen=True)
class Layout:
    """slots: what is to be filled. sizes: the sizes of all dynamic dimensions that are tried, one
    mapping a try, {} where none is dynamic.
    """

    slots: tuple[Slot, ...]
    sizes: tuple[Mapping[str, int], ...]


def datatype(port: Port) -> Datatype:
    return _BY_ONNX[port.element]


def plain_slots(repaired: Repaired, knowledge: Knowledge) -> tuple[Slot, ...]:
    """The slots as the graph alone tells of them."""
    return tuple(_slot(each, repaired, knowledge) for each in _placed(repaired))


def lay_out(
    repaired: Repaired,
    original: runtime.Graph,
    knowledge: Knowledge,
    sample: Sequence[Mapping[str, Array]],
) -> Layout:
    """Raises NotAdoptable where no drawn row runs in the original.

    sample: real rows by input name, groups of equal shapes; their sizes are taken first.
    """
    slots = plain_slots(repaired, knowledge)
    for slot in slots:
        if _elements(slot, {}) > _MOST_ELEMENTS:
            what = f"one row of it has {_elements(slot, {}):,} elements, too many for a request"
            raise refusal(
                "large_row", named("input", slot.name), what, "export it for smaller inputs"
            )
    oracle = Oracle(original, repaired.feeds, repaired.views)
    fixed = {each.shape[0] for each in inputs(repaired.model) if each.shape}
    rows = max((size for size in fixed if isinstance(size, int)), default=0)
    if sample:
        shaped = tuple(_sizes_of(slots, group) for group in sample[:_MOST_SIZES])
        return Layout(_opened(oracle, _around(slots, sample), shaped[0], rows), shaped)
    symbols = list(dict.fromkeys(symbol for slot in slots for symbol in slot.symbols))
    guessed = [slot for slot in slots if slot.is_integer and _is_guess(slot, repaired, knowledge)]
    reason = ""
    for high in _HIGHS if guessed else _HIGHS[:1]:
        tried = tuple(replace(s, high=min(s.high, high)) if s in guessed else s for s in slots)
        sizes, reason = _running(oracle, tried, symbols, rows)
        if sizes:
            if len(sizes) == 1 and len(symbols) == 1:
                tried, sizes = _pinned(repaired, tried, sizes[0]), [{}]
            opened = _opened(oracle, tried, sizes[0], rows)
            return Layout(bounded(oracle, opened, guessed, sizes[0], rows), tuple(sizes))
    where = named("input", slots[0].name) if len(slots) == 1 else ""
    raise refusal(
        "no_row",
        where,
        f"no drawn row runs in the original ({reason})",
        "give rows that do: --sample FILE.npz, .json or .csv",
    )


def _running(
    oracle: Oracle, slots: Sequence[Slot], symbols: Sequence[str], rows: int
) -> tuple[list[Mapping[str, int]], str]:
    """Sizes of the dynamic dimensions with which rows run, and why others don't."""
    found: list[Mapping[str, int]] = []
    reason = ""
    for sizes in _tries(symbols):
        if len(found) >= _MOST_SIZES:
            break
        if any(_elements(slot, sizes) > _MOST_TRIED for slot in slots):
            continue
        try:
            rng = np.random.default_rng(_SEED)
            for style in ("drawn", "wide"):
                _run(oracle, draw(slots, sizes, rows or _ROWS, rng, style), rows)
            found.append(sizes)
        except (runtime.RuntimeRefusal, ValueError, KeyError) as err:
            reason = refused(err) if isinstance(err, runtime.RuntimeRefusal) else str(err)
    return found, reason


def _elements(slot: Slot, sizes: Mapping[str, int]) -> int:
    return math.prod(sizes.get(d, 1) if isinstance(d, str) else d for d in slot.shape)


def _pinned(
    repaired: Repaired, slots: Sequence[Slot], sizes: Mapping[str, int]
) -> tuple[Slot, ...]:
    """Dimensions that the file calls dynamic and that run with one size alone get that size, in the
    graph too: its exporter fixed what lies inside.
    """
    for info in repaired.model.graph.input:
        for axis, dimension in enumerate(info.type.tensor_type.shape.dim):
            size = sizes.get(dimension.dim_param or f"{info.name}:{axis}")
            if axis and size is not None and not dimension.dim_value:
                dimension.dim_value = size
    told = ", ".join(f"{shorten(name)} = {size}" for name, size in sizes.items())
    what = f"a dimension that the file calls dynamic runs with one size alone ({told})"
    repaired.findings.append(cure("one_size", "", what, "it is fixed to that"))
    return tuple(
        replace(slot, shape=tuple(sizes.get(d, d) if isinstance(d, str) else d for d in slot.shape))
        for slot in slots
    )


def _run(oracle: Oracle, arrays: Mapping[str, Array], rows: int) -> None:
    """Runs the rows: together where the batch is fixed, else each alone."""
    if rows > 1:
        oracle.run(arrays)
    else:
        oracle.each(arrays)


def _opened(
    oracle: Oracle, slots: Sequence[Slot], sizes: Mapping[str, int], rows: int
) -> tuple[Slot, ...]:
    """Slots of strings are closed only where the original refuses a string that it doesn't know."""
    found = list(slots)
    for index, slot in enumerate(slots):
        if not slot.closed:
            continue
        arrays = draw(slots, sizes, max(rows, 1), np.random.default_rng(_SEED))
        arrays[slot.name] = np.full(arrays[slot.name].shape, "\ue000unknown", dtype=object)
        try:
            oracle.run(arrays)
            found[index] = replace(slot, closed=False)
        except runtime.RuntimeRefusal:
            pass
    return tuple(found)


def _tries(symbols: Sequence[str]) -> Iterator[Mapping[str, int]]:
    """All dimensions alike first, then each of another size."""
    if not symbols:
        yield {}
        return
    for size in _SIZES:
        yield dict.fromkeys(symbols, size)
    if 2 <= len(symbols) <= 3:
        for sizes in product((5, 16, 1, 32), repeat=len(symbols)):
            if len(set(sizes)) > 1:
                yield dict(zip(symbols, sizes, strict=True))
    for size in _MORE_SIZES:
        yield dict.fromkeys(symbols, size)


# ------------------------------------------------------------------------------------------- what the graph says


@dataclass(frozen=True)
class _Placed:
    """A port and the place of its first column among all number columns."""

    port: Port
    start: int


def _placed(repaired: Repaired) -> Iterator[_Placed]:
    start = 0
    for each in inputs(repaired.model):
        yield _Placed(each, start)
        if not each.is_text and each.shape and len(each.shape) == 2:
            width = each.shape[1]
            start += width if isinstance(width, int) else 0


def _slot(placed: _Placed, repaired: Repaired, knowledge: Knowledge) -> Slot:
    port = placed.port
    dtype = datatype(port).numpy
    shape = tuple(
        d if isinstance(d, (int, str)) else f"{port.name}:{axis}"
        for axis, d in enumerate((port.shape or (None,))[1:], 1)
    )
    low, high = _range(port, repaired, knowledge, dtype)
    own = repaired.feeds[port.name].input
    words = knowledge.words.get(port.name) or knowledge.words.get(own)
    return Slot(
        name=port.name,
        dtype=dtype,
        shape=shape,
        low=low,
        high=high,
        points=_points(placed, shape, knowledge),
        words=words or knowledge.words.get("", ()),
        codes=knowledge.codes.get(port.name, knowledge.codes.get(own, ())),
        closed=bool(words),
    )


def _range(port: Port, repaired: Repaired, knowledge: Knowledge, dtype: str) -> tuple[int, int]:
    if np.dtype(dtype).kind not in "iu":
        return 0, 0
    size = vocabulary(port, repaired, knowledge)
    if size is not None:
        return 0, max(size - 1, 0)
    info = np.iinfo(dtype)
    if info.bits == 8:
        return int(info.min), int(info.max)
    return 0, 1 if "mask" in port.name.lower() else 127


def vocabulary(port: Port, repaired: Repaired, knowledge: Knowledge) -> int | None:
    """How many rows the table has that this input picks from, if it does."""
    own = repaired.feeds[port.name].input
    return knowledge.vocabularies.get(port.name, knowledge.vocabularies.get(own))


def _is_guess(slot: Slot, repaired: Repaired, knowledge: Knowledge) -> bool:
    own = repaired.feeds[slot.name].input
    return slot.name not in knowledge.vocabularies and own not in knowledge.vocabularies


def _points(
    placed: _Placed, shape: tuple[int | str, ...], knowledge: Knowledge
) -> tuple[Array | None, ...]:
    """Split points by column: a tree's features are counted over all inputs side by side."""
    if not knowledge.points or len(shape) != 1 or not isinstance(shape[0], int):
        return ()
    every = knowledge.points.get(-1)
    return tuple(knowledge.points.get(placed.start + i, every) for i in range(shape[0]))


def _around(slots: Sequence[Slot], sample: Sequence[Mapping[str, Array]]) -> tuple[Slot, ...]:
    """Slots whose integers and words are those of real rows."""
    return tuple(_like(slot, [group[slot.name] for group in sample]) for slot in slots)


def _like(slot: Slot, arrays: Sequence[Array]) -> Slot:
    if slot.is_text:
        seen = [str(v) for array in arrays for v in array.ravel()[:500].tolist()]
        return replace(slot, words=tuple(dict.fromkeys((*seen, *slot.words))))
    if slot.is_integer:
        return replace(
            slot,
            low=int(min(array.min() for array in arrays)),
            high=int(max(array.max() for array in arrays)),
        )
    return slot


def _sizes_of(slots: Sequence[Slot], group: Mapping[str, Array]) -> Mapping[str, int]:
    return {
        dimension: group[slot.name].shape[1 + axis]
        for slot in slots
        for axis, dimension in enumerate(slot.shape)
        if isinstance(dimension, str)
    }
