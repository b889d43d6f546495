"""Everything at once for a long time: bodies of all sorts on both paths, callers who go; nothing grows meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter

import numpy as np
import pytest

from tests.faults.conftest import Note, Start
from tests.faults.gauges import MIB, Gauges, soon
from tests.faults.mutator import Mutator
from tests.faults.oracle import is_right
from tests.faults.shooting import Gun
from tests.faults.sizes import drawing
from tests.faults.subjects import EVERY_KIND
from tests.faults.test_disconnects import leave
from tests.faults.wire import Line, chunked, request

MINUTES = float(os.environ.get("FAULTS_MINUTES", "10"))
RATE, LAP = 300.0, 5.0  # requests a second; seconds between two looks at the server
SLOPE = 6 * MIB  # bytes an hour: what a quarter of an hour can tell from noise
OTHERS = [
    b"GET /model HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n",
]


def framed(body: bytes, draw: random.Random) -> bytes:
    kind = draw.random()
    if kind < 0.7:
        return request(body)
    if kind < 0.8:
        return request(body, b"X-Request-ID: soak-%d" % draw.randrange(10**9))
    if kind < 0.9:
        return request(body, line=b"POST /predict?x=1 HTTP/1.1")
    return chunked([body] if body else [])


def come_and_go(url: str, bodies: Mutator) -> None:
    for _ in range(20):
        line = Line(url)
        content = framed(bodies.body(), bodies.draw)
        line.send(content[: bodies.draw.randrange(len(content))])
        leave(line, bodies.draw)


def an_hour(times: list[float], memory: list[int]) -> float:
    """How much memory grows in an hour, by the line through the second half."""
    begin = len(times) // 2
    slope = np.polyfit(np.array(times[begin:]), np.array(memory[begin:]), 1)[0]
    return float(slope) * 3600


@pytest.mark.long
def test_mixed_load(start: Start, note: Note) -> None:
    gauges = Gauges(start(EVERY_KIND.made))
    bodies, statuses = Mutator(drawing("soak"), EVERY_KIND.row), Counter[int]()
    times, memory, files = list[float](), list[int](), list[int]()

    async def run() -> None:
        gun, began = Gun(gauges.url), time.perf_counter()
        while time.perf_counter() - began < MINUTES * 60:
            sent: list[bytes | None] = []

            def ask(_: int, sent: list[bytes | None] = sent) -> bytes:
                sent.append(None if bodies.draw.random() < 0.05 else bodies.body())
                body = sent[-1]
                return bodies.draw.choice(OTHERS) if body is None else framed(body, bodies.draw)

            shots = await gun.fire(ask, rate=RATE, seconds=LAP)
            for body, shot in zip(sent, shots, strict=True):
                assert shot.answer is not None
                statuses[shot.answer.status] += 1
                if body is not None:
                    verdict = EVERY_KIND.oracle.judge(body)
                    assert is_right(verdict, shot.answer.status, shot.answer.content), body
            come_and_go(gauges.url, bodies)
            times.append(time.perf_counter() - began)
            memory.append(gauges.resident())
            files.append(gauges.open_files())
        gun.close()

    asyncio.run(run())
    assert set(statuses) <= {200, 400, 404, 422}
    slope = an_hour(times, memory)
    assert slope < SLOPE
    assert soon(lambda: gauges.open_files() <= files[0])
    assert soon(lambda: gauges.metric("onnxport_requests_in_flight") == 1)
    note(requests=sum(statuses.values()), slope=f"{slope / MIB:.1f} MiB/h", files=max(files))
