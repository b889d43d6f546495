"""The goals: what is wanted of `onnxport serve`, and how it is computed from a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.serving.records import Results

Figure = Callable[[Results], float | None]


@dataclass(frozen=True)
class Goal:
    """figure: what was measured, None where nothing was. bound: the least that it must be, or the most."""

    name: str
    figure: Figure
    bound: float
    unit: str = ""
    at_most: bool = False

    def met_by(self, measured: float) -> bool:
        return measured <= self.bound if self.at_most else measured >= self.bound


def times(scenario: str, other: str) -> Figure:
    """Requests a second over another server's, the median of the rounds."""
    return lambda results: results.ratio(scenario, "onnxport", other)


def worst(scenario: str, other: str) -> Figure:
    """The same in the worst round."""
    return lambda results: min(results.ratios(scenario, "onnxport", other), default=None)


def fastest_peer(results: Results) -> float | None:
    """Requests a second over those of the peer that comes nearest."""
    peers = [s for s in results.servers("peers-64") if s not in ("nginx", "onnxport")]
    ratios = [results.ratio("peers-64", "onnxport", peer) for peer in peers]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def p99(results: Results) -> float | None:
    """Milliseconds."""
    found = results.middle("iris-64", "onnxport", lambda m: m.load.p99)
    return None if found is None else found / 1000


def lone_distance(results: Results) -> float | None:
    """Microseconds that a lone connection waits longer than for nginx's constant, in the median."""
    ours = results.middle("iris-1", "onnxport", lambda m: m.load.p50)
    bound = results.middle("iris-1", "nginx", lambda m: m.load.p50)
    return None if ours is None or bound is None else ours - bound


def rows_a_second(results: Results) -> float | None:
    """Rows of large requests."""
    return results.middle("rows-10000", "onnxport", lambda m: m.load.rate * m.rows)


def two_workers(results: Results) -> float | None:
    """Requests a second of two workers over one's."""
    return results.ratio("workers", "onnxport-2-workers", "onnxport")


def start(results: Results) -> float | None:
    """Seconds to ready over the tutorial's."""
    return results.start_ratio("onnxport", "tutorial")


def resident(results: Results) -> float | None:
    """Megabytes after the load."""
    found = results.middle("iris-64", "onnxport", lambda m: m.resident)
    return None if found is None else found / 1e6


GOALS = (
    Goal("64 connections: share of nginx's rate", times("iris-64", "nginx"), 0.80),
    Goal("64 connections: the same in the worst round", worst("iris-64", "nginx"), 0.70),
    Goal("8 connections: share of nginx's rate", times("iris-8", "nginx"), 0.55),
    Goal("1,000 connections: share of nginx's rate", times("iris-1000", "nginx"), 0.85),
    Goal("30 features: share of nginx's rate", times("cancer-64", "nginx"), 0.70),
    Goal("a lone connection: median latency above nginx's", lone_distance, 60, "µs", at_most=True),
    Goal("64 connections: p99", p99, 3, "ms", at_most=True),
    Goal("64 connections: rate over the tutorial's", times("iris-64", "tutorial"), 20),
    Goal("64 connections: rate over the fastest peer's", fastest_peer, 2),
    Goal("mixed pipeline: rate over the tutorial's", times("mixed-64", "tutorial"), 10),
    Goal("10,000 rows a request: rows a second", rows_a_second, 200_000, "rows/s"),
    Goal("10,000 rows a request: rate over the tutorial's", times("rows-10000", "tutorial"), 6),
    Goal("two workers: rate over one's", two_workers, 1.6),
    Goal("start to ready: time over the tutorial's", start, 0.6, at_most=True),
    Goal("resident memory after the load", resident, 100, "MB", at_most=True),
)
