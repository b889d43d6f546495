"""When the next request goes out, and on which connection: the closed loop and the open one."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from onnxport.bench.connection import Connection
from onnxport.bench.load import Load
from onnxport.bench.schedule import SECOND, due_times
from onnxport.bench.tally import CLOSED, UNSENT, Slot

_EARLY = 60_000  # ns; Linux lets timers end 50 µs late, and the rest is spent looking for answers
_PAUSE = SECOND // 10  # before a server that wasn't there is tried again
_FAR = 2**63


class Asker(Protocol):
    """The generator, as the pace sees it. Times are nanoseconds of `time.perf_counter_ns`."""

    test_at: int
    end_at: int

    def new_connection(self) -> Connection: ...
    def open(self, connection: Connection, now: int) -> None: ...
    def take(self, connection: Connection, due: int) -> None: ...
    def ask(self, connection: Connection, now: int) -> None: ...
    def note_lag(self, lag: int, *, waited: bool) -> None: ...


class Pace(Protocol):
    """Either loop, told what happens to its connections."""

    def prepare(self, now: int) -> None:
        """Opens what should be open when the test begins."""

    def begin(self, start: int) -> None:
        """The warm-up begins."""

    def next_at(self) -> int:
        """When `pump` should be called again, if nothing happens before."""

    def pump(self, now: int) -> None:
        """Asks and opens what is due."""

    def opened(self, connection: Connection, now: int) -> None:
        """It can be asked."""

    def freed(self, connection: Connection, now: int) -> None:
        """It has its answer, and is idle, or closed as the server wanted."""

    def lost(self, connection: Connection, kind: str, now: int) -> None:
        """It is closed, for that kind of failure ("": while it was idle)."""

    def finish(self, slot: Slot) -> None:
        """The test is over: counts what fell due and was never sent."""


class ClosedLoop:
    """Every connection asks again as soon as it has its answer; a broken one is opened again."""

    def __init__(self, asker: Asker, load: Load, process: int) -> None:
        self._asker, self._count = asker, load.connections_of(process)
        self._broken: deque[Connection] = deque()
        self._idle: list[Connection] = []
        self._has_begun = False

    def prepare(self, now: int) -> None:
        for _ in range(self._count):
            self._asker.open(self._asker.new_connection(), now)

    def begin(self, start: int) -> None:  # noqa: ARG002
        self._has_begun = True
        for connection in self._idle:
            if connection.state == "idle":
                self._ask(connection)

    def next_at(self) -> int:
        return self._broken[0].retry_at if self._broken else _FAR

    def pump(self, now: int) -> None:
        if now >= self._asker.end_at:
            self._broken.clear()
        while self._broken and self._broken[0].retry_at <= now:
            self._asker.open(self._broken.popleft(), now)

    def opened(self, connection: Connection, now: int) -> None:
        if not self._has_begun:
            self._idle.append(connection)
        elif now < self._asker.end_at:
            self._ask(connection)

    def freed(self, connection: Connection, now: int) -> None:
        if connection.state == "idle":
            if now < self._asker.end_at:
                self._asker.note_lag(self._ask(connection) - now, waited=False)
        else:
            connection.retry_at = now
            self._broken.appendleft(connection)

    def lost(self, connection: Connection, kind: str, now: int) -> None:
        if kind in ("", CLOSED):
            connection.retry_at = now
            self._broken.appendleft(connection)
        else:
            connection.retry_at = now + _PAUSE
            self._broken.append(connection)

    def finish(self, slot: Slot) -> None:
        pass

    def _ask(self, connection: Connection) -> int:
        """Asks now, and says when that was."""
        now = time.perf_counter_ns()
        self._asker.take(connection, now)
        self._asker.ask(connection, now)
        return now


class OpenLoop:
    """Requests fall due by the schedule. Each takes an idle connection, or a new one, or waits where all are taken."""

    def __init__(self, asker: Asker, load: Load, process: int) -> None:
        self._asker, self._load, self._process = asker, load, process
        self._most = load.connections_of(process)
        self._idle: deque[Connection] = deque()  # may hold some that were lost since
        self._closed: list[Connection] = []
        self._is_starved = False
        self._made = 0
        self._next = _FAR

    def prepare(self, now: int) -> None:
        pass

    def begin(self, start: int) -> None:
        self._times = due_times(self._load, self._process, start)
        self._next = next(self._times)

    def next_at(self) -> int:
        return _FAR if self._is_starved or self._next >= self._asker.end_at else self._next - _EARLY

    def pump(self, now: int) -> None:
        if self._is_starved and now >= self._asker.end_at:
            return  # what still waits for a connection isn't sent any more
        while self._next <= now and self._next < self._asker.end_at:
            connection = self._choose()
            if connection is None:
                self._is_starved = True
                return
            self._send(connection, self._next)
            self._next = next(self._times)
        self._is_starved = False

    def opened(self, connection: Connection, now: int) -> None:
        if connection.is_taken:
            self._asker.ask(connection, now)
        else:
            self._idle.append(connection)

    def freed(self, connection: Connection, now: int) -> None:  # noqa: ARG002
        (self._idle if connection.state == "idle" else self._closed).append(connection)

    def lost(self, connection: Connection, kind: str, now: int) -> None:  # noqa: ARG002
        self._closed.append(connection)

    def finish(self, slot: Slot) -> None:
        while self._next < self._asker.end_at:
            if self._next >= self._asker.test_at:
                slot.fail(UNSENT, "")
                slot.latency.beyond += 1
            self._next = next(self._times)

    def _choose(self) -> Connection | None:
        """The connection that has been idle for longest, else one to be opened, else none."""
        while self._idle:
            connection = self._idle.popleft()
            if connection.state == "idle":
                return connection
        if self._closed:
            return self._closed.pop()
        if self._made == self._most:
            return None
        self._made += 1
        return self._asker.new_connection()

    def _send(self, connection: Connection, due: int) -> None:
        now = time.perf_counter_ns()
        since = max(due, connection.free_since) if self._is_starved else due
        self._asker.note_lag(now - since, waited=self._is_starved)
        self._asker.take(connection, due)
        if connection.state == "idle":
            self._asker.ask(connection, now)
        else:
            self._asker.open(connection, now)
