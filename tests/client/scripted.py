"""A server that answers by a script, whatever is asked: the HTTP that no real server of ours speaks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Reply:
    """What goes out after one request. drip: seconds between its bytes. hang_up: close the connection afterwards."""

    content: bytes
    drip: float = 0.0
    hang_up: bool = False


def http(
    status: str, body: str = "", *, content_type: str = "application/json", **headers: str
) -> bytes:
    """A whole answer; header names are given with underscores."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()


class ScriptedServer:
    """Listens on a free port. `requests` holds each request's head and body, `connections` counts."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._replies = list(replies)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(timeout=10)
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            while self._read_request(connection) and self._replies:
                reply = self._replies.pop(0)
                self._send(connection, reply)
                if reply.hang_up:
                    break
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client has gone
        finally:
            connection.close()

    def _read_request(self, connection: socket.socket) -> bool:
        received = b""
        while b"\r\n\r\n" not in received:
            received += (part := connection.recv(65536))
            if not part:
                return False
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = [
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        while len(body) < sum(lengths):
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return True

    @staticmethod
    def _send(connection: socket.socket, reply: Reply) -> None:
        if not reply.drip:
            connection.sendall(reply.content)
            return
        for byte in reply.content:
            connection.sendall(bytes([byte]))
            time.sleep(reply.drip)
