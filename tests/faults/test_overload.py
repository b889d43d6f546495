"""More requests than the model can answer, at a rate that waits for nobody: the server does what it can, no more."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.faults.conftest import Note, Start
from tests.faults.gauges import Gauges, soon
from tests.faults.shooting import Gun, Shot, quantile
from tests.faults.wire import Line, request
from tests.server import models

FULL = 60.0
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def gauges(start: Start) -> Gauges:
    """A model that takes some milliseconds a row, in one thread."""
    made = models.slow()
    wider = {**made.constants, "wide": np.array([1, 8192])}
    return Gauges(start(replace(made, name="slower", constants=wider), "--threads", "1"))


def ask(number: int) -> bytes:
    return request(b'{"x":%d}' % (number % 50))


def is_right(shot: Shot) -> bool:
    """The model takes the sine 120 times."""
    value = float(shot.number % 50)
    for _ in range(120):
        value = math.sin(value)
    assert shot.answer is not None
    return bool(shot.answer.document == {"prediction": pytest.approx(value, rel=1e-9)})


def most_good(url: str, seconds: float) -> float:
    """Answers a second to 16 callers, each of whom waits for the answer before."""
    ends = time.perf_counter() + seconds

    def call(_: int) -> int:
        count = 0
        with Line(url) as line:
            while time.perf_counter() < ends:
                assert line.ask(ask(count)).status == 200
                count += 1
        return count

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(call, range(16))) / seconds


@pytest.mark.parametrize(
    ("seconds", "least"), [(4.0, 0.5), pytest.param(FULL, 0.9, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("times", [2, 5, 10])
def test_overload(gauges: Gauges, note: Note, times: int, seconds: float, least: float) -> None:
    """least: of the answers without overload, how many must still be given."""
    peak = most_good(gauges.url, min(5.0, seconds / 2))

    async def fire() -> tuple[list[Shot], list[Shot]]:
        gun, other = Gun(gauges.url), Gun(gauges.url)
        fired = await asyncio.gather(
            gun.fire(ask, rate=times * peak, seconds=seconds),
            other.fire(lambda _: LIVE, rate=10, seconds=seconds),
        )
        gun.close()
        other.close()
        return fired[0], fired[1]

    shots, health = asyncio.run(fire())
    ended = time.perf_counter()
    with Line(gauges.url) as line:
        assert soon(lambda: line.ask(ask(1)).status == 200, seconds=2)
    assert time.perf_counter() - ended < 2
    judge(shots)
    assert all(shot.answer is not None and shot.answer.status == 200 for shot in health)
    begun, over = shots[0].due + 1, shots[-1].due
    good = [shot for shot in shots if shot.answer and shot.answer.status == 200]
    steady = sum(begun <= shot.ended <= over for shot in good) / (over - begun)
    assert steady >= least * peak
    assert quantile(good, 0.99) < 6  # of the 10 that a request may take
    assert quantile(health, 1) < 1
    assert soon(lambda: gauges.metric("onnxport_requests_in_flight") == 1)
    note(peak=f"{peak:.0f}/s", sent=f"{times * peak:.0f}/s", good=f"{steady:.0f}/s")
    note(p99=f"{quantile(good, 0.99):.2f} s", health=f"{quantile(health, 1) * 1000:.0f} ms")


def judge(shots: list[Shot]) -> None:
    """Each is answered rightly, or refused with a time to come back."""
    statuses = Counter(shot.answer.status if shot.answer else 0 for shot in shots)
    assert set(statuses) <= {200, 503}, statuses
    for shot in shots:
        assert shot.answer is not None
        if shot.answer.status == 200:
            assert is_right(shot), shot
        else:
            assert shot.answer.codes == ["overloaded"]
            assert int(shot.answer.headers["retry-after"]) > 0
