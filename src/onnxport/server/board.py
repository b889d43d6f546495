"""The figures of all workers in one block of shared memory: each writes its own part, any can read the sum."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import get_args

import numpy as np

from onnxport.server.problems import CODES
from onnxport.server.processes import SUPERVISOR, Process, alive, born
from onnxport.server.routes import Route

# Upper bounds of the buckets, in seconds; one more bucket holds what is above the last.
_FINE = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005)
SECONDS = (*_FINE, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = tuple(float(2**power) for power in range(15))

ROUTES: tuple[str, ...] = get_args(Route)
STATUSES = range(100, 600)
OTHER = "other"
_TOLD = {code for _, codes in CODES.values() for code in codes}
_BESIDE = {"unauthorized", "not_found", "method_not_allowed", "bad_host", "overloaded"}
_BESIDE |= {"draining", "deadline", "too_many_connections", OTHER}
REASONS = tuple(sorted(_TOLD | _BESIDE))


class _Plan:
    """Hands out places in a part, one after the other."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, cells: int = 1) -> int:
        self.size += cells
        return self.size - cells

    def histogram(self, bounds: Sequence[float]) -> int:
        """The place of a histogram: its sum, then its buckets."""
        return self.take(1 + len(bounds) + 1)


# Where each figure stands in a worker's part. Gauges come first: they end with their process.
_plan = _Plan()
PID, BORN, IN_FLIGHT, CONNECTIONS = (_plan.take() for _ in range(4))
GAUGES = _plan.size
REQUESTS = {route: _plan.take(len(STATUSES)) - STATUSES.start for route in ROUTES}  # + status
DURATION = {route: _plan.histogram(SECONDS) for route in ROUTES}
QUEUE, INFERENCE = _plan.histogram(SECONDS), _plan.histogram(SECONDS)
BATCH = _plan.histogram(ROWS)
REJECTED = {reason: _plan.take() for reason in REASONS}
LOST, LOG_DROPPED, RESTARTS = (_plan.take() for _ in range(3))
IN_USE = _plan.take()  # 1 as soon as the part has had an owner
_PAGE = 512  # cells; parts on pages of their own share no cache line
PART = -(-_plan.size // _PAGE) * _PAGE


class Board:
    """A part of float64 cells for each worker, and one for the process that makes the board and starts them.

    Made before the workers are forked. Only a part's owner writes to it, each cell by one aligned store of 8 bytes, so
    nobody waits for anybody and no reader sees half a number. The memory is anonymous: it is gone with the last
    process, however that ends.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._maker = os.getpid()
        self._memory = mmap.mmap(-1, (workers + 1) * PART * 8)
        self._cells = memoryview(self._memory).cast("d")

    def take(self, worker: int) -> memoryview[float]:
        """The part of a worker, for the process that calls this: gauges at zero, counters as they were left."""
        part = self._part(worker)
        self._reset(part)
        part[RESTARTS] += part[IN_USE]
        part[IN_USE] = 1.0
        part[PID], part[BORN] = float(os.getpid()), born(os.getpid())
        return part

    def vacate(self, worker: int) -> None:
        """Says that a worker's process has ended; its counters stay, and its successor goes on from them."""
        self._reset(self._part(worker))

    def sums(self) -> list[float]:
        """Every figure, added up over all parts."""
        cells = np.frombuffer(self._memory, dtype=np.float64)
        totals: list[float] = cells.reshape(self._workers + 1, PART).sum(axis=0).tolist()
        return totals

    def processes(self) -> list[Process]:
        """The running processes: workers by number, from 1, and their maker where it is none of them."""
        owners = [(str(n + 1), self._part(n)) for n in range(self._workers)]
        found = [Process(name, int(part[PID]), part[BORN]) for name, part in owners if part[PID]]
        if self._maker not in {each.pid for each in found}:
            found.append(Process(SUPERVISOR, self._maker, born(self._maker)))
        return [each for each in found if alive(each)]

    def _part(self, worker: int) -> memoryview[float]:
        if not 0 <= worker <= self._workers:
            raise IndexError(f"worker {worker} of {self._workers}")
        return self._cells[worker * PART : (worker + 1) * PART]

    @staticmethod
    def _reset(part: memoryview[float]) -> None:
        for cell in range(GAUGES):
            part[cell] = 0.0
