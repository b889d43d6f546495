"""The connection: what a caller may send before any application sees it, how much of it, and how slowly."""

from __future__ import annotations

import http
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from starlette.exceptions import HTTPException
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from onnxport.errors import OverloadedError
from onnxport.server import problems
from onnxport.server.request_ids import new_id

TAKEN = "onnxport.taken"  # in an ASGI scope: true where the connection answers in the application's place


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection takes: bytes, numbers of headers, seconds; and how many there may be of it.

    Headers must be complete `header_seconds` after their first byte. A body may take as long as every
    `body_seconds` bring `body_rate` bytes a second on average, in at most so many chunks. `linger`: how long a
    refused caller is listened to, so that the refusal reaches it.
    """

    header_bytes: int = 16 * 1024
    headers: int = 64
    header_seconds: float = 5.0
    body_seconds: float = 15.0
    body_rate: int = 1024
    linger: float = 1.0
    connections: int = 4096
    chunks: int = 65_536


def limited(limits: Limits) -> type[GuardedProtocol]:
    """The protocol with other limits."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol that refuses broken, oversize and slow requests in JSON, and then closes the connection.

    A refusal waits for the answers to earlier requests on the same connection; no answer that is being computed or
    sent is ever cut off.
    """

    limits = Limits()

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any
    ) -> None:
        super().__init__(config, server_state, app_state, **more)
        self._parsed = self._unparsed = self._fields = self._progress = self._chunks = 0
        self._in_body = self._moved = False
        self._timer: TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None
        self._refusal: bytes | None = None
        self._closing = False

    # ------------------------------------------------------------------------ bytes come in

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self.has_more)
        self._keep_alive()
        if len(self.connections) > self.limits.connections:
            self._refuse(503)

    def _keep_alive(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unset_keepalive_if_required()
        for cycle in (self._answering, *(queued for queued, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        self._moved = False
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(self._why_it_stopped())
            return
        self._unparsed += 0 if self._moved else len(data)
        if self._is_oversize():
            self._refuse(431)
        elif self._timer is None and not self._moved:
            self._begin_or_wait(data)

    def _begin_or_wait(self, data: bytes) -> None:
        """Bytes have come that begin no message yet; empty lines behind a request are nothing."""
        if self._answering is not None and not data.strip(b"\r\n"):
            self._keep_alive()
        else:
            self._start_timer(self.limits.header_seconds, self._give_up)

    def _why_it_stopped(self) -> int:
        if self._chunks > self.limits.chunks:
            return 413
        return 431 if self._is_oversize() else 400

    def _feed(self, data: bytes) -> None:
        """Parses on where the parser stops for an upgrade: HTTP allows to pass over the wish. It has no body."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                data = data[stop.args[0] :]
                self.parser = _new_parser(self)
            else:
                return

    def _is_oversize(self) -> bool:
        return (
            max(self._parsed, self._unparsed) > self.limits.header_bytes
            or self._fields > self.limits.headers
        )

    # ---------------------------------------------------------------- what the parser found

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._parsed = self._unparsed = self._fields = self._chunks = 0
        if self._timer is None:
            self._start_timer(self.limits.header_seconds, self._give_up)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count(len(name) + len(value) + len(": \r\n"))
        if self._in_body:
            return  # a trailer is no header (RFC 9110, section 6.5.1), least of all a key
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._parsed += size
        if self._is_oversize():
            raise ValueError("the headers are too many or too long")  # stops the parser

    def on_headers_complete(self) -> None:
        self._moved = True
        if self.parser.should_upgrade() and self._announces_body():
            raise ValueError("llhttp would read the body as requests")  # stops the parser
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            raise ValueError("llhttp would take another coding for none")
        self.accept_head()
        self._in_body = True
        self._unparsed = self._progress = 0
        self._start_timer(self.limits.body_seconds, self._check_body)

    def on_body(self, body: bytes) -> None:
        self._moved = True
        self._unparsed = 0
        self._progress += len(body)
        self._chunks += 1
        if self._chunks > self.limits.chunks:
            raise ValueError("the body comes in too many chunks")  # stops the parser
        self.accept_body(body)

    def on_message_complete(self) -> None:
        self._moved = True
        self._unparsed = 0
        self._in_body = False
        self._stop_timer()
        self.accept_end()

    def _announces_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" 0"))
            for name, value in self.headers
        )

    def has_more(self) -> bool:
        """Requests have come that nobody has begun with."""
        return bool(self.pipeline)

    def accept_head(self) -> None:
        """A request's head is complete and within the limits."""
        super().on_headers_complete()

    def accept_body(self, body: bytes) -> None:
        """More of its body has come."""
        super().on_body(body)

    def accept_end(self) -> None:
        """It is complete."""
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Says nothing: the upgrade is ignored, as HTTP allows."""

    # -------------------------------------------------------------------------------- timers

    def _start_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self.flow.read_paused:  # it isn't the caller who is late
            self._start_timer(self.limits.header_seconds, self._give_up)
        else:
            self._refuse(408)

    def _check_body(self) -> None:
        """Whether the body came on; time in which the server itself didn't read doesn't count."""
        enough = self._progress >= self.limits.body_rate * self.limits.body_seconds
        if not (enough or self._is_held_up()):
            self._refuse(408)
            return
        self._progress = 0
        self._start_timer(self.limits.body_seconds, self._check_body)

    def _is_held_up(self) -> bool:
        cycle = self.cycle
        sending = cycle.response_started and not cycle.response_complete
        return self.flow.read_paused or sending or cycle is not self._answering

    # ------------------------------------------------------------------------------- refusals

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self._refuse(400)

    def _refuse(self, status: int) -> None:
        """Reads nothing more; answers with the status when all earlier requests have been answered, and closes."""
        if self._refusal is not None:
            return
        self._stop_timer()
        self._unset_keepalive_if_required()
        told = _render(status)
        self._refusal = _response(told)
        self.note_refusal(told)
        if self._in_body:
            self._abandon()
        self._finish()

    def _abandon(self) -> None:
        """Tells the application that the rest of this request never comes."""
        cycle = self.cycle
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        elif cycle.response_started:
            self._refusal = b""  # it has its answer
        else:
            scope: Any = cycle.scope
            scope[TAKEN] = True
            cycle.disconnected = True
            cycle.message_event.set()

    def note_refusal(self, told: problems.Rendered) -> None:
        """A request is refused that no application sees, or not to its end. For whoever counts."""

    def _finish(self) -> None:
        """Sends the refusal and closes, unless an answer is still to come or the connection is closed already."""
        busy = self._answering is not None and not (
            self._answering.response_complete or self._answering.disconnected
        )
        if busy or self.pipeline or self._closing or self.transport.is_closing():
            return
        self._closing = True
        self._unset_keepalive_if_required()
        self.transport.write(self._refusal or b"")
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_timer(self.limits.linger, self.transport.close)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._timer is not None:  # the next request has begun: the connection isn't idle
            self._unset_keepalive_if_required()
        if self._refusal is not None:
            self._finish()

    def shutdown(self) -> None:
        super().shutdown()
        if self._closing:
            self.transport.close()


class _Flow(FlowControl):
    """Reads nothing while there are requests to work off: uvicorn's own would queue as many as a caller likes."""

    def __init__(self, transport: Transport, has_more: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._has_more = has_more

    def resume_reading(self) -> None:
        if not self._has_more():
            super().resume_reading()


def _new_parser(protocol: GuardedProtocol) -> httptools.HttpRequestParser:
    """As uvicorn makes them: what comes behind a request that wants the connection closed is no error."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _render(status: int) -> problems.Rendered:
    """The answer to a request that never became one."""
    err = OverloadedError("too many connections") if status == 503 else HTTPException(status)
    return problems.render(err, new_id())


def _response(told: problems.Rendered) -> bytes:
    status = f"HTTP/1.1 {told.status} {http.HTTPStatus(told.status).phrase}\r\n".encode("ascii")
    headers = b"".join([b"%b: %b\r\n" % pair for pair in told.headers])
    return status + headers + b"connection: close\r\n\r\n" + told.content
