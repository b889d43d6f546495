"""Results made by hand: what they say of themselves, in words, in JSON, as a page."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace

import pytest

from onnxport.bench.load import Load
from onnxport.bench.page import render
from onnxport.bench.processor import Effort
from onnxport.bench.record import Record
from onnxport.bench.result import Result, Subject
from onnxport.bench.tally import Slot
from onnxport.bench.telling import lines

MILLISECOND = 1_000_000
EASY = Effort(wall=1.0, computing=0.3, ready=0.1, spun=0.0)


def made(*slots: Slot, load: Load | None = None, efforts: Sequence[Effort] = (EASY,)) -> Result:
    load = load or Load(duration=1)
    record = Record(load.slot)
    for slot in slots:
        record.add(slot)
    return Result(
        target="http://127.0.0.1:1",
        load=load,
        subject=Subject("<iris> & co", "1", "d" * 64, 32, 0),
        server={},
        started="2026-01-01T00:00:00+00:00",
        record=record,
        efforts=efforts,
        is_partial=False,
        machine={},
    )


def answered(index: int, *milliseconds: float) -> Slot:
    """A stretch with a right answer for each latency."""
    slot = Slot("test", index, arrived=len(milliseconds), right=len(milliseconds))
    for latency in milliseconds:
        slot.latency.add(int(latency * MILLISECOND))
    return slot


def troubled() -> Slot:
    slot = answered(1, 0.001, 900.0)
    slot.fail("wrong answer", "</svg><script>alert(1)</script>")
    slot.fail("busy", "later")
    slot.fail("timeout", "no answer in 1 s")
    slot.latency.beyond += 1
    slot.strangers = 2
    slot.waited = 3
    return slot


RESULTS = {
    "nothing": made(),
    "stopped at once": replace(made(efforts=()), is_partial=True),
    "one answer": made(answered(0, 0.5)),
    "equal answers": made(answered(0, *[0.5] * 40), answered(1, *[0.5] * 40)),
    "troubled": made(answered(0, *range(1, 50)), troubled(), load=Load(rate=100, duration=1)),
    "only failures": made(Slot("test", 0, failed=troubled().failed)),
    "a stretch without answers": made(answered(0, 1.0), answered(3, 2.0)),
}


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_can_be_told(name: str) -> None:
    result = RESULTS[name]
    json.dumps(result.to_json(), allow_nan=False)
    assert len([*lines(result)]) >= 6
    page = render(result)
    assert "<script" not in page
    assert "Load test of &lt;iris&gt; &amp; co 1" in page
    assert "nan" not in page.replace("nanoseconds", "")
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(picture)


def test_the_trouble_is_told_in_order() -> None:
    told = [line.split(maxsplit=1) for line in lines(RESULTS["troubled"])][1:]
    names = [name for name, _ in told]
    assert names == [
        "WRONG", "load", "requests", "answers", "latency", "busy", "failed", "waited", "ids", "bytes", "generator",
        "server",
    ]  # fmt: skip
    texts = dict(told)
    assert texts["WRONG"].startswith("1 of 54 requests had a wrong answer; the first: </svg>")
    assert "p99 none, p99.9 none, longest 900 ms" in texts["latency"]
    assert texts["failed"] == "1 of 54 requests: timeout (no answer in 1 s)"
    assert texts["server"] == "it doesn't tell which model it serves"


@pytest.mark.parametrize(
    ("effort", "load", "is_limit"),
    [
        (Effort(1, 0.95, 0.0, 0.0), Load(), True),
        (Effort(1, 0.5, 0.45, 0.0), Load(), True),  # half a processor, all of the time
        (Effort(1, 0.95, None, 0.0), Load(), True),
        (Effort(1, 0.7, 0.15, 0.0), Load(), False),
        (Effort(1, 0.3, 0.25, 0.0), Load(), True),  # crowded
        (
            Effort(1, 0.9, 0.1, 0.4),
            Load(rate=10),
            False,
        ),  # looked for answers, for want of other work
        (Effort(1, 0.9, 0.1, 0.0), Load(rate=10), True),
    ],
)
def test_a_generator_at_its_limit(effort: Effort, load: Load, is_limit: bool) -> None:
    result = made(answered(0, 1.0), load=load, efforts=(EASY, effort))
    generator = result.to_json()["generator"]
    assert generator["was_the_limit"] is is_limit
    [told] = [line for line in lines(result) if line.startswith("  generator")]
    assert ("IT LIMITED THESE FIGURES: " in told) == is_limit
    assert ("limited these figures" in render(result)) == is_limit


@pytest.mark.parametrize(("lag", "is_late"), [(0.9, False), (1.1, True), (9.0, True)])
def test_a_late_generator(lag: float, is_late: bool) -> None:
    """More than 1 ms late in 1 of 100, where answers take 5."""
    slot = answered(0, *[5.0] * 100)
    for _ in range(100):
        slot.lag.add(int(lag * MILLISECOND))
    result = made(slot, load=Load(rate=100, duration=1))
    assert any("ms late" in why for why in result.suspicions()) == is_late
    slow = made(replace(slot, latency=answered(0, *[100.0] * 100).latency), load=result.load)
    assert [*slow.suspicions()] == []


@pytest.mark.parametrize(("held", "is_limit"), [(0.4, False), (0.6, True)])
def test_connections_that_wait_for_the_generator(held: float, is_limit: bool) -> None:
    """16 connections for a second: 16 s in all."""
    slot = answered(0, 1.0)
    slot.lag.add(int(held * 16e9))
    result = made(slot)
    assert result.to_json()["generator"]["held"] == pytest.approx(held)
    told = [why for why in result.suspicions() if "its connections waited" in why]
    assert told == (["its connections waited for it 60% of the time"] if is_limit else [])
