"""A worker's place among several: how it hears what to do, and shows that it lives."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable
from enum import IntEnum
from multiprocessing.connection import Connection

from uvicorn.server import HANDLED_SIGNALS

log = logging.getLogger(__name__)

READY = b"ready"


class Order(IntEnum):
    """What a server is to do; a later order never takes back an earlier one."""

    SERVE = 0
    DRAIN = 1  # withdraw readiness, linger for load balancers, finish what was accepted, end
    STOP = 2  # the same without lingering
    CUT_OFF = 3  # end now

    def after(self, number: int) -> Order:
        """The order after a signal from outside: the first one drains, a second one hurries."""
        if self is not Order.SERVE:
            return Order.CUT_OFF
        return Order.STOP if number == signal.SIGINT else Order.DRAIN


class Seat:
    """A worker's place among `count`; its index, from 0, passes on to the one that replaces it.

    This is the seat of the only process; those of several hang on their supervisor.
    """

    signals: tuple[int, ...] = HANDLED_SIGNALS

    def __init__(self, *, index: int = 0, count: int = 1, on_ready: Callable[[], None]) -> None:
        self.index, self.count, self.ready = index, count, on_ready

    def beat(self) -> Order:
        """Shows that the event loop turns, and tells what to do."""
        return Order.SERVE

    def hear(self, order: Order, number: int) -> Order:
        """What to do after a signal, beyond the order in force."""
        return order.after(number)

    def drains(self) -> None:
        """Told when the order to end is obeyed."""
        log.info("draining")


class SharedSeat(Seat):
    signals = (signal.SIGTERM,)

    def __init__(self, cells: memoryview, mouth: Connection, *, index: int, count: int) -> None:
        super().__init__(index=index, count=count, on_ready=lambda: self.say(READY))
        self._cells, self._mouth, self._supervisor = cells, mouth, os.getpid()

    def beat(self) -> Order:
        self._cells[1 + self.index] += 1
        return self._order()

    def hear(self, order: Order, number: int) -> Order:  # noqa: ARG002
        """A signal that comes without an order was meant for this worker alone."""
        return self._order() or max(order, Order.DRAIN)

    def drains(self) -> None:
        """The supervisor has said so."""

    def say(self, kind: bytes, *words: str) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone, which the next beat sees
            self._mouth.send_bytes(b"\0".join((kind, *(w.encode(errors="replace") for w in words))))

    def _order(self) -> Order:
        order = Order(self._cells[0])
        return order if os.getppid() == self._supervisor else max(order, Order.STOP)
