"""Callers over raw sockets, for bytes that no client library would send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """A status, its headers in lower case, and the JSON document or text of its body."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The error's code, or "" for no error."""
        return str(self.body["detail"][0]["type"]) if self.status >= 400 else ""


class Caller:
    """One connection, on which answers are read as RFC 9112 frames them, one for each request."""

    def __init__(self, connection: socket.socket, reader: BinaryIO) -> None:
        self._connection, self._reader = connection, reader

    def send(self, content: bytes) -> None:
        self._connection.sendall(content)

    def read(self) -> Answer:
        line = self._reader.readline()
        assert line.startswith(b"HTTP/1.1 "), f"no answer, but {line!r}"
        headers: dict[str, str] = {}
        while (header := self._reader.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self._reader.read(int(headers["content-length"]))
        is_json = headers.get("content-type") == "application/json"
        return Answer(int(line.split()[1]), headers, json.loads(body) if is_json else body.decode())

    def ask(self, *head: bytes, body: bytes = b"") -> Answer:
        """Sends a request of these lines, and reads its answer. The length of a body is declared."""
        lines = [*head, b"Content-Length: %d" % len(body)] if body else head
        self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        return self.read()


@contextmanager
def calling(url: str) -> Iterator[Caller]:
    """A connection to a server."""
    place = urlsplit(url)
    with (
        socket.create_connection((place.hostname, place.port), timeout=20) as connection,
        connection.makefile("rb") as reader,
    ):
        yield Caller(connection, reader)


def ask(url: str, *head: bytes, body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    with calling(url) as caller:
        return caller.ask(*head, body=body)
