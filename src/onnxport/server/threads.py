"""Threads for long predictions: daemons, since a run can't be stopped and must not hold up the process's end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

NAME = "prediction"
_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max", None),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


class Threads:
    """A fixed number of threads, started when the first work comes. busy: pieces of work that aren't done."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.busy, self._lock = 0, Lock()
        self._started = False
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self, work: Callable[[], Any], then: Callable[[Any], Any]) -> None:
        """Calls `then` with the work's result on the running event loop, unless that has ended. Work must not raise."""
        loop = asyncio.get_running_loop()

        def step() -> None:
            result = work()
            self._count(-1)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any longer
                loop.call_soon_threadsafe(then, result)

        if not self._started:
            self._started = True
            for _ in range(self.count):
                Thread(target=self._run_forever, name=NAME, daemon=True).start()
        self._count(1)
        self._work.put(step)

    def _count(self, change: int) -> None:
        with self._lock:
            self.busy += change

    def _run_forever(self) -> None:
        while True:
            self._work.get()()


def usable_processors() -> int:
    """How many processors this process may use: its affinity, and the quota of its control group, rounded up."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, _quota()))


def _quota() -> int:
    """Processors by the control group's quota of time, versions 2 and 1; without one, very many."""
    for quota_file, period_file in _QUOTAS:
        with contextlib.suppress(OSError, ValueError):
            words = Path(quota_file).read_text("ascii").split()
            if period_file:
                words.append(Path(period_file).read_text("ascii").strip())
            quota, period = int(words[0]), int(words[1])
            if quota > 0:
                return -(-quota // period)
    return 1 << 16
