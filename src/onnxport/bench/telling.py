"""A result in words, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from onnxport.bench.load import Load
from onnxport.bench.result import MILLISECOND, PERCENTILES, Result
from onnxport.bench.tally import BUSY, WRONG
from onnxport.errors import shorten


def lines(result: Result) -> Iterator[str]:
    """The report: what was wrong first, then how fast, how late, what failed, and who was the limit."""
    partial = "partial result, stopped before its time: " if result.is_partial else ""
    yield f"{partial}{result.target}: {result.subject.name} {result.subject.version}"
    rows = [*told(result)]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"  {name:<{width}}  {text}"


def told(result: Result) -> Iterator[tuple[str, str]]:
    """The report as (name, sentence)."""
    record, load = result.record, result.load
    total = record.total
    if record.wrong:
        first = total.examples.get(WRONG, "")
        yield (
            "WRONG",
            f"{_of(record.wrong, record.requests)} had a wrong answer; the first: {first}",
        )
    yield "load", _load(load, result.seconds)
    yield "requests", f"{result.per_second:,.0f} a second"
    if load.rows_per_request > 1:
        rows = load.rows_per_request
        yield "rows", f"{result.per_second * rows:,.0f} a second, {rows:,} in each request"
    yield "answers", f"{total.right:,} right, {record.wrong:,} wrong"
    yield "latency", _latency(result)
    if record.busy:
        seen = shorten(total.examples.get(BUSY, ""), 100)
        yield "busy", f"{_of(record.busy, record.requests)} got 503 with Retry-After: {seen}"
    for kind, count in record.failures.items():
        seen = shorten(total.examples.get(kind, ""), 160)
        yield "failed", f"{_of(count, record.requests)}: {kind}{f' ({seen})' if seen else ''}"
    if total.waited:
        yield "waited", f"{total.waited:,} requests for one of the {load.connections:,} connections"
    if total.strangers:
        yield "ids", f"{total.strangers:,} answers came back under another request's id"
    yield "bytes", f"{_size(record.sent, result)} out, {_size(record.received, result)} in"
    yield "generator", _generator(result)
    yield "server", _server(result)
    if result.subject.left_out:
        yield (
            "rows",
            f"{result.subject.left_out} self-test rows were left out: the model refuses them",
        )


def _load(load: Load, seconds: float) -> str:
    if load.rate is None:
        what = f"closed loop, {load.connections:,} connections"
    else:
        spacing = "at random times" if load.arrivals == "poisson" else "at equal distances"
        what = f"open loop, {load.rate:,g} requests a second {spacing}"
    return f"{what}, for {seconds:.3g} s after {load.warm_up:g} s of warm-up"


def _latency(result: Result) -> str:
    latency = result.record.total.latency
    parts = [f"p{p:g} {spell(latency.percentile(p))}" for p in PERCENTILES]
    parts.append(f"longest {spell(latency.longest if latency.counts else math.nan)}")
    return ", ".join([*parts, f"mean {spell(latency.mean)}"])


def spell(nanoseconds: float) -> str:
    """A time in milliseconds with three digits; no answer is "none"."""
    if math.isnan(nanoseconds):
        return "unknown"
    if math.isinf(nanoseconds):
        return "none"
    value = nanoseconds / MILLISECOND
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} ms"


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,} requests"


def _size(count: int, result: Result) -> str:
    value = count / result.seconds if result.seconds else 0.0
    return f"{value / 1e6:,.2f} MB/s"


def _generator(result: Result) -> str:
    suspicions = [*result.suspicions()]
    if suspicions:
        return f"IT LIMITED THESE FIGURES: {'; '.join(suspicions)}. {_advice(result)}"
    processes = len(result.efforts)
    what = "1 process" if processes == 1 else f"{processes} processes"
    busiest = max((effort.busy for effort in result.efforts), default=0.0)
    return f"{what}, busy {busiest:.0%} of the time: not the limit"


def _advice(result: Result) -> str:
    if result.is_crowded:
        return "Free a processor, or ask from another machine than the server's"
    return f"Try --processes {len(result.efforts) + 1}, or another machine than the server's"


def _server(result: Result) -> str:
    facts = result.server
    versions = [f"{name} {facts[name]}" for name in ("onnxruntime", "numpy") if facts.get(name)]
    if facts.get("digest") is None:
        same = "it doesn't tell which model it serves"
    elif facts["digest"] == result.subject.digest:
        same = "it serves this file"
    else:
        same = f"it serves ANOTHER FILE, digest {shorten(str(facts['digest']), 13)}"
    return ", ".join([*versions, same])
