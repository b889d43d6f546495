"""Too many bytes, declared, sent or only promised: refused before they are read, and memory stays flat."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
import zlib
from collections import Counter
from contextlib import ExitStack, suppress

import pytest

from tests.faults.conftest import Note, Start
from tests.faults.gauges import MIB, Gauges
from tests.faults.hostile import head
from tests.faults.sizes import drawing, sizes
from tests.faults.wire import POST, Line, chunked, request
from tests.server import models

ROW = b'{"x":8}'
LIMIT = 4 * MIB
TE = b"Transfer-Encoding: chunked"
COLD = b"POST /predict?x=1 HTTP/1.1"


@pytest.fixture(scope="module")
def gauges(start: Start) -> Gauges:
    return Gauges(start(models.reciprocal()))


def packed(size: int) -> dict[bytes, bytes]:
    """So many bytes of white space, packed in every way that HTTP or Python knows, by Content-Encoding."""
    white = b" " * size
    return {
        b"gzip": gzip.compress(white, 9),
        b"x-gzip": gzip.compress(gzip.compress(white, 9), 9),
        b"deflate": zlib.compress(white, 9),
        b"br": b"\x5b\xff\xff\xff\x03\x80",
        b"zstd": b"\x28\xb5\x2f\xfd\xa4" + b"\0" * 12,
        b"bzip2": bz2.compress(white),
        b"xz": lzma.compress(white),
        b"compress": white[:100],
        b"identity, gzip": gzip.compress(white, 9),
        b"GZIP": gzip.compress(white, 9),
    }


def answered(url: str, content: bytes) -> int:
    """The status; whatever becomes of the connection, the next one is answered rightly."""
    with Line(url) as line:
        line.send(content)
        answer = line.read()
        assert answer is not None
    with Line(url) as line:
        assert line.ask(request(ROW)).document == {"prediction": 0.125}
    return answer.status


@sizes(60, 300)
def test_bombs_and_promises(gauges: Gauges, note: Note, count: int) -> None:
    draw, bombs = drawing("oversize"), packed(32 * MIB)
    before, statuses, slowest = gauges.resident(), Counter[int](), 0.0
    gauges.forget_peak()
    for _ in range(count):
        line = draw.choice([POST, COLD])
        encoding, bomb = draw.choice(list(bombs.items()))
        length = draw.choice([LIMIT + 1, 2**31, 2**32 + 7, 2**63 - 1, 2**63, 2**64 - 1])
        content, status = draw.choice(
            [
                (request(bomb, b"Content-Encoding: " + encoding, line=line), 415),
                (chunked([bomb], b"Content-Encoding: " + encoding, line=line), 415),
                (request(bomb, b"Content-Type: application/gzip", line=line), 415),
                (request(bomb, line=line), 400),
                (request(b"{", line=line, length=b"%d" % length), 413),
                (request(b"{", line=line, length=b"%d" % (length + 2**64)), 400),
                (request(ROW.ljust(LIMIT + draw.randint(1, 9)), line=line), 413),
                (chunked([b" " * 65_536] * 65, line=line), 413),
            ]
        )
        began = time.perf_counter()
        assert answered(gauges.url, content) == status, content[:300]
        slowest = max(slowest, time.perf_counter() - began)
        statuses[status] += 1
    growth = gauges.peak() - before
    assert growth < 8 * LIMIT
    assert set(statuses) == {400, 413, 415}
    note(requests=count, peak=f"{growth / MIB:.1f} MiB", slowest=f"{slowest * 1000:.0f} ms")


@sizes(2, 30)
@pytest.mark.parametrize("path", [POST, COLD], ids=["fast", "cold"])
def test_a_million_chunks(gauges: Gauges, note: Note, count: int, path: bytes) -> None:
    """Of one byte each: less than a body may have, and far more pieces than any client makes of it."""
    few = chunked([b" "] * 60_000 + [ROW], line=path)
    many = chunked([b" "] * 1_000_000 + [ROW], line=path)
    before = gauges.resident()
    gauges.forget_peak()
    for _ in range(count):
        assert answered(gauges.url, few) == 200
        assert answered(gauges.url, many) == 413
    growth = gauges.peak() - before
    assert growth < 40 * MIB
    note(requests=2 * count, peak=f"{growth / MIB:.1f} MiB")


def test_a_flood_of_chunk_extensions(gauges: Gauges) -> None:
    """30 MB for a body of 2 KB (RFC 9112, section 7.1.1: a server ought to limit their total length)."""
    extended = (b"1;" + b"a" * 15_000 + b"\r\n \r\n") * 2000
    for line in (POST, COLD):
        assert answered(gauges.url, head(TE, line=line) + extended + b"0\r\n\r\n") in (400, 413)


@sizes(20, 500)
def test_many_answers_that_are_refused_do_not_add_up(
    gauges: Gauges, note: Note, count: int
) -> None:
    """A body over the limit on one connection again and again, each read to its end and thrown away."""
    long = request(ROW.ljust(LIMIT + 1))
    with Line(gauges.url) as line:
        assert line.ask(long).status == 413
        before = gauges.resident()
        gauges.forget_peak()
        for _ in range(count):
            assert line.ask(long).status == 413
            assert line.ask(request(ROW)).document == {"prediction": 0.125}
    growth = gauges.peak() - before
    assert growth < 2 * LIMIT
    note(requests=2 * count, peak=f"{growth / MIB:.1f} MiB")


FLOODS = {
    "fast": request(ROW),
    "cold": request(ROW, line=COLD),
    "model": b"GET /model HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_pipelined_requests(start: Start, note: Note, name: str) -> None:
    """Callers who send all they can and read nothing: each may cost what is read of a connection at once, and its
    answer, but not thousands of requests that wait.
    """
    gauges, callers, flood = Gauges(start(models.reciprocal())), 20, FLOODS[name] * 10_000
    assert answered(gauges.url, FLOODS[name]) == 200
    before = gauges.resident()
    gauges.forget_peak()
    with ExitStack() as lines:
        for _ in range(callers):
            line = lines.enter_context(Line(gauges.url))
            line.socket.setblocking(False)
            with suppress(BlockingIOError):
                line.socket.send(flood)
        for _ in range(3):
            time.sleep(0.5)
            with Line(gauges.url) as line:
                assert line.ask(request(ROW)).document == {"prediction": 0.125}
    growth = (gauges.peak() - before) / callers
    assert growth < 4 * MIB
    note(callers=callers, of_each=f"{growth / MIB:.1f} MiB")
