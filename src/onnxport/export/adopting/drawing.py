"""Rows for a graph of which no training data is known: drawn by datatype and shape, on and beside
split points, at extremes, with words that it knows and others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxport.datatypes import MAX_EXACT_INTEGER
from onnxport.export.adopting.structure import Array

Arrays = dict[str, Array]
_WORDS = ("", "unknown", "a", "the quick brown fox", "東京", "naïve café", " x ", "NaN")
STYLES = ("drawn", "wide", "extremes")


@dataclass(frozen=True)
class Slot:
    """One input of the graph, of one row: numpy dtype, the shape behind the batch (a str is a
    dynamic dimension), and what is known of its values.

    low, high: integers that are drawn. points: split points of its columns, each an array or None.
    words: strings, and codes: integers, that the graph knows. closed: it refuses other strings.
    least, most: the integers that are answered, as far as they are known.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    low: int = 0
    high: int = 127
    points: tuple[Array | None, ...] = ()
    words: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    closed: bool = False
    least: int | None = None
    most: int | None = None

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(d for d in self.shape if isinstance(d, str))

    @property
    def is_text(self) -> bool:
        return self.dtype == "object"

    @property
    def is_integer(self) -> bool:
        return np.dtype(self.dtype).kind in "iu"


def draw(
    slots: Sequence[Slot],
    sizes: Mapping[str, int],
    rows: int,
    rng: np.random.Generator,
    style: str = "drawn",
) -> Arrays:
    """So many rows by input name, [rows, *shape]. style: one of STYLES, "zeros", "thresholds" (on and
    beside split points), or "vast" (any magnitude that a column may have).
    """
    return {slot.name: _values(slot, sizes, rows, rng, style) for slot in slots}


def _values(
    slot: Slot, sizes: Mapping[str, int], rows: int, rng: np.random.Generator, style: str
) -> Array:
    shape = (rows, *(sizes[d] if isinstance(d, str) else d for d in slot.shape))
    kind = np.dtype(slot.dtype).kind
    if slot.is_text:
        return _strings(slot, shape, rng)
    if kind == "b":
        coin: Array = rng.random(shape) < (0.0 if style == "zeros" else 0.5)
        return coin
    if kind in "iu":
        return _integers(slot, shape, rng, style)
    with np.errstate(over="ignore"):
        numbers: Array = _floats(slot, shape, rng, style).astype(slot.dtype)
    return numbers


def _floats(slot: Slot, shape: tuple[int, ...], rng: np.random.Generator, style: str) -> Array:
    if style == "zeros":
        return np.zeros(shape)
    values: Array = rng.standard_normal(shape)
    if style == "wide":
        values = rng.random(shape) * _scales(shape, rng, 1.0, 10.0, 255.0)
    elif style == "vast":
        values = np.sign(values) * 10 ** rng.uniform(-3, 12, shape)
    elif style == "extremes":
        values *= _scales(shape, rng, 100.0, 1e3, 1e4)
    elif len(shape) == 2 and any(points is not None for points in slot.points):
        values = _on_points(slot, shape, rng, beside=style == "thresholds")
    elif len(shape) == 2:
        values *= _scales(shape, rng, 1.0, 10.0, 100.0)
    return values


def _scales(shape: tuple[int, ...], rng: np.random.Generator, *choices: float) -> Array:
    """One of these factors for each row, to be multiplied with values of this shape."""
    scales: Array = rng.choice(choices, size=(shape[0], *(1,) * (len(shape) - 1)))
    return scales


def _on_points(
    slot: Slot, shape: tuple[int, ...], rng: np.random.Generator, *, beside: bool
) -> Array:
    """Each column between its own split points; or on them, and one step of float32 beside."""
    values = rng.standard_normal(shape)
    for column, points in enumerate(slot.points):
        if points is None or not len(points):
            continue
        chosen = rng.choice(points, size=shape[0])
        if beside:
            single = chosen.astype(np.float32)
            step = rng.integers(-1, 2, size=shape[0])
            moved = np.nextafter(single, np.where(step < 0, -np.inf, np.inf).astype(np.float32))
            values[:, column] = np.where(step == 0, single, moved)
        else:
            spread = np.ptp(points) or max(abs(float(points[0])), 1.0)
            values[:, column] = chosen + rng.standard_normal(shape[0]) * spread / 4
    return values


def _integers(slot: Slot, shape: tuple[int, ...], rng: np.random.Generator, style: str) -> Array:
    low, high = slot.low, slot.high
    if slot.codes and style != "extremes":
        return rng.choice(np.array(slot.codes, dtype=slot.dtype), size=shape)
    if style == "zeros":
        return np.full(shape, min(max(low, 0), high), dtype=slot.dtype)
    if style == "extremes":
        ends = np.array([low, high, min(max(low, 0), high)], dtype=slot.dtype)
        return rng.choice(ends, size=shape)
    if len(shape) == 2 and any(points is not None for points in slot.points):
        drawn = np.round(_on_points(slot, shape, rng, beside=style == "thresholds"))
        return np.clip(drawn, low, high).astype(slot.dtype)
    return rng.integers(low, high, size=shape, endpoint=True, dtype=slot.dtype)


def _strings(slot: Slot, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Known words most of the time, alone and in sentences; else words that nobody knows."""
    count = int(np.prod(shape))
    known = slot.words or _WORDS
    values = np.empty(count, dtype=object)
    for i, kind in enumerate(rng.random(count).tolist()):
        word = known[int(rng.integers(len(known)))]
        if slot.closed:
            pass
        elif kind < 0.15:
            word = _WORDS[int(rng.integers(len(_WORDS)))]
        elif kind < 0.35:
            word = " ".join([word, *(known[int(j)] for j in rng.integers(len(known), size=3))])
        values[i] = word
    return values.reshape(shape)


def limits_of(dtype: str, *, matrix: bool) -> tuple[int, int]:
    """The integers that an input of this datatype takes; a matrix of several columns those that are
    exact in JSON's numbers everywhere.
    """
    info = np.iinfo(dtype)
    if matrix:
        return max(int(info.min), -MAX_EXACT_INTEGER), min(int(info.max), MAX_EXACT_INTEGER)
    return int(info.min), int(info.max)
