"""The integers that a module answers, found by trying: of ids that torch refuses, ONNX's Gather answers some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxport.export.pytorch.module import Flat, Refused, ask
from onnxport.tensors import Array

_MOST_PLACES = 64
_ROUNDS = 4
_NARROW = 2**31 - 1


@dataclass(frozen=True)
class Limits:
    """low, high: int64, one for each place of a row's tensor, or () where all have the same."""

    low: Array
    high: Array

    @property
    def hull(self) -> tuple[int, int]:
        """From the smallest to the largest integer that any place takes."""
        return int(self.low.min()), int(self.high.max())

    @property
    def alike(self) -> bool:
        """All places take the same integers."""
        return bool((self.low == self.low.min()).all() and (self.high == self.high.max()).all())

    def within(self, datatype: Any) -> tuple[int, int] | None:
        """The hull, or None where that is all that the datatype can hold."""
        info = np.iinfo(datatype)
        return None if self.hull == (_least(info), _most(info)) else self.hull


def narrowed(limits: Limits | None) -> Limits | None:
    """The same within 32 bits: beyond, sums overflow in torch otherwise than in ONNX Runtime."""
    if limits is None:
        return None
    return Limits(np.maximum(limits.low, -_NARROW - 1), np.minimum(limits.high, _NARROW))


def integer_limits(
    flat: Flat, batch: Sequence[Array], index: int, sizes: Sequence[int]
) -> Limits | None:
    """The limits of one input, of integers; None where nothing can be found out.

    batch: a few rows that the module answers. sizes: the lengths of its weights, at which ids may end.
    """
    array = batch[index]
    info = np.iinfo(array.dtype)
    places = [None] if array[0].size > _MOST_PLACES else list(np.ndindex(array.shape[1:]))
    low = np.empty(len(places), dtype=np.int64)
    high = np.empty(len(places), dtype=np.int64)
    for number, place in enumerate(places):
        known = array if place is None else array[(slice(None), *place)]
        fits = _trial(flat, batch, index, place)
        start = next((v for v in np.unique(known).tolist()[:8] if fits(v)), None)
        if start is None:
            return None
        low[number], high[number] = _range(fits, start, info, sizes)
    if len(places) == 1:
        return Limits(low[0], high[0])
    return Limits(low.reshape(array.shape[1:]), high.reshape(array.shape[1:]))


def _trial(flat: Flat, batch: Sequence[Array], index: int, place: Any) -> Callable[[int], bool]:
    """Whether the module answers when this integer stands in the tensor, or in one place of it."""
    seen: dict[int, bool] = {}

    def fits(value: int) -> bool:
        if value not in seen:
            changed = batch[index].copy()
            changed[... if place is None else (slice(None), *place)] = value
            try:
                ask(flat, [*batch[:index], changed, *batch[index + 1 :]])
                seen[value] = True
            except Refused:
                seen[value] = False
        return seen[value]

    return fits


def _range(
    fits: Callable[[int], bool], start: int, info: Any, sizes: Sequence[int]
) -> tuple[int, int]:
    """The integers around `start` that are answered, with none in between that isn't."""
    low, high = _least(info), _most(info)
    for _ in range(_ROUNDS):
        high = _end(fits, start, high, [n - 1 for n in sizes])
        low = _end(fits, start, low, [0, *(-n for n in sizes)])
        holes = [v for v in _probes(low, high) if not fits(v)]
        if not holes:
            break
        high = min([high, *(v for v in holes if v > start)])
        low = max([low, *(v for v in holes if v < start)])
    return low, high


def _end(fits: Callable[[int], bool], start: int, far: int, guesses: Sequence[int]) -> int:
    """The last integer from `start` towards `far` that is answered."""
    if fits(far):
        return far
    step = 1 if far > start else -1
    for guess in guesses:
        inside = (guess - start) * step >= 0 and (far - guess) * step > 0
        if inside and fits(guess) and not fits(guess + step):
            return guess
    return last_fitting(fits, start, far)


def last_fitting(fits: Callable[[int], bool], fine: int, wrong: int) -> int:
    """The last number that fits, between one that does and one that doesn't, by halving."""
    while abs(wrong - fine) > 1:
        middle = (fine + wrong) // 2
        if fits(middle):
            fine = middle
        else:
            wrong = middle
    return fine


def _probes(low: int, high: int) -> list[int]:
    """Integers at which a module may refuse in the middle of its range."""
    near = [-2, -1, 0, 1, 2, low + 1, high - 1, (low + high) // 2]
    return [value for value in near if low < value < high]


def _least(info: Any) -> int:
    return max(int(info.min), -(2**63))


def _most(info: Any) -> int:
    return min(int(info.max), 2**63 - 1)
