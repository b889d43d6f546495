"""Callers who send a byte a second, or never read, in hundreds: they are sent away in time, and others don't notice."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.conftest import Note, Start
from tests.faults.gauges import MIB, Gauges, soon
from tests.faults.shooting import Gun, Shot, quantile
from tests.faults.sizes import sizes
from tests.faults.wire import HOST, POST, request, split
from tests.server import models

RATE = 200.0  # good requests a second
LATE = 4.0  # seconds that a slow caller may be there over its limit
BEGIN = 50.0  # slow callers that begin in a second
SETTLED = 3.0  # seconds until the last has got what it doesn't read, which is work like any other
FLOOR = 0.02  # seconds of a 99th percentile that are no fault: the machine has other things to do
LARGE = b"GET /docs/assets/redoc.standalone.js HTTP/1.1\r\nHost: x\r\n\r\n" * 6
MANY = request(b"[" + b",".join([b'{"x":8}'] * 8000) + b"]") * 40


@dataclass
class Slow:
    """A slow caller: what it did, how many seconds the server bore with it, and the status it heard at the end."""

    kind: str
    seconds: float = 0.0
    status: int = 0


async def connected(url: str) -> socket.socket:
    place = urlsplit(url)
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.setblocking(False)
    await asyncio.get_running_loop().sock_connect(caller, (place.hostname, place.port))
    return caller


async def trickle(url: str, kind: str, head: bytes) -> Slow:
    """Sends a head or the beginning of one, then a byte a second until the server closes."""
    loop, slow = asyncio.get_running_loop(), Slow(kind)
    with await connected(url) as caller:
        began = time.perf_counter()
        await loop.sock_sendall(caller, head)
        hearing = asyncio.ensure_future(loop.sock_recv(caller, 65536))
        while not hearing.done():
            await asyncio.wait([hearing], timeout=1)
            if not hearing.done():
                await loop.sock_sendall(caller, b"a")
        (answer,), _ = split(hearing.result())
        slow.seconds, slow.status = time.perf_counter() - began, answer.status
        while await loop.sock_recv(caller, 65536):
            pass
    return slow


async def never_read(url: str, kind: str, content: bytes) -> Slow:
    """Asks for more than fits into the buffers of both sides, reads nothing, and asks again every second."""
    loop, slow = asyncio.get_running_loop(), Slow(kind)
    with await connected(url) as caller:
        began = time.perf_counter()
        try:
            while True:
                await loop.sock_sendall(caller, content)
                await asyncio.sleep(1)
        except (ConnectionResetError, BrokenPipeError):
            slow.seconds = time.perf_counter() - began
    return slow


LIMITS = {  # seconds that the documentation promises, and the status that comes with the end
    "head": (5, 408),
    "body": (15, 408),
    "reader of files": (30, 0),
    "reader of answers": (30, 0),
}


def begin(url: str, number: int) -> Coroutine[None, None, Slow]:
    """Each takes its turn; a few predict, because that is work, and it's not the work that is tested here."""
    kind = "reader of answers" if number in range(9, 60, 10) else list(LIMITS)[number % 3]
    if kind == "head":
        return trickle(url, kind, POST + b"\r\n" + HOST + b"\r\nX-A: ")
    if kind == "body":
        return trickle(url, kind, request(b"[", length=b"5000"))
    return never_read(url, kind, LARGE if kind == "reader of files" else MANY)


async def in_turn(url: str, number: int) -> Slow:
    """50 begin in a second."""
    await asyncio.sleep(number / BEGIN)
    return await begin(url, number)


def ask(number: int) -> bytes:
    return request(b'{"x":%d}' % (number + 1))


def is_right(shot: Shot) -> bool:
    answer = shot.answer
    wanted = {"prediction": 1 / (shot.number + 1)}
    return answer is not None and answer.status == 200 and answer.document == wanted


@sizes(60, 500)
def test_slow_callers_beside_good_ones(start: Start, note: Note, count: int) -> None:
    gauges = Gauges(start(models.reciprocal()))
    files, memory = gauges.open_files(), gauges.resident()

    async def run() -> tuple[list[Shot], list[Shot], list[Slow]]:
        gun = Gun(gauges.url)
        before = await gun.fire(ask, rate=RATE, seconds=4)
        slow = asyncio.gather(*(in_turn(gauges.url, n) for n in range(count)))
        beside = list[Shot]()
        while not slow.done():
            beside += await gun.fire(ask, rate=RATE, seconds=1)
        gun.close()
        return before, beside, slow.result()

    before, beside, slow = asyncio.run(run())
    assert all(map(is_right, [*before, *beside]))
    for caller in slow:
        limit, status = LIMITS[caller.kind]
        assert caller.status == status, caller
        assert limit - 0.5 < caller.seconds < limit + LATE, caller
    settled = beside[0].due + count / BEGIN + SETTLED
    beside = [shot for shot in beside if shot.due > settled]
    p99_before, p99 = quantile(before, 0.99), quantile(beside, 0.99)
    assert p99 < max(2 * p99_before, FLOOR)
    assert soon(lambda: gauges.open_files() <= files + 1)
    growth = gauges.resident() - memory
    note(slow=count, good=len(beside), growth=f"{growth / MIB:.0f} MiB")
    note(p99_before=f"{p99_before * 1000:.1f} ms", p99_beside=f"{p99 * 1000:.1f} ms")
