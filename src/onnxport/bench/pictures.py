"""The four pictures of a load test: how late, how often that late, how fast and how late over time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, groupby, pairwise
from typing import Any

from onnxport.bench.drawing import (
    Point,
    Scale,
    area,
    bar,
    chart,
    dot,
    line,
    linear,
    logarithmic,
    mark,
)
from onnxport.bench.histogram import Histogram
from onnxport.bench.result import MILLISECOND, Result
from onnxport.bench.telling import spell

_BARS = 60
_MARKED = (50.0, 99.0, 99.9)
_SMALLEST = 0.001  # ms, on a logarithmic scale


def percentiles(latency: Histogram) -> str:
    """Time over percentile, its right end stretched: each step from 90 to 99 to 99.9 % is as wide."""
    total = latency.count + latency.beyond
    points = [*_cumulated(latency, total)]
    if not points:
        return _nothing("no answer was measured")
    widest = max(_stretched(1 - 0.5 / total), 1.0)
    across = Scale(linear(0, widest, across=True).place, [*_percentile_ticks(widest)])
    up = _up(points)
    inside = [area(points, across, up, "main"), line(points, across, up, "main")]
    for share in (50.0, 90.0, 99.0, 99.9, 99.99):
        value = latency.percentile(share)
        if math.isfinite(value) and total * (1 - share / 100) >= 1:
            told = f"p{share:g} {spell(value)}"
            inside.append(dot(_stretched(share / 100), _ms(value), across, up, told))
    if latency.beyond:
        share = 1 - latency.beyond / total
        inside.append(mark(_stretched(share), across, "beyond: no answer"))
    return chart("latency by percentile", across, up, inside, below="percentile of requests")


def distribution(latency: Histogram) -> str:
    """How many requests took how long."""
    buckets = [(max(_ms(low), _SMALLEST), n) for low, _, n in latency.buckets()]
    if not buckets:
        return _nothing("no answer was measured")
    low, high = buckets[0][0], max(_ms(latency.longest), buckets[-1][0]) * 1.001
    across = logarithmic(low, max(high, low * 1.5), across=True, unit=" ms")
    edges = [low * (max(high, low * 1.5) / low) ** (i / _BARS) for i in range(_BARS + 1)]
    counts = [sum(n for start, n in buckets if a <= start < b) for a, b in pairwise(edges)]
    measured = latency.count
    shares = [100 * n / measured for n in counts]
    up = linear(0, max(shares) * 1.05, across=False, unit=" %")
    inside = [
        bar(a, b, share, across, up, "main", f"{a:.3g} to {b:.3g} ms: {n:,} answers")
        for (a, b), share, n in zip(pairwise(edges), shares, counts, strict=True)
        if n
    ]
    for row, share in enumerate(_MARKED):
        value = latency.percentile(share)
        if math.isfinite(value):
            inside.append(mark(max(_ms(value), low), across, f"p{share:g} {spell(value)}", row=row))
    return chart("how many requests took how long", across, up, inside, below="latency")


def rate(result: Result) -> str:
    """Right answers a second over the test, and the failures."""
    moments = _moments(result)
    if not moments:
        return _nothing("the test was too short")
    points = [(m["middle"], m["requests_per_second"]) for m in moments]
    failed = [(m, m["failed"] + m["wrong"]) for m in moments]
    highest = max(y for _, y in points)
    across = linear(0, result.seconds, across=True, unit=" s")
    up = linear(0, max(highest, result.load.rate or 0, 1) * 1.08, across=False)
    inside = [area(points, across, up, "main"), line(points, across, up, "main")]
    if result.load.rate is not None:
        inside.append(
            line([(0, result.load.rate), (result.seconds, result.load.rate)], across, up, "asked")
        )
    inside += [
        bar(
            m["second"],
            m["end"],
            n / (m["end"] - m["second"]),
            across,
            up,
            "bad",
            f"{n:,} failed or wrong",
        )
        for m, n in failed
        if n
    ]
    return chart("requests a second over time", across, up, inside, below="time")


def latency_over_time(result: Result) -> str:
    """The median and the 99th percentile of each stretch."""
    moments = [m for m in _moments(result) if m["p50"] is not None]
    if not moments:
        return _nothing("no answer was measured")
    median = [(m["middle"], max(m["p50"], _SMALLEST)) for m in moments]
    known = groupby(
        moments, lambda m: m["p99"] is not None
    )  # a line has gaps where there was no answer
    slow = [
        [(m["middle"], max(m["p99"], _SMALLEST)) for m in part]
        for is_known, part in known
        if is_known
    ]
    across = linear(0, result.seconds, across=True, unit=" s")
    up = _up([*median, *chain.from_iterable(slow)])
    inside = [line(median, across, up, "main"), *(line(part, across, up, "slow") for part in slow)]
    return chart("latency over time", across, up, inside, below="time")


def _moments(result: Result) -> list[dict[str, Any]]:
    """The stretches of the test, with their ends."""
    length = result.record.slot
    moments = []
    for moment in result.to_json()["over_time"]:
        end = min(moment["second"] + length, result.seconds)
        moments.append({**moment, "end": end, "middle": (moment["second"] + end) / 2})
    return moments


def _up(points: list[Point]) -> Scale:
    """For times: by factors where they differ much."""
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    if highest > 10 * lowest:
        return logarithmic(max(lowest, _SMALLEST) * 0.8, highest * 1.4, across=False, unit=" ms")
    return linear(0, highest * 1.15, across=False, unit=" ms")


def _cumulated(latency: Histogram, total: int) -> Iterator[Point]:
    """(stretched share, ms): after each bucket."""
    seen = 0
    for low, width, count in latency.buckets():
        if not seen:
            yield 0.0, max(_ms(low), _SMALLEST)
        seen += count
        share = min(seen / total, 1 - 0.5 / total)
        yield _stretched(share), max(_ms(min(low + width, latency.longest)), _SMALLEST)


def _stretched(share: float) -> float:
    """0.9 is 1, 0.99 is 2, 0.999 is 3."""
    return -math.log10(max(1 - share, 1e-9))


def _percentile_ticks(widest: float) -> Iterator[tuple[float, str]]:
    yield 0.0, "0 %"
    yield _stretched(0.5), "50 %"
    for nines in range(1, math.floor(widest) + 1):
        yield float(nines), f"{100 * (1 - 10.0**-nines):.10g} %"


def _ms(nanoseconds: float) -> float:
    return nanoseconds / MILLISECOND


def _nothing(why: str) -> str:
    return f'<p class="nothing">Nothing to draw: {why}.</p>'
