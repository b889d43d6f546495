"""Requests at a fixed rate, whatever becomes of those before: each is due at its own moment, and timed from then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.faults.wire import Answer, split


@dataclass
class Shot:
    """One request. due, ended: by `time.perf_counter()`; answer: None where the connection was closed instead."""

    number: int
    content: bytes
    due: float
    ended: float = 0.0
    answer: Answer | None = None

    @property
    def took(self) -> float:
        """Seconds from the moment when it was due."""
        return self.ended - self.due


@dataclass(eq=False)
class _Connection(asyncio.Protocol):
    """Has one request on its way at most, and goes back to the idle ones with the answer."""

    idle: list[_Connection]
    shot: Shot | None = None
    received: bytes = b""
    transport: asyncio.Transport = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, shot: Shot) -> None:
        self.shot = shot
        self.transport.write(shot.content)

    def data_received(self, data: bytes) -> None:
        answers, self.received = split(self.received + data)
        if answers:
            assert len(answers) == 1
            self._end(answers[0])
            if answers[0].headers.get("connection") != "close":
                self.idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(None)
        if self in self.idle:
            self.idle.remove(self)

    def _end(self, answer: Answer | None) -> None:
        if self.shot is not None:
            self.shot.answer, self.shot.ended = answer, time.perf_counter()
            self.shot = None


class Gun:
    """Fires at one server. made: how many connections it took."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "", place.port or 80
        self._idle: list[_Connection] = []
        self._waiting: set[asyncio.Task[None]] = set()
        self.made = 0

    async def fire(
        self, ask: Callable[[int], bytes], *, rate: float, seconds: float, patience: float = 30.0
    ) -> list[Shot]:
        """ask: makes the request of a number. All shots, once their answers have come or patience is at its end."""
        began, shots = time.perf_counter(), list[Shot]()
        total = int(rate * seconds)
        while len(shots) < total:
            while len(shots) < total and began + len(shots) / rate <= time.perf_counter():
                number = len(shots)
                shots.append(Shot(number, ask(number), began + number / rate))
                self._send(shots[-1])
            await asyncio.sleep(max(0.0, began + len(shots) / rate - time.perf_counter()))
        ends = time.perf_counter() + patience
        while not all(shot.ended for shot in shots) and time.perf_counter() < ends:
            await asyncio.sleep(0.02)
        return shots

    def _send(self, shot: Shot) -> None:
        if self._idle:
            self._idle.pop().ask(shot)
        else:
            connecting = asyncio.ensure_future(self._connect(shot))
            self._waiting.add(connecting)
            connecting.add_done_callback(self._waiting.discard)

    async def _connect(self, shot: Shot) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._idle), self._host, self._port
            )
        except OSError:
            shot.ended = time.perf_counter()
            return
        self.made += 1
        connection.ask(shot)

    def close(self) -> None:
        for connection in list(self._idle):
            connection.transport.abort()


def quantile(shots: Sequence[Shot], share: float) -> float:
    """Seconds within which this share of the shots was answered."""
    took = sorted(shot.took for shot in shots)
    return took[min(len(took) - 1, int(len(took) * share))]
