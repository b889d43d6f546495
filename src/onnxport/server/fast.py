"""The fast path: hot requests are answered in the protocol, before ASGI; everything else takes uvicorn's way.

A request gets here in one of two ways. Bytes that begin with a header block that was seen before, and hold the whole
body, are taken as they are. Any other bytes go through the connection's own parser, where a plain POST to /predict is
taken too, at the price of the parser's callbacks. Whatever else comes is cold.

A connection has at most one request at work. While a hot one is, further bytes are held; while a cold one is, they go
to the parser, and uvicorn queues what they hold. It turns hot again only between messages: when the request before
has been read to its end and answered to its end.
"""

from __future__ import annotations

import re
import time
from asyncio import Transport
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from onnxport.server.heads import Block, Head, Heads
from onnxport.server.logs import Answered
from onnxport.server.observer import Observer, address
from onnxport.server.problems import Rendered
from onnxport.server.protocol import GuardedProtocol
from onnxport.server.request_ids import decide, new_id, sent_id
from onnxport.server.rounds import Rounds

SLICE = 16 * 1024  # bytes that the parser gets at once
WINDOW = 4096  # bytes of what is held that are looked at for the next request

_now = time.perf_counter
_is_harmless = re.compile(rb"[0-9A-Za-z-]{1,64}").fullmatch


class Turn:
    """Stands where uvicorn has its cycle, for the hot request of a connection."""

    __slots__ = (
        "disconnected",
        "keep_alive",
        "message_event",
        "response_complete",
        "response_started",
        "scope",
    )

    def __init__(self) -> None:
        self.disconnected = self.response_started = False
        self.response_complete = self.keep_alive = True
        self.message_event = self
        self.scope: dict[str, Any] = {}

    def set(self) -> None:
        """Nobody waits for more of a hot request."""


class FastProtocol(GuardedProtocol):
    """A connection of the fast path. heads, rounds, observer: those of its process, which a subclass sets."""

    heads: Heads
    rounds: Rounds
    observer: Observer
    send_seconds = 30.0  # that a caller may take to read an answer

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any
    ) -> None:
        super().__init__(config, server_state, app_state, **more)
        self.rounds.attach(server_state, self.loop)
        self._turn: Any = Turn()
        self._block: Block | None = None  # what this connection has sent last
        self._head: Head | None = None  # of a hot request that is being parsed
        self._parts: list[bytes] = []
        self._held, self._at = b"", 0  # bytes for later, and where they begin
        self._last = _now()
        self._stuck: float | None = None  # since when the caller doesn't read
        # Between messages, nothing at work, nothing held; and that nothing but an answer stands in the way of it.
        self._is_idle = self._is_plain = True

    def data_received(self, data: bytes) -> None:
        if not self._is_idle:
            self._receive_more(data)
            return
        block = self._block
        if (
            block is None
            or len(data) != block.total
            or not data.startswith(block.before)
            or not data.startswith(block.after, block.at)
        ):
            block = self._block = self.heads.find(data)
            if block is None or len(data) < block.total:
                self._parse(data)
                return
        known_as = data[block.hole]
        if known_as and not (known_as.isalnum() or _is_harmless(known_as)):
            self._parse(data)
            return
        if len(data) > block.total:
            self._hold(data, block.total)
        self._ask(data[block.end : block.total], known_as, block.head)

    def _ask(self, body: bytes, known_as: bytes, head: Head) -> None:
        turn, now = self._turn, _now()
        turn.response_complete = self._is_idle = False
        self.cycle = self._answering = turn
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._last = now
        self.rounds.add((self, body, known_as or new_id().encode(), head, now))

    def answer(self, response: bytes) -> None:
        """Sends the whole answer to the hot request."""
        turn = self._turn
        turn.response_complete = True
        if turn.disconnected:
            self.rounds.gone += 1
            return
        if self._is_plain:
            self.transport.write(response)
            self._is_idle = True
        else:
            self._answer_and_go_on(response)

    # ------------------------------------------------------------- what is not as usual

    def _answer_and_go_on(self, response: bytes) -> None:
        closes = not self._turn.keep_alive
        if closes:
            response = response.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
        self.transport.write(response)
        if closes:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """An answer has been sent, hot or cold: starts what was queued, and takes up what was held."""
        super().on_response_complete()
        self._settle()
        self._take_up()

    def _take_up(self) -> None:
        """Goes on with what is held, one request at a time; reading stays paused until nothing is left of it."""
        if self.transport.is_closing():
            self._held = b""
        if not self._held or self._stuck is not None or self.pipeline:
            return
        if self._is_at_work():
            if self._timer is None or self._is_asked():
                return  # else it waits for the rest of its body, which is held
        elif self._timer is None and self._take_up_hot():
            return
        rest, self._held = self._held[self._at :], b""
        self.flow.resume_reading()
        self._parse(rest)

    def _take_up_hot(self) -> bool:
        piece = self._held[self._at : self._at + WINDOW]
        block = self.heads.find(piece)
        if block is None or len(piece) < block.total:
            return False
        self._at += block.total
        if self._at == len(self._held):
            self._held = b""
            self.flow.resume_reading()
            self._settle()
        self._ask(piece[block.end : block.total], piece[block.hole], block.head)
        return True

    def _hold(self, data: bytes, at: int = 0) -> None:
        """Keeps bytes from here on for later."""
        if self._held:
            data, at = self._held[self._at :] + data, 0
        self._held, self._at = data, at
        self._is_plain = False
        self.flow.pause_reading()

    def _receive_more(self, data: bytes) -> None:
        if self._held or self._is_asked() or self._stuck is not None:
            self._hold(data)
        else:
            self._parse(data)

    def _is_asked(self) -> bool:
        """A hot request waits for its answer."""
        return self.cycle is self._turn and not self._turn.response_complete and self._head is None

    def _parse(self, data: bytes) -> None:
        """Feeds the parser, and holds the rest as soon as requests queue: each of them takes some kilobytes."""
        self._is_idle = self._is_plain = False
        for at in range(0, len(data), SLICE):
            super().data_received(data[at : at + SLICE])
            if self.pipeline and at + SLICE < len(data):
                self._hold(data, at + SLICE)
                break
        self._settle()

    def _settle(self) -> None:
        """Finds out whether the next bytes may be a hot request, and whether its answer needs nothing but sending."""
        in_message = self._timer is not None or self._refusal is not None
        unusual = in_message or self.pipeline or self._held or self._stuck is not None
        self._is_plain = not unusual and self._turn.keep_alive
        is_ready = self._is_plain and not self._is_at_work()
        self._is_idle = is_ready and not self.transport.is_closing()

    def has_more(self) -> bool:
        return bool(self._held) or super().has_more()

    def _is_at_work(self) -> bool:
        """A request, hot or cold, has come whose answer isn't complete."""
        newest: Any = self.cycle  # None before the first one
        return newest is not None and not newest.response_complete

    def is_gone(self) -> bool:
        """The caller has closed the connection."""
        return bool(self._turn.disconnected)

    def forget(self) -> None:
        """The next request is judged anew."""
        self._block = None

    def drain(self) -> None:
        """The answer that is due closes the connection, unless more requests have come already."""
        self._block = None
        self._turn.keep_alive = bool(self._held)
        self._settle()

    # ----------------------------------------------------------- hot requests by the parser

    def accept_head(self) -> None:
        if not self._is_at_work() and not self.pipeline and self._refusal is None:
            self._head = self.heads.judge(self.parser, self.url, self.headers)
        if self._head is None:
            super().accept_head()
            return
        self._turn.response_complete = False
        self.cycle = self._answering = self._turn

    def accept_body(self, body: bytes) -> None:
        if self._head is None:
            super().accept_body(body)
        else:
            self._parts.append(body)

    def accept_end(self) -> None:
        head, self._head = self._head, None
        if head is None:
            super().accept_end()
            return
        if head.health:
            self._tell_health(*head.health)
            return
        body = b"".join(self._parts)
        self._parts.clear()
        self._ask(body, decide(sent_id(self.headers)).encode(), head)

    def _tell_health(self, path: str, content: bytes) -> None:
        now, known_as = _now(), decide(sent_id(self.headers))
        self._last = now
        self.answer(self.rounds.form_answer(content, known_as.encode()))
        request = Answered(known_as, "GET", path, 200, _now() - now, address(self.client))
        self.observer.note("health", request, _now())

    def note_refusal(self, told: Rendered) -> None:
        now, client = _now(), address(self.client)
        known_as = dict(told.headers)[b"x-request-id"].decode("ascii")
        request = Answered(known_as, "-", "-", told.status, 0.0, client)
        self.observer.note("other", request, now, told.code)

    # ------------------------------------------------------------------------- idle, slow

    def sweep(self, now: float) -> None:
        """About once a second: closes what has been idle for too long, and what doesn't read its answers."""
        if self._stuck is not None and now - self._stuck > self.send_seconds:
            self.transport.abort()
        elif (
            self._is_idle
            and self.timeout_keep_alive_task is None
            and now - self._last > self.timeout_keep_alive
        ):
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = _now()
        self._is_idle = self._is_plain = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stuck = None
        self._settle()
        self._take_up()

    def shutdown(self) -> None:
        super().shutdown()
        self._is_plain = self._is_idle = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._settle()
