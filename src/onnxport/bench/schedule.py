"""When the requests of the open loop fall due: fixed before the test, and deaf to how the server does."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from onnxport.bench.load import Load

SECOND = 1_000_000_000


def due_times(load: Load, process: int, start: int) -> Iterator[int]:
    """When one process's requests fall due, in nanoseconds of the clock that `start` was read from; without end.

    All processes' together have the load's rate, at equal distances or as a Poisson process; the same at each call.
    """
    assert load.rate is not None
    if load.arrivals == "constant":
        turns = itertools.count(process, load.processes)
        return (start + int(turn * SECOND / load.rate) for turn in turns)
    return _poisson(load.rate / load.processes, random.Random(process), start)


def _poisson(rate: float, chance: random.Random, start: int) -> Iterator[int]:
    """Independent waits, exponentially distributed; the sum of such processes is one again."""
    seconds = 0.0
    while True:
        seconds += chance.expovariate(rate)
        yield start + int(seconds * SECOND)
