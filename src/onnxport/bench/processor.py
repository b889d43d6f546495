"""How busy this process was: what it computed, and how long it waited for a processor that another one had.

On a machine that the generator shares with the server, computing alone tells too little: a process that gets a
processor for half of the time is at its limit at 50 %. Linux counts the waiting in /proc/self/schedstat ("Scheduler
Statistics" in the kernel's documentation: nanoseconds on a processor, nanoseconds ready in a queue, number of turns).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

_SCHEDULER = Path("/proc/self/schedstat")


@dataclass(frozen=True, slots=True)
class Used:
    """In seconds since the process began. ready: None where the system doesn't tell."""

    computing: float
    ready: float | None


def used() -> Used:
    """What this process has used so far."""
    try:
        ready = int(_SCHEDULER.read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return Used(time.process_time(), None)
    return Used(time.process_time(), ready)


@dataclass(frozen=True, slots=True)
class Effort:
    """What a generator process used during the test, in seconds. spun: of it, looking for answers while a request was
    nearly due and nothing else to do, because a timer would come too late.
    """

    wall: float
    computing: float
    ready: float | None
    spun: float

    @property
    def busy(self) -> float:
        """The share of the time in which it worked, or would have, had there been a processor."""
        worked = self.computing + (self.ready or 0.0) - self.spun
        return max(worked, 0.0) / self.wall if self.wall else 0.0


def effort(before: Used, after: Used, wall: float, spun: float) -> Effort:
    """What was used in between."""
    known = before.ready is not None and after.ready is not None
    ready = (after.ready or 0.0) - (before.ready or 0.0) if known else None
    return Effort(wall, after.computing - before.computing, ready, spun)
