"""One connection of a generator. It never waits: it is told when its socket is ready, and tells what came of it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httptools

from onnxport.bench.exchange import Exchange, Reader
from onnxport.bench.poller import Poller
from onnxport.bench.tally import CLOSED, NO_HTTP, NO_TLS, REFUSED, UNREACHABLE
from onnxport.errors import shorten

State = Literal["closed", "connecting", "greeting", "idle", "asking"]

_READ = 64 * 1024  # a larger buffer would be mapped and unmapped by malloc each time
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, resolved. name: what its certificate must be for."""

    family: int
    address: Any
    name: str


class Owner(Protocol):
    """Who is told. Times are nanoseconds of `time.perf_counter_ns`."""

    def opened(self, connection: Connection, now: int) -> None:
        """It can be asked."""

    def right(self, connection: Connection, arrived: int) -> None:
        """The answer is the same as one that was judged right, and the connection idle."""

    def judge(self, connection: Connection, reader: Reader, arrived: int) -> bool:
        """The answer is complete; says whether it is right."""

    def freed(self, connection: Connection, now: int) -> None:
        """After `judge`: the connection is idle, or closed as the server wanted."""

    def lost(self, connection: Connection, kind: str, why: str, now: int) -> None:
        """It is closed, and with it a request that it had; kind: "" where it was idle."""

    def read(self, size: int) -> None:
        """So many bytes came in."""


class Connection:
    """due: when its request fell due. deadline: when it is given up. free_since: when its last answer came in.

    is_taken: whether it has a request, sent or to be sent as soon as it is open. retry_at: not to be opened before.
    """

    __slots__ = (
        "_awaited", "_got", "_owner", "_place", "_poller", "_raw", "_reader", "_socket", "_tls", "_unsent",
        "deadline", "due", "exchange", "free_since", "is_taken", "request_id", "retry_at", "state",
    )  # fmt: skip

    def __init__(
        self, place: Place, tls: ssl.SSLContext | None, poller: Poller[Any], owner: Owner
    ) -> None:
        self._place, self._tls, self._poller, self._owner = place, tls, poller, owner
        self._socket: Any = None
        self._reader = Reader()
        self._raw: list[bytes] = []
        self._awaited, self._got = b"", 0
        self._unsent: memoryview | None = None
        self.state: State = "closed"
        self.exchange: Exchange | None = None
        self.request_id, self.is_taken = b"", False
        self.due = self.deadline = self.free_since = self.retry_at = 0

    def open(self, now: int) -> None:
        """Begins to connect."""
        self.state = "connecting"
        try:
            self._socket = socket.socket(self._place.family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = self._socket.connect_ex(self._place.address)
        except OSError as err:
            code = err.errno or errno.EIO
        if code in _UNDER_WAY:
            self._watch(writing=True)
        else:
            self._lose_unopened(code, now)

    def ask(self, exchange: Exchange, request_id: bytes) -> int:
        """Sends a question on an idle connection; its size in bytes."""
        self.exchange, self.request_id, self.state = exchange, request_id, "asking"
        self._got = 0
        request = exchange.request(request_id)
        sent = self._send(request)
        if sent < len(request):
            self._unsent = memoryview(request)[sent:]
            self._watch(writing=True)
        return len(request)

    def close(self) -> None:
        """Drops the connection, whatever it was doing."""
        if self._socket is not None:
            self._poller.forget(self._socket.fileno())
            self._socket.close()
        if self._raw:  # a reader in the middle of an answer can't begin another one
            self._raw, self._reader = [], Reader()
        self._socket, self._unsent, self.state = None, None, "closed"

    def on_ready(self, now: int) -> None:
        """The socket can be read or written, or is broken."""
        if self.state == "connecting":
            self._connected(now)
        elif self.state == "greeting":
            self._greet(now)
        elif self.state != "closed":
            if self._unsent is not None:
                self._send_rest(self._unsent)
            self._receive(now)

    # --------------------------------------------------------------------------------------------------------- opening

    def _connected(self, now: int) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._lose_unopened(code, now)
        elif self._tls is None:
            self._opened(now)
        else:
            self.state = "greeting"
            self._socket = self._tls.wrap_socket(
                self._socket, server_hostname=self._place.name, do_handshake_on_connect=False
            )
            self._greet(now)

    def _greet(self, now: int) -> None:
        """The next step of TLS's handshake."""
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(writing=False)
        except ssl.SSLWantWriteError:
            self._watch(writing=True)
        except OSError as err:
            self._lose(NO_TLS, str(err), now)
        else:
            self._opened(now)

    def _opened(self, now: int) -> None:
        self.state = "idle"
        self._watch(writing=False)
        self._owner.opened(self, now)

    # --------------------------------------------------------------------------------------------------------- sending

    def _send(self, data: bytes | memoryview) -> int:
        """How much of it went out. A broken connection shows itself when it is read."""
        try:
            sent: int = self._socket.send(data)
        except OSError:
            return 0
        return sent

    def _send_rest(self, rest: memoryview) -> None:
        rest = rest[self._send(rest) :]
        self._unsent = rest if rest else None
        if not rest:
            self._watch(writing=False)

    def _watch(self, *, writing: bool) -> None:
        self._poller.watch(self._socket.fileno(), self, writing=writing)

    # ------------------------------------------------------------------------------------------------------- receiving

    def _receive(self, now: int) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(_READ)
            except _NOT_YET:
                return
            except OSError:
                data = b""
            if not data:
                self._lose_opened(now)
                return
            self._owner.read(len(data))
            self._take(data, now)
            if self._tls is None or self._socket is None or not self._socket.pending():
                return

    def _take(self, data: bytes, now: int) -> None:
        """A piece of an answer: the same as the known one so far, or for the parser."""
        if self.state != "asking" or self.exchange is None:
            self._lose(NO_HTTP, "an answer that nobody asked for", now)
            return
        known = self.exchange.known
        if known is not None and not self._raw:
            if not self._got:
                self._awaited = self.request_id.join(known)
            if self._awaited.startswith(data, self._got):
                self._got += len(data)
                if self._got == len(self._awaited):
                    self.state, self.free_since = "idle", now
                    self._owner.right(self, now)
                return
            data = self._awaited[: self._got] + data
        self._parse(data, now)

    def _parse(self, data: bytes, now: int) -> None:
        self._raw.append(data)
        try:
            self._reader.feed(data)
        except httptools.HttpParserError as err:
            said = shorten(b"".join(self._raw).decode("latin-1"), 80)
            self._lose(NO_HTTP, f"{err}: {said}", now)
            return
        if self._reader.is_complete:
            self._finish(self._reader, now)

    def _finish(self, reader: Reader, now: int) -> None:
        is_right = self._owner.judge(self, reader, now)
        self.free_since = now
        if reader.keep_alive and not reader.is_followed and self._unsent is None:
            is_ours = reader.request_id in (None, self.request_id)
            if is_right and is_ours and self.exchange is not None:
                self.exchange.learn(b"".join(self._raw), self.request_id)
            self._raw = []
            reader.reset()
            self.state = "idle"
        else:
            self.close()
        self._owner.freed(self, now)

    # --------------------------------------------------------------------------------------------------------- failing

    def _lose_unopened(self, code: int, now: int) -> None:
        kind = REFUSED if code == errno.ECONNREFUSED else UNREACHABLE
        self._lose(kind, os.strerror(code), now)

    def _lose_opened(self, now: int) -> None:
        if self.state == "asking":
            begun = self._raw or self._got
            where = "in the middle of an answer" if begun else "before the first byte of an answer"
            self._lose(CLOSED, where, now)
        else:
            self._lose("", "", now)

    def _lose(self, kind: str, why: str, now: int) -> None:
        self.close()
        self._owner.lost(self, kind, why, now)
