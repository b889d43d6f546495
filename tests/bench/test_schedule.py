"""When requests fall due."""

from __future__ import annotations

import heapq
from itertools import islice, takewhile

import numpy as np
import pytest

from onnxport.bench.load import Arrivals, Load
from onnxport.bench.schedule import SECOND, due_times


def times(load: Load, seconds: float, start: int = 0) -> list[int]:
    """Of all processes, in order."""
    end = start + int(seconds * SECOND)
    each = [takewhile(lambda t: t < end, due_times(load, p, start)) for p in range(load.processes)]
    return [*heapq.merge(*each)]


@pytest.mark.parametrize("processes", [1, 3])
def test_constant_distances(processes: int) -> None:
    due = times(Load(rate=1000, arrivals="constant", processes=processes), 2, start=17)
    assert len(due) == 2000
    assert due[:3] == [17, 17 + SECOND // 1000, 17 + SECOND // 500]
    assert set(np.diff(due).tolist()) == {SECOND // 1000}


@pytest.mark.parametrize("processes", [1, 3])
def test_a_poisson_process(processes: int) -> None:
    """Waits are exponential: mean 1 ms, as large a deviation, and 1 in e waits longer than the mean."""
    due = times(Load(rate=1000, processes=processes), 50)
    waits = np.diff(due) / SECOND
    assert len(due) == pytest.approx(50_000, rel=0.02)
    assert waits.std() == pytest.approx(waits.mean(), rel=0.03)
    assert (waits > 0.001).mean() == pytest.approx(np.exp(-1), rel=0.03)


@pytest.mark.parametrize("arrivals", ["poisson", "constant"])
def test_the_same_each_time(arrivals: Arrivals) -> None:
    load = Load(rate=10, arrivals=arrivals)
    assert [*islice(due_times(load, 0, 5), 50)] == [*islice(due_times(load, 0, 5), 50)]


def test_processes_of_a_poisson_process_differ() -> None:
    load = Load(rate=10, processes=2)
    assert next(due_times(load, 0, 0)) != next(due_times(load, 1, 0))
