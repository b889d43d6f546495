"""uvicorn from the first connection to a clean end: whoever has connected is answered before it stops."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address
from types import FrameType
from typing import Any

import uvicorn

from onnxport.server.accepting import Acceptor
from onnxport.server.deferred import Deferred
from onnxport.server.lane import Lane
from onnxport.server.prepared import Prepared
from onnxport.server.protocol import GuardedProtocol
from onnxport.server.seat import Order, Seat
from onnxport.server.service import Service

log = logging.getLogger(__name__)

LINGER = 3.0  # seconds until load balancers have seen that the server drains
SETTLE = 0.5  # seconds in which a request on an open connection may still come in
BACKLOG = 2048  # connections that queue until they are accepted
MOST_ACCEPTED = 256  # connections in one turn of the event loop
MOST_AMONG_SEVERAL = 4  # the same where other workers are to have some
HEAD_START = 0.1  # seconds that first callers have the interpreter to themselves
BEATS = 10  # heartbeats a second
HANDSHAKE = 5.0  # seconds that a TLS handshake may take, as a request's headers may
FAREWELL = 0.5  # seconds in which a caller may answer the end of TLS


class Server(uvicorn.Server):
    """uvicorn that does what its seat says and tells readiness at once.

    lane: its fast path; without one, everything is FastAPI's.
    """

    def __init__(
        self, prepared: Prepared, seat: Seat, service: Service, lane: Lane | None = None
    ) -> None:
        self._seat, self._readiness, self._lane = seat, service.readiness, lane
        self._app = Deferred(service, self._end_broken)
        self.is_broken = False
        self._listener = prepared.listener
        self._acceptor: Acceptor | None = None
        self._most_accepted = MOST_ACCEPTED if seat.count == 1 else MOST_AMONG_SEVERAL
        self._order, self._ends_at, self._gives_up_at = Order.SERVE, math.inf, math.inf
        settings, tls = prepared.settings, prepared.tls
        self._patience = settings.shutdown_timeout
        reached = not ip_address(prepared.listener.getsockname()[0]).is_loopback
        self._linger = min(LINGER, settings.shutdown_timeout / 3) if reached else 0.0
        super().__init__(
            uvicorn.Config(
                self._app,
                http=lane.protocol if lane else GuardedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,  # ours tells of both paths
                backlog=BACKLOG,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive,
                ssl_context_factory=None if tls is None else (lambda *_: tls),
                timeout_graceful_shutdown=settings.shutdown_timeout,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])  # uvicorn sets no limits to TLS's own conversations
        for listener in sockets or []:
            await self._accept_from(listener)
        self._pulse = asyncio.create_task(self._beat())
        self._seat.ready()
        asyncio.get_running_loop().call_later(HEAD_START, self._begin_app)

    def _begin_app(self) -> None:
        if not self.should_exit:
            self._app.begin()

    async def _accept_from(self, listener: socket.socket) -> None:
        acceptor = Acceptor(
            listener, self._protocol, most=self._most_accepted, backlog=BACKLOG, tls=self._tls
        )
        try:
            acceptor.start()
        except NotImplementedError:  # Windows, where asyncio itself accepts many at once
            loop = asyncio.get_running_loop()
            self.servers.append(
                await loop.create_server(
                    self._protocol, sock=listener, backlog=BACKLOG, **self._tls
                )
            )
        else:
            self._acceptor = acceptor

    def _end_broken(self) -> None:
        self.is_broken = self.should_exit = True

    async def _beat(self) -> None:
        """As long as the event loop turns, so also while it drains."""
        for tick in itertools.count():
            self._obey(self._seat.beat())
            if tick % BEATS == 0:
                self._run_every_second()
            await asyncio.sleep(1 / BEATS)

    def _run_every_second(self) -> None:
        if self._lane is None:
            return
        try:
            self._lane.every_second(self.server_state.connections)
        except Exception:
            log.exception("what is done every second failed")

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or time.monotonic() >= self._ends_at

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The first signal drains, a second one cuts off; in a worker the supervisor's order counts instead."""
        self._loop.call_soon_threadsafe(self._hear, sig)

    def _hear(self, number: int) -> None:
        self._obey(self._seat.hear(self._order, number))

    def _obey(self, order: Order) -> None:
        if order <= self._order:
            return
        first, self._order = self._order is Order.SERVE, order
        if first:
            self._readiness.drain()
            if self._lane:
                self._lane.drain(self.server_state.connections)
            self._seat.drains()
        if order is Order.CUT_OFF:
            self.should_exit = self.force_exit = True
            return
        now = time.monotonic()
        self._ends_at = now + (self._linger if order is Order.DRAIN else 0.0)
        self._gives_up_at = min(self._gives_up_at, now + self._patience)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but callers that have connected are heard: a request may be on its way."""
        if self._acceptor is not None:
            self._acceptor.close()
        if not self.force_exit:
            callers = self._acceptor.take_rest() if self._acceptor is not None else []
            for server in self.servers:
                server.close()
            self._listener.close()
            await self._settle(callers)
        left = max(0.0, self._gives_up_at - time.monotonic())
        self.config.timeout_graceful_shutdown = left  # type: ignore[assignment]
        await super().shutdown(sockets)

    @property
    def _tls(self) -> dict[str, Any]:
        """How connections are encrypted, if they are, and how long the handshake and the farewell may take."""
        if self.config.ssl is None:
            return {}
        return {
            "ssl": self.config.ssl,
            "ssl_handshake_timeout": HANDSHAKE,
            "ssl_shutdown_timeout": FAREWELL,
        }

    def _protocol(self) -> asyncio.Protocol:
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return protocol(self.config, self.server_state, self.lifespan.state)

    async def _settle(self, queued: Collection[asyncio.Task[None]]) -> None:
        """For a moment, idle connections stay open; whoever asks is answered, and told to connect no more."""
        until = time.monotonic() + SETTLE
        if queued:
            await asyncio.wait(queued, timeout=SETTLE)
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.02)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not raised again: the exit code stays 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._loop = asyncio.get_running_loop()
        before = {n: signal.signal(n, self.handle_exit) for n in self._seat.signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
