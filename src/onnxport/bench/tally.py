"""What one generator process counted in a stretch of time; sent to the process that reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from onnxport.bench.histogram import Histogram

Phase = Literal["warm-up", "test", "end"]

WRONG, BUSY, UNSENT = "wrong answer", "busy", "not sent"
REFUSED, CLOSED, TIMEOUT = "connection refused", "connection closed", "timeout"
NO_HTTP, UNREACHABLE, NO_TLS = "no HTTP", "unreachable", "TLS"


@dataclass(slots=True)
class Slot:
    """Counts of one stretch. Phase "end" is the time after the test in which the last answers come in.

    arrived: right answers that came in during the stretch, whenever they were asked for. sent, received: bytes.

    The others are of requests that fell due (closed loop: were sent) during the test. right: answered rightly, and as
    late as `latency` tells; failed: how many by kind, WRONG, BUSY and statuses such as "status 500" among them.
    examples: what was seen first of a kind. strangers: answers under another request's id. waited: requests that found
    all connections taken. lag: how late requests went out through the generator's own fault: after they fell due, or
    in the closed loop after the answer before.
    """

    phase: Phase
    index: int = 0
    arrived: int = 0
    right: int = 0
    latency: Histogram = field(default_factory=Histogram)
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    waited: int = 0
    lag: Histogram = field(default_factory=Histogram)
    strangers: int = 0
    sent: int = 0
    received: int = 0

    def fail(self, kind: str, example: str, count: int = 1) -> None:
        """Counts a request that got no right answer."""
        self.failed[kind] += count
        if example:
            self.examples.setdefault(kind, example)

    def merge(self, other: Slot) -> None:
        """Adds the counts of another process or stretch."""
        self.arrived += other.arrived
        self.right += other.right
        self.latency.merge(other.latency)
        self.failed.update(other.failed)
        self.examples = {**other.examples, **self.examples}
        self.waited += other.waited
        self.lag.merge(other.lag)
        self.strangers += other.strangers
        self.sent += other.sent
        self.received += other.received
