"""The outcome of a load test as data, and what it says about itself: whether the generator was the limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.bench.histogram import RELATIVE_ERROR, Histogram
from onnxport.bench.load import Load
from onnxport.bench.processor import Effort
from onnxport.bench.record import Record
from onnxport.bench.tally import WRONG, Slot

FORMAT = 1  # of `to_json`; a number more for each change that a reader could stumble over
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
MILLISECOND = 1_000_000

_SATURATED = 0.9  # of a processor
_HELD = 0.5  # of the connections' time
_CROWDED = 0.2  # of the time waiting for a processor
_LATE = MILLISECOND


@dataclass(frozen=True, slots=True)
class Subject:
    """The model file that was asked about. requests: how many different ones. left_out: rows that it refuses."""

    name: str
    version: str
    digest: str
    requests: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Result:
    """target: the base URL. server: what it says of itself (GET /model). started: UTC, ISO 8601.

    is_partial: the test was stopped before its time. machine: of the generator.
    """

    target: str
    load: Load
    subject: Subject
    server: Mapping[str, Any]
    started: str
    record: Record
    efforts: Sequence[Effort]
    is_partial: bool
    machine: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """How long requests were counted."""
        return max((effort.wall for effort in self.efforts), default=0.0)

    @property
    def per_second(self) -> float:
        """Right answers that came in during the test, a second."""
        return self.record.arrived / self.seconds if self.seconds else 0.0

    @property
    def passed(self) -> bool:
        """Whether there were answers, and none was wrong."""
        return self.record.total.right > 0 and self.record.wrong == 0

    @property
    def is_crowded(self) -> bool:
        """Whether a generator process often waited for a processor that another program had."""
        return any((e.ready or 0.0) > _CROWDED * e.wall for e in self.efforts)

    @property
    def held(self) -> float:
        """The share of the time in which connections of the closed loop had an answer and waited to be asked again."""
        total = self.seconds * self.load.connections
        return 0.0 if self.load.is_open or not total else self.record.total.lag.total / 1e9 / total

    def suspicions(self) -> Iterator[str]:
        """Why these figures may be the generator's rather than the server's."""
        total, busiest = self.record.total, max((e.busy for e in self.efforts), default=0.0)
        if busiest >= _SATURATED:
            yield f"it was busy {busiest:.0%} of the time"
        if self.is_crowded:
            share = max((e.ready or 0.0) / e.wall for e in self.efforts if e.wall)
            yield f"it waited for a processor {share:.0%} of the time"
        if self.held > _HELD:
            yield f"its connections waited for it {self.held:.0%} of the time"
        lag, slow = total.lag.percentile(99), total.latency.percentile(99)
        if self.load.is_open and lag > max(_LATE, slow / 10 if math.isfinite(slow) else 0):
            yield f"1 in 100 requests went out over {lag / MILLISECOND:.1f} ms late"

    def to_json(self) -> dict[str, Any]:
        """Plain data, as the documentation's page on load tests describes it. Times in milliseconds, if not seconds."""
        record, load = self.record, self.load
        return {
            "format": FORMAT,
            "passed": self.passed,
            "partial": self.is_partial,
            "target": self.target,
            "started": self.started,
            "model": {
                "name": self.subject.name,
                "version": self.subject.version,
                "digest": self.subject.digest,
            },
            "server": dict(self.server),
            "load": {
                "loop": "open" if load.is_open else "closed",
                "rate": load.rate,
                "arrivals": load.arrivals if load.is_open else None,
                "connections": load.connections,
                "processes": load.processes,
                "rows_per_request": load.rows_per_request,
                "different_requests": self.subject.requests,
                "rows_left_out": self.subject.left_out,
                "warm_up_seconds": load.warm_up,
                "seconds": load.duration,
                "timeout_seconds": load.timeout,
            },
            "seconds": self.seconds,
            "requests_per_second": self.per_second,
            "rows_per_second": self.per_second * load.rows_per_request,
            "requests": {
                "total": record.requests,
                "right": record.total.right,
                "wrong": record.wrong,
                "busy": record.busy,
                "failed": sum(record.failures.values()),
            },
            "failures": record.failures,
            "examples": dict(record.total.examples),
            "latency": _latency(record.total.latency),
            "bytes": {"sent": record.sent, "received": record.received},
            "generator": self._generator(),
            "over_time": [*self._over_time()],
            "machine": dict(self.machine),
        }

    def _generator(self) -> dict[str, Any]:
        total = self.record.total
        suspicions = [*self.suspicions()]
        return {
            "was_the_limit": bool(suspicions),
            "why": suspicions,
            "processes": [
                {
                    "busy": effort.busy,
                    "computing_seconds": effort.computing,
                    "ready_seconds": effort.ready,
                    "spun_seconds": effort.spun,
                }
                for effort in self.efforts
            ],
            "lag": _percentiles(total.lag),
            "held": None if self.load.is_open else self.held,
            "waited_for_connection": total.waited,
            "foreign_request_ids": total.strangers,
        }

    def _over_time(self) -> Iterator[dict[str, Any]]:
        last = max(self.record.slots, default=-1)
        for index in range(last + 1):
            begins = index * self.record.slot
            length = min(self.record.slot, self.seconds - begins)
            if length < self.record.slot / 10:  # a crumb's rate says nothing
                continue
            slot = self.record.slots.get(index, Slot("test"))
            yield {
                "second": round(begins, 6),
                "requests_per_second": slot.arrived / length,
                "failed": slot.failed.total() - slot.failed[WRONG],
                "wrong": slot.failed[WRONG],
                "p50": _milliseconds(slot.latency.percentile(50)),
                "p99": _milliseconds(slot.latency.percentile(99)),
            }


def _percentiles(histogram: Histogram) -> dict[str, float | None]:
    found = {f"p{p:g}": _milliseconds(histogram.percentile(p)) for p in PERCENTILES}
    longest = histogram.longest if histogram.counts else math.nan
    return {**found, "max": _milliseconds(longest), "mean": _milliseconds(histogram.mean)}


def _latency(histogram: Histogram) -> dict[str, Any]:
    return {
        **_percentiles(histogram),
        "measured": histogram.count,
        "unanswered": histogram.beyond,
        "relative_error": RELATIVE_ERROR,
        "buckets": [
            [low / MILLISECOND, (low + width) / MILLISECOND, count]
            for low, width, count in histogram.buckets()
        ],
    }


def _milliseconds(nanoseconds: float) -> float | None:
    """None for what JSON can't say: infinite, or not a number."""
    return round(nanoseconds / MILLISECOND, 6) if math.isfinite(nanoseconds) else None
