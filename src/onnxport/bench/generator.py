"""One process's load: a loop over sockets that asks, takes the answers, and counts. It prints nothing.

A turn of the loop: wait for sockets until something is due · take the answers that have come · ask what is due. An
answer has arrived when the waiting ends: how long it lies here behind others of the same turn isn't the server's doing.
"""

from __future__ import annotations

import gc
import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnxport.bench.connection import Connection, Place
from onnxport.bench.exchange import Exchange, Question, Reader
from onnxport.bench.load import Load
from onnxport.bench.pace import ClosedLoop, OpenLoop, Pace
from onnxport.bench.poller import Poller, new_poller
from onnxport.bench.processor import Effort, Used, effort, used
from onnxport.bench.schedule import SECOND
from onnxport.bench.tally import TIMEOUT, WRONG, Phase, Slot

clock = time.perf_counter_ns  # the same in all processes of a machine

_SWEEP = SECOND // 20
_NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process is told. head: of each request, up to its Content-Length, with the key in it."""

    load: Load
    process: int
    place: Place
    is_tls: bool
    head: bytes
    questions: Sequence[Question]
    tolerance: float


class Generator:
    """Runs one process's share of a load. `tell` gets the counts of each stretch of time when it is over.

    test_at, end_at: when counting begins and asking ends. pending: requests without an answer yet.
    """

    def __init__(self, plan: Plan, tell: Callable[[Slot], None]) -> None:
        self._tell, self._slot_length = tell, int(plan.load.slot * SECOND)
        self._timeout = int(plan.load.timeout * SECOND)
        self._place = plan.place
        self._tls = ssl.create_default_context() if plan.is_tls else None
        self._poller: Poller[Connection] = new_poller()
        self._exchanges = [Exchange(plan.head, q, plan.tolerance) for q in plan.questions]
        self._prefix, self._asked = os.urandom(10).hex().encode(), plan.process
        self._pace: Pace = (OpenLoop if plan.load.is_open else ClosedLoop)(
            self, plan.load, plan.process
        )
        self._slot, self._slot_end = Slot("warm-up"), _NEVER
        self._before = self._after = Used(0.0, None)
        self._warm_up, self._duration = plan.load.warm_up, plan.load.duration
        self._spun = 0
        self._is_stopped = False
        self.connections: list[Connection] = []
        self.test_at = self.end_at = _NEVER
        self.pending = 0

    # ------------------------------------------------------------------------------------------------------- the turns

    def prepare(self, patience: float) -> None:
        """Opens the connections that the closed loop keeps, for so many seconds at most."""
        self._pace.prepare(now := clock())
        end = now + int(patience * SECOND)
        while now < end and any(c.state in ("connecting", "greeting") for c in self.connections):
            for connection in self._poller.wait(0.05):
                connection.on_ready(clock())
            now = clock()

    def run(self, start: int) -> Effort:
        """The whole test, from `start` on, which is a time of `clock`."""
        self.test_at = start + int(self._warm_up * SECOND)
        self.end_at = self.test_at + int(self._duration * SECOND)
        gc.collect()
        gc.freeze()
        time.sleep(max(start - clock(), 0) / SECOND)
        self._begin_slot(now := start)
        self._pace.begin(start)
        sweep_at = start
        while now < self.end_at or self.pending:
            until, before = min(self._pace.next_at(), sweep_at, self._slot_end), clock()
            ready = self._poller.wait(max(until - before, 0) / SECOND)
            now = clock()
            if not ready and until <= before:
                self._spun += now - before
            if now >= self._slot_end:
                self._tell(self._slot)
                self._begin_slot(now)
            for connection in ready:
                connection.on_ready(now)
            self._pace.pump(now)
            if now >= sweep_at:
                sweep_at = now + _SWEEP
                self._sweep(now)
        self._pace.finish(self._slot)
        self._end(self._slot)
        wall = max(self.end_at - self.test_at, 0) / SECOND
        return effort(self._before, self._after, wall, self._spun / SECOND)

    def stop(self) -> None:
        """Ends the test soon, without waiting for answers; any thread may call it."""
        self._is_stopped = True

    def _begin_slot(self, now: int) -> None:
        """The stretch that `now` lies in; computing is measured where the test begins and ends."""
        was, index = self._slot.phase, 0
        phase: Phase = "end"
        if now < self.test_at:
            phase, self._slot_end = "warm-up", min(self.test_at, now + self._slot_length)
        elif now < self.end_at:
            phase, index = "test", (now - self.test_at) // self._slot_length
            self._slot_end = min(self.end_at, self.test_at + (index + 1) * self._slot_length)
        else:
            self._slot_end = _NEVER
        if phase == "test" and was != "test":
            self._before, self._spun = used(), 0
        elif phase == "end":
            self._after = used()
        self._slot = Slot(phase, index)

    def _end(self, last: Slot) -> None:
        if last.phase == "test":  # all answers were in when the time was up
            self._after = used()
        self._tell(last)
        for connection in self.connections:
            connection.close()

    def _sweep(self, now: int) -> None:
        """Gives up what takes too long."""
        if self._is_stopped:
            self.end_at, self.test_at = min(self.end_at, now), min(self.test_at, now)
            self.pending = 0
            return
        for connection in self.connections:
            if connection.deadline < now and connection.state not in ("closed", "idle"):
                what = "answer" if connection.state == "asking" else "connection"
                connection.close()
                self.lost(connection, TIMEOUT, f"no {what} in {self._timeout / SECOND:g} s", now)

    # ---------------------------------------------------------------------------------------- what the pace asks of it

    def new_connection(self) -> Connection:
        """One more, not open yet."""
        connection = Connection(self._place, self._tls, self._poller, self)
        self.connections.append(connection)
        return connection

    def open(self, connection: Connection, now: int) -> None:
        """Opens a connection."""
        connection.deadline = now + self._timeout
        connection.open(now)

    def take(self, connection: Connection, due: int) -> None:
        """Gives a request to a connection: from now on it is pending."""
        connection.is_taken, connection.due = True, due
        self.pending += 1

    def ask(self, connection: Connection, now: int) -> None:
        """Sends the next question."""
        exchange = self._exchanges[self._asked % len(self._exchanges)]
        self._asked += 1
        connection.deadline = now + self._timeout
        self._slot.sent += connection.ask(exchange, b"%b%012x" % (self._prefix, self._asked))

    def note_lag(self, lag: int, *, waited: bool) -> None:
        """How late a request was, in nanoseconds, by the generator's own fault; whether it waited for a connection."""
        if self._slot.phase == "test":
            self._slot.lag.add(lag)
            self._slot.waited += waited

    # ----------------------------------------------------------------------------------------- what a connection tells

    def opened(self, connection: Connection, now: int) -> None:
        self._pace.opened(connection, now)

    def read(self, size: int) -> None:
        self._slot.received += size

    def right(self, connection: Connection, arrived: int) -> None:
        self._count_right(connection, arrived)
        self._pace.freed(connection, arrived)

    def _count_right(self, connection: Connection, arrived: int) -> None:
        slot, due = self._slot, connection.due
        slot.arrived += 1
        if due >= self.test_at:
            slot.right += 1
            slot.latency.add(max(arrived - due, 0))
        connection.is_taken = False
        self.pending -= 1

    def judge(self, connection: Connection, reader: Reader, arrived: int) -> bool:
        assert connection.exchange is not None
        kind, seen = reader.verdict(connection.exchange)
        if reader.request_id not in (None, connection.request_id):
            self._slot.strangers += 1
        if not kind:
            self._count_right(connection, arrived)
            return True
        if kind == WRONG or connection.due >= self.test_at:  # a wrong answer counts, however early
            self._slot.fail(kind, f"{seen} (request id {connection.request_id.decode()})")
        connection.is_taken = False
        self.pending -= 1
        return False

    def freed(self, connection: Connection, now: int) -> None:
        self._pace.freed(connection, now)

    def lost(self, connection: Connection, kind: str, why: str, now: int) -> None:
        moment = connection.due if connection.is_taken else now
        if kind and self.test_at <= moment < self.end_at:
            self._slot.fail(kind, why)
            self._slot.latency.beyond += kind == TIMEOUT
        self.pending -= connection.is_taken
        connection.is_taken = False
        self._pace.lost(connection, kind, now)
