"""A question as bytes to send, and its answer as bytes that were judged right before.

HTTP is judged by llhttp and answers by `judging`, once; after that a message that is the same to the last byte is right
too, which costs a comparison. Only the request id, which the server sends back, may differ: it is the one asked with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httptools
import orjson

from onnxport.bench.judging import difference
from onnxport.bench.tally import BUSY, NO_HTTP, WRONG
from onnxport.errors import shorten

REQUEST_ID = "X-Request-ID"

_REQUEST_ID, _RETRY_AFTER = REQUEST_ID.lower().encode(), b"retry-after"
_OK, _UNAVAILABLE = 200, 503
_SHOWN = 160  # characters of an answer that isn't right


@dataclass(frozen=True, slots=True)
class Question:
    """A request's body, and its right answer as `judging` compares it: of one row, or a list of them."""

    body: bytes
    expected: Any


class Exchange:
    """One question. known: the last right answer, cut where the request id stood; None before the first."""

    __slots__ = ("_after", "_before", "_body", "_expected", "_tolerance", "known")

    def __init__(self, head: bytes, question: Question, tolerance: float) -> None:
        self._before = b"%bContent-Length: %d\r\n%b: " % (
            head,
            len(question.body),
            REQUEST_ID.encode(),
        )
        self._after = b"\r\n\r\n" + question.body
        self._expected, self._tolerance = question.expected, tolerance
        self._body = b""
        self.known: list[bytes] | None = None

    def request(self, request_id: bytes) -> bytes:
        """The whole request."""
        return self._before + request_id + self._after

    def learn(self, message: bytes, request_id: bytes) -> None:
        """Remembers a message that is a right answer, and nothing beside it."""
        self.known = message.split(request_id)

    def fault(self, body: bytes) -> str:
        """What is wrong with an answer; "" for a right one."""
        if body == self._body:
            return ""
        try:
            got: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return f"no JSON: {shorten(body.decode('utf-8', 'replace'), _SHOWN)}"
        found = difference(self._expected, got, self._tolerance)
        if not found:
            self._body = body
        return found


class Reader:
    """Reads the answers of one connection, one at a time; `httptools` calls its `on_` methods.

    Raises httptools.HttpParserError for what is no HTTP. request_id: what the server calls the request, or None.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        """Ready for the next answer."""
        self._parts: list[bytes] = []
        self.status, self.is_complete, self.keep_alive = 0, False, False
        self.asks_for_time, self.is_followed = False, False
        self.request_id: bytes | None = None

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)

    def on_message_begin(self) -> None:
        self.is_followed = self.is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_complete:
            return
        lower = name.lower()
        if lower == _REQUEST_ID:
            self.request_id = value
        elif lower == _RETRY_AFTER:
            self.asks_for_time = True

    def on_body(self, body: bytes) -> None:
        if not self.is_complete:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < _OK or self.is_complete:  # 1xx: the answer is still to come
            return
        self.status, self.is_complete = status, True
        self.keep_alive = self._parser.should_keep_alive()

    def verdict(self, exchange: Exchange) -> tuple[str, str]:
        """The kind of failure and what was seen of it; two "" for a right answer."""
        if self.is_followed:
            return NO_HTTP, "more bytes after the answer, which nobody asked for"
        if self.status == _OK:
            fault = exchange.fault(self.body)
            return (WRONG, fault) if fault else ("", "")
        said = shorten(self.body.decode("utf-8", "replace"), _SHOWN)
        if self.status == _UNAVAILABLE and self.asks_for_time:
            return BUSY, said
        return f"status {self.status}", said
