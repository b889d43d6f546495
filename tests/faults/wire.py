"""HTTP as bytes: requests that no library would send, and answers as RFC 9112 frames them."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

POST = b"POST /predict HTTP/1.1"
HOST = b"Host: x"


class Answer(NamedTuple):
    """A status, its headers in lower case, and the bytes of its body."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.content)

    @property
    def codes(self) -> list[str]:
        """Those of an error, in order."""
        return [detail["type"] for detail in self.document["detail"]]

    @property
    def known_as(self) -> str:
        return self.headers["x-request-id"]


def request(
    body: bytes = b"",
    *headers: bytes,
    line: bytes = POST,
    length: bytes | None = None,
) -> bytes:
    """A request with a Content-Length, by default the true one."""
    told = b"%d" % len(body) if length is None else length
    return b"\r\n".join((line, HOST, *headers, b"Content-Length: " + told, b"", body))


def chunked(parts: Sequence[bytes], *headers: bytes, line: bytes = POST) -> bytes:
    """A request whose body comes in these chunks."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    lines = (line, HOST, *headers, b"Transfer-Encoding: chunked", b"")
    return b"\r\n".join(lines) + b"\r\n" + chunks + b"0\r\n\r\n"


def split(stream: bytes) -> tuple[list[Answer], bytes]:
    """The whole answers at the beginning of a stream, and what is left of it."""
    answers = []
    while (end := stream.find(b"\r\n\r\n")) >= 0:
        status, *lines = stream[:end].decode("latin-1").split("\r\n")
        assert status.startswith("HTTP/1.1 "), f"no answer, but {stream[:80]!r}"
        pairs = [(name.lower(), value) for name, _, value in (x.partition(": ") for x in lines)]
        headers = dict(pairs)
        assert len(headers) == len(pairs), f"a header stands twice: {stream[:end]!r}"
        begin, code = end + 4, int(status[9:12])
        size = 0 if code < 200 else int(headers["content-length"])
        if len(stream) < begin + size:
            break
        answers.append(Answer(code, headers, stream[begin : begin + size]))
        stream = stream[begin + size :]
    return answers, stream


class Line:
    """One connection. What its reader has not asked for yet is kept."""

    def __init__(self, url: str, *, timeout: float = 20.0) -> None:
        place = urlsplit(url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers: list[Answer] = []
        self._received = b""

    def send(self, content: bytes) -> None:
        """Sends what the server still takes: where it has closed, what it said before can be read."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(content)

    def read(self) -> Answer | None:
        """The next answer, None where the server has closed instead. Raises TimeoutError."""
        while not self._answers:
            if not self._receive():
                assert self._received == b"", f"half an answer: {self._received[:200]!r}"
                return None
        return self._answers.pop(0)

    def ask(self, content: bytes) -> Answer:
        """Sends one request; its answer, which must come."""
        self.send(content)
        answer = self.read()
        assert answer is not None, f"closed without an answer to {content[:200]!r}"
        return answer

    def rest(self) -> list[Answer]:
        """All answers until the server closes."""
        answers = []
        while (answer := self.read()) is not None:
            answers.append(answer)
        return answers

    def _receive(self) -> bool:
        try:
            part = self.socket.recv(1 << 18)
        except ConnectionResetError:
            part = b""
        found, self._received = split(self._received + part)
        self._answers += found
        return bool(part)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Volley:
    """Several connections on which requests go out at the same moment, so that the server meets them together."""

    def __init__(self, url: str, lines: int) -> None:
        self._url = url
        self._lines = [Line(url) for _ in range(lines)]

    def ask(self, requests: Sequence[bytes]) -> list[Answer]:
        """The answers to at most as many requests as there are connections; those that were closed are made anew."""
        used = self._lines[: len(requests)]
        for line, content in zip(used, requests, strict=True):
            line.send(content)
        answers = []
        for place, (line, content) in enumerate(zip(used, requests, strict=True)):
            answer = line.read()
            assert answer is not None, f"closed without an answer to {content[:300]!r}"
            answers.append(answer)
            if answer.headers.get("connection") == "close":
                line.close()
                self._lines[place] = Line(self._url)
        return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in self._lines:
            line.close()
