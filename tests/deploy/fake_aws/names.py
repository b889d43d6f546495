"""Names on loopback: each is a port that leads to one environment's nginx, and to another's after a swap.

As with DNS, a connection that is open stays where it is.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

_CHUNK = 65_536
_Taken = TypeVar("_Taken")


class Name:
    """A port that listens from the beginning to `close`; without a target it answers nobody."""

    def __init__(self, port: int) -> None:
        self.target: int | None = None
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self.target = None
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(caller,), daemon=True).start()

    def _join(self, caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            if self.target is None:
                return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                _send_at_once(caller, server)
                back = threading.Thread(target=_carry, args=(server, caller), daemon=True)
                back.start()
                _carry(caller, server)
                back.join()


def _send_at_once(*ends: socket.socket) -> None:
    """Else a body that follows its head waits 40 ms for a delayed ACK (RFC 9293, 3.7.4 and 3.8.6.3)."""
    for end in ends:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Until the source has ended; then the target hears so."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Names:
    """All names that were ever asked for; each keeps its port. first: where to look for free ports; 0: anywhere."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._names: dict[str, Name] = {}

    def address(self, name: str) -> str:
        if name not in self._names:
            self._names[name] = self._new()
        return self._names[name].address

    def point(self, address: str, port: int | None) -> None:
        """From now on the name with this address leads to a port."""
        for name in self._names.values():
            if name.address == address:
                name.target = port

    def _new(self) -> Name:
        name = first_free(self._next, Name)
        if self._next:
            self._next = name.port + 1
        return name

    def close(self) -> None:
        for name in self._names.values():
            name.close()
        self._names.clear()


def first_free(port: int, take: Callable[[int], _Taken]) -> _Taken:
    """What `take` gives for the first port from this one on that nobody has."""
    for number in range(port, port + 1000):
        with contextlib.suppress(OSError):
            return take(number)
    raise OSError(f"no port is free from {port} on")
