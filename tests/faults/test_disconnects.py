"""Callers who go away at any moment, politely or not: nothing of them stays, and nobody else notices."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from contextlib import suppress

import pytest

from tests.faults.conftest import Note, Start
from tests.faults.gauges import Gauges, soon
from tests.faults.sizes import drawing, sizes
from tests.faults.wire import Line, chunked, request
from tests.server import models

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the connection ends with RST, whatever is on its way
COLD = b"POST /predict?x=1 HTTP/1.1"
TOGETHER = 30


def leave(line: Line, draw: random.Random) -> None:
    """By FIN or by RST."""
    if draw.random() < 0.5:
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    line.close()


def asked(draw: random.Random, rows: int) -> bytes:
    """Some requests, of which the last may be cut off anywhere."""
    body = json.dumps([{"x": float(x)} for x in range(1, draw.choice([2, 2, rows]))]).encode()
    forms = [request(body[1:-1].split(b", ")[0]), request(body), request(body, line=COLD)]
    forms += [chunked([body]), b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"]
    content = b"".join(draw.choice(forms) for _ in range(draw.choice([1, 1, 1, 4])))
    return content if draw.random() < 0.5 else content[: draw.randrange(len(content))]


def is_nobody_there(gauges: Gauges, files: int) -> bool:
    """Only the caller who has stayed, and the one who asks for metrics, may hold files, requests, connections."""
    return (
        gauges.metric("onnxport_requests_in_flight") == 1
        and gauges.metric("onnxport_connections") <= 2  # counted every second
        and gauges.open_files() <= files + 1
    )


@sizes(150, 2_500)
@pytest.mark.parametrize(
    ("made", "rows"), [(models.reciprocal(), 5_000), (models.slow(), 20)], ids=["fast", "slow"]
)
def test_callers_who_go_away(
    start: Start, note: Note, made: models.Made, rows: int, count: int
) -> None:
    """Up to 30 at a time; each sends what it likes, some read a little, and go. Others are answered meanwhile."""
    gauges, draw = Gauges(start(made, "--threads", "1")), drawing("disconnects")
    with Line(gauges.url) as good:
        wanted = good.ask(request(b'{"x":4.0}')).document
        files, there, refused = gauges.open_files(), list[Line](), 0
        for number in range(count):
            line = Line(gauges.url)
            there.append(line)
            line.socket.setblocking(False)
            with suppress(BlockingIOError):
                line.socket.send(asked(draw, rows))
            if len(there) == TOGETHER or draw.random() < 0.3:
                line = there.pop(draw.randrange(len(there)))
                _read_a_little(line, draw)
                leave(line, draw)
            if number % 10 == 0:
                answer = good.ask(request(b'{"x":4.0}'))
                refused += answer.status == 503
                assert answer.status == 503 or answer.document == wanted
        for line in there:
            leave(line, draw)
        assert soon(lambda: good.ask(request(b'{"x":4.0}')).status == 200)
        assert good.ask(request(b'{"x":4.0}')).document == wanted
        assert soon(lambda: is_nobody_there(gauges, files), seconds=15)
    note(callers=count, refused_beside=f"{refused} of {count // 10}")


def _read_a_little(line: Line, draw: random.Random) -> None:
    with suppress(BlockingIOError, ConnectionResetError):
        line.socket.recv(draw.choice([1, 100, 65_536]))


@pytest.mark.parametrize("path", [b"POST /predict HTTP/1.1", COLD], ids=["fast", "cold"])
def test_work_that_nobody_waits_for_is_not_done(start: Start, path: bytes) -> None:
    """Much work is queued, then all who asked for it go: the next caller's turn comes at once."""
    options = ("--threads", "1", "--max-wait", "600", "--deadline", "600")
    gauges, draw = Gauges(start(models.slow(), *options)), drawing("nobody")
    began = time.perf_counter()
    with Line(gauges.url, timeout=60) as good:
        assert good.ask(request(json.dumps([{"x": 1.0}] * 100).encode())).status == 200
        a_hundred = time.perf_counter() - began
        before = gauges.metric("onnxport_requests_in_flight")
        lines = [Line(gauges.url) for _ in range(100)]
        for line in lines:
            line.send(request(json.dumps([{"x": 1.0}] * 100).encode(), line=path))
        assert soon(lambda: gauges.metric("onnxport_requests_in_flight") >= before + 90)
        for line in lines:
            leave(line, draw)
        began = time.perf_counter()
        assert good.ask(request(b'{"x":4.0}')).status == 200
        assert time.perf_counter() - began < 10 * a_hundred
    assert soon(lambda: gauges.metric("onnxport_requests_in_flight") == before)
