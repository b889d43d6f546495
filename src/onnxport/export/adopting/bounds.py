"""The integers that a graph answers where they pick from a table: found by trying the original, as
not every table can be traced to its input.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxport import runtime
from onnxport.export.adopting.drawing import Slot, draw
from onnxport.export.adopting.oracles import Oracle

_SLOW = 0.05  # seconds
_FAR = {1: 2**7, 2: 2**15, 4: 2**30, 8: 2**40}
_OUT_OF_BOUNDS = re.compile(r"out of (data )?bounds|indices element|out of range", re.IGNORECASE)
_SEED = 17


def bounded(
    oracle: Oracle,
    slots: Sequence[Slot],
    guessed: Sequence[Slot],
    sizes: Mapping[str, int],
    rows: int,
) -> tuple[Slot, ...]:
    """Slots of integers that pick from a table, with the smallest and the largest that it has: found
    by trying, where the original says that an index is out of bounds.
    """
    names = {slot.name for slot in guessed}
    since = time.perf_counter()
    oracle.run(draw(slots, sizes, max(rows, 1), np.random.default_rng(_SEED)))
    if time.perf_counter() - since > _SLOW:
        return tuple(slots)
    found = []
    for slot in slots:
        known = slot
        if slot.name in names and slot.is_integer and not slot.codes:
            far = _FAR[np.dtype(slot.dtype).itemsize]
            least = _reach(oracle, slots, slot, slot.low, -far, sizes, rows)
            most = _reach(oracle, slots, slot, slot.high, far, sizes, rows)
            known = replace(slot, least=least, most=most)
        found.append(known)
    return tuple(found)


def _reach(
    oracle: Oracle,
    slots: Sequence[Slot],
    slot: Slot,
    near: int,
    far: int,
    sizes: Mapping[str, int],
    rows: int,
) -> int | None:
    """The last integer on the way from `near` to `far` that is answered; None where all are, or where
    the original stops for another reason than the bounds of a table.
    """
    info = np.iinfo(slot.dtype)
    far = min(max(far, int(info.min)), int(info.max))
    if _answers(oracle, slots, slot, far, sizes, rows) is not False:
        return None
    step, good = (1 if far > near else -1), near
    while _answers(oracle, slots, slot, good + step, sizes, rows) is True:
        good, step = good + step, step * 2
    while abs(step) > 1:
        step = int(step / 2)
        if _answers(oracle, slots, slot, good + step, sizes, rows) is True:
            good += step
    return good


def _answers(
    oracle: Oracle,
    slots: Sequence[Slot],
    slot: Slot,
    value: int,
    sizes: Mapping[str, int],
    rows: int,
) -> bool | None:
    """Whether a row full of this integer is answered; None where it fails for another reason than an
    index out of bounds.
    """
    arrays = draw(slots, sizes, max(rows, 1), np.random.default_rng(_SEED))
    arrays[slot.name] = np.full_like(arrays[slot.name], value)
    try:
        oracle.run(arrays)
    except runtime.RuntimeRefusal as err:
        return False if _OUT_OF_BOUNDS.search(str(err)) else None
    return True
