"""The fake's time: it runs at a rate of its own and jumps on request, so that minutes pass in moments."""

from __future__ import annotations

import datetime
import time


class Clock:
    """Seconds since 1970, as the fake counts them. rate: its seconds for each of ours; 0 stops it."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate
        self._then, self._since = time.time(), time.monotonic()

    def now(self) -> float:
        return self._then + (time.monotonic() - self._since) * self.rate

    def advance(self, seconds: float) -> None:
        self._then += seconds

    def set_rate(self, rate: float) -> None:
        self._then, self._since, self.rate = self.now(), time.monotonic(), rate

    def reset(self, rate: float) -> None:
        """Back to this machine's time."""
        self._then, self._since, self.rate = time.time(), time.monotonic(), rate


def as_date(seconds: float) -> datetime.datetime:
    """As answers carry it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
