"""Header blocks of requests that may be answered before ASGI, and the memory of those that were judged.

llhttp is the only judge of HTTP: a block of bytes is fed to a parser of its own, without its last byte first, to prove
where it ends. What was found holds for the same bytes ever after, so it is remembered, but for the value of
X-Request-ID, which is new with every request: between two values of harmless characters no parser can tell a
difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import httptools

from onnxport.errors import RequestError
from onnxport.server.access import Access, HeaderPairs
from onnxport.server.body import refuse_media
from onnxport.server.readiness import Readiness

NO_HEADERS: Mapping[str, str] = {}

MAX_BLOCK = 1024  # bytes of a block that is remembered
MAX_BLOCKS = 4096  # how many are

# Health is told before FastAPI is there.
_READY = b'{"status":"ready"}'
HEALTH = {
    b"/health/live": b'{"status":"live"}',
    **dict.fromkeys((b"/health/ready", b"/healthz", b"/ping"), _READY),
}

_END = b"\r\n\r\n"
_NAME = b"x-request-id"
_HOLE = re.compile(rb"\r\nx-request-id: ([0-9A-Za-z-]{1,64})\r\n", re.IGNORECASE)
# Whatever changes how a message is read or answered, beyond its Content-Length.
_UNUSUAL = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer"})


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a hot request before its body.

    length: of the body, in bytes. health: for a health check that needs no body, the path and the answer. traced: the
    headers that a trace needs, where there are traces.
    """

    length: int
    key_id: str | None
    health: tuple[str, bytes] | None = None
    traced: Mapping[str, str] = field(default_factory=dict)


class Block:
    """A remembered block, as one connection has sent it last: two parts, and between them a request id.

    Without such a header `after` is empty and the whole block stands before.
    hole: where the id stands. end: of the block. total: of the block and its body.
    """

    __slots__ = ("after", "at", "before", "end", "head", "hole", "total")

    def __init__(self, head: Head, before: bytes, after: bytes, end: int) -> None:
        self.head, self.before, self.after = head, before, after
        self.at, self.end, self.total = end - len(after), end, end + head.length
        self.hole = slice(len(before), self.at)


class Heads:
    """Judges heads for one process: `judge` those that a connection's parser has read, `find` those seen before.

    max_body: bytes of the longest body of a hot request. is_cors: answers to pages of other origins need more headers.
    traced: names of the headers that traces need, in lower case.
    """

    def __init__(
        self,
        access: Access,
        readiness: Readiness,
        *,
        max_body: int,
        max_headers: int,
        is_cors: bool,
        traced: Collection[bytes] = (),
    ) -> None:
        self._access, self._readiness, self._traced = access, readiness, traced
        self._max_body, self._max_headers, self._is_cors = max_body, max_headers, is_cors
        self._known: dict[bytes, Head | None] = {}
        self._seen: set[bytes] = set()

    def forget(self) -> None:
        """For when keys change; whoever keeps a Block must drop it, too."""
        self._known.clear()
        self._seen.clear()

    def judge(
        self, parser: httptools.HttpRequestParser, url: bytes, headers: HeaderPairs
    ) -> Head | None:
        """What is known of a request, if it's hot: a plain POST of a short JSON body to /predict, with a right key; or
        a plain health check.

        Only asked when the parser has read the whole head; headers: with names in lower case.
        """
        if self._readiness.draining or len(headers) > self._max_headers:
            return None
        if url in HEALTH and parser.get_method() == b"GET":
            return self._judge_health(parser, url, headers)
        if url != b"/predict" or parser.get_method() != b"POST":
            return None
        if parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        names = [name for name, _ in headers]
        if parser.should_upgrade() or not _UNUSUAL.isdisjoint(names):
            return None
        if names.count(b"content-length") != 1 or names.count(_NAME) > 1:
            return None
        if self._is_cors and b"origin" in names:
            return None
        length = int(dict(headers)[b"content-length"])
        if not 0 < length <= self._max_body or not _is_json(headers):
            return None
        verdict = self._access.judge("predict", headers)
        if verdict.refusal:
            return None
        traced = {n.decode(): v.decode("latin-1") for n, v in headers if n in self._traced}
        return Head(length, verdict.key_id, traced=traced)

    def _judge_health(
        self, parser: httptools.HttpRequestParser, url: bytes, headers: HeaderPairs
    ) -> Head | None:
        names = [name for name, _ in headers]
        plain = _UNUSUAL.isdisjoint(names) and b"content-length" not in names
        if not plain or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        if self._is_cors and b"origin" in names:
            return None
        return Head(0, None, (url.decode("ascii"), HEALTH[url]))

    def find(self, data: bytes) -> Block | None:
        """The block that data begins with, if it was seen before and is hot."""
        end = data.find(_END, 0, MAX_BLOCK) + len(_END)
        if end < len(_END):
            return None
        hole = _HOLE.search(data, 0, end)
        if hole is None and _NAME in data[:end].lower():
            return None  # an id, but not in the usual form: the connection's own parser says what it is
        at, to = hole.span(1) if hole else (end, end)
        key = (
            data[:at] + b"\0" + data[to:end]
        )  # a legal block holds no NUL, so no other key is equal
        head = self._known.get(key)
        if head is None:
            if key in self._known or not self._is_second(key):
                return None
            head = self._learn(key, data[:end])
            if head is None:
                return None
        return Block(head, data[:at], data[to:end], end)

    def _is_second(self, key: bytes) -> bool:
        """Most blocks that come once never come again."""
        if key in self._seen:
            return True
        if len(self._seen) >= MAX_BLOCKS:
            self._seen.clear()
        self._seen.add(key)
        return False

    def _learn(self, key: bytes, block: bytes) -> Head | None:
        if len(self._known) >= MAX_BLOCKS:
            self._known.clear()
        head = read(block, self.judge)
        if head is not None and head.health:  # rare enough for the connection's own parser
            head = None
        self._known[key] = head
        return head


Judge = Callable[[httptools.HttpRequestParser, bytes, HeaderPairs], Head | None]


class _Reader:
    """What a parser finds in one block."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.is_complete = False
        self.head: Head | None = None
        self._url, self._headers = b"", list[tuple[bytes, bytes]]()
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_complete = True
        self.head = self._judge(self.parser, self._url, self._headers)


def read(block: bytes, judge: Judge) -> Head | None:
    """The judgement of a block that ends with its last byte and not before."""
    reader = _Reader(judge)
    try:
        reader.parser.feed_data(block[:-1])
        if bool(reader.is_complete):  # it ended before
            return None
        reader.parser.feed_data(block[-1:])
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    return reader.head


def _is_json(headers: HeaderPairs) -> bool:
    try:
        refuse_media(headers)
    except RequestError:
        return False
    return True
