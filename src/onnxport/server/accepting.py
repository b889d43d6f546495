"""New connections, many in one turn of the event loop: libuv takes one a turn, and each turn answers all the others
first, so that the last of a thousand callers would wait for a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

if sys.platform != "win32":
    import resource

log = logging.getLogger(__name__)

SPARE = 128  # file descriptors for all else
PAUSE = 1.0  # seconds until it is tried again where the system has no more to give


class Acceptor:
    """Accepts from one listening socket that doesn't block. Has what `asyncio.Server` has, as far as uvicorn asks.

    most: connections in one turn. backlog: that queue meanwhile. tls: the arguments by which asyncio encrypts a
    connection, if it is to.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        *,
        most: int,
        backlog: int,
        tls: dict[str, Any],
    ) -> None:
        self._listener, self._protocol, self._tls = listener, protocol, tls
        self._most, self._backlog = most, backlog
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listens. Raises NotImplementedError where the event loop can't watch sockets."""
        self._listener.listen(self._backlog)
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Accepts nothing more; the socket is its owner's."""
        if self._resuming is not None:
            self._resuming.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())

    async def wait_closed(self) -> None:
        """There is nothing to wait for: connections are uvicorn's."""

    def take_rest(self) -> list[asyncio.Task[None]]:
        """Accepts all that the kernel has, for a last time; what opens them."""
        with contextlib.suppress(OSError):
            while True:
                self._open(self._listener.accept()[0])
        return list(self._opening)

    def _accept(self) -> None:
        try:
            for caller in self._waiting():
                self._open(caller)
        except OSError as err:  # mostly no more file descriptors; the callers go on waiting
            log.error("no connection can be accepted for %g s: %s", PAUSE, err.strerror)
            self.close()
            self._resuming = self._loop.call_later(PAUSE, self.start)

    def _waiting(self) -> Iterator[socket.socket]:
        for _ in range(self._most):
            try:
                yield self._listener.accept()[0]
            except ConnectionAbortedError:
                continue
            except BlockingIOError:
                return

    def _open(self, caller: socket.socket) -> None:
        opening = self._loop.create_task(self._attend(caller))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _attend(self, caller: socket.socket) -> None:
        caller.setblocking(False)
        with contextlib.suppress(OSError):  # gone already, or no TLS
            await self._loop.connect_accepted_socket(self._protocol, caller, **self._tls)


def make_room(connections: int) -> None:
    """Lets this process, and those forked from it, have a file descriptor for each of so many connections, as far as
    the system allows it: the usual limit is 1,024.
    """
    if sys.platform == "win32":
        return
    wanted = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    if allowed < wanted:
        told = "the system allows %d open files, so that about %d of %d connections fit; raise it (ulimit -Hn)"
        log.warning(told, allowed, max(0, allowed - SPARE), connections)
