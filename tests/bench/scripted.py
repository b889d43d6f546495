"""A model file whose answer is twice x, and a server nobody here wrote that answers by a script, and counts."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from onnx import helper

from tests.server import models

ROWS = [{"x": float(x)} for x in range(1, 8)]


def doubled(folder: Path, *rows: dict[str, float]) -> Path:
    """The model file: prediction = 2 x, with a tolerance of 1e-9; seven rows, or those that are given."""
    nodes = [helper.make_node("Mul", ["num", "two"], ["value"])]
    constants = {"two": np.array(2.0)}
    made = models.regressor(
        "doubled", [models.number("x")], nodes, rows=rows or ROWS, constants=constants
    )
    return models.write_to(folder, made)


def right_answer(document: Any) -> Any:
    """What the model answers, by plain arithmetic."""
    if isinstance(document, list):
        return [right_answer(row) for row in document]
    return {"prediction": 2 * document["x"]}


@dataclass(frozen=True)
class Act:
    """What the server does with a request. name: what it is counted as.

    body: instead of the right answer. late: seconds before the answer. stall: seconds in which the whole server does
    nothing. hang_up: close at once, without a word. raw: these bytes instead of an HTTP answer. drip: bytes a write.
    close: say Connection: close, and do it.
    """

    name: str = "right"
    status: str = "200 OK"
    body: bytes | None = None
    headers: tuple[str, ...] = ()
    late: float = 0.0
    stall: float = 0.0
    hang_up: bool = False
    raw: bytes | None = None
    drip: int = 0
    chunked: bool = False
    close: bool = False


FINE = Act()
Script = Callable[[int], Act]


@dataclass
class Seen:
    """acts: by name. Of each request: its id, its other headers, and when it was read (monotonic seconds)."""

    acts: Counter[str] = field(default_factory=Counter)
    ids: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    bodies: Counter[bytes] = field(default_factory=Counter)
    connections: int = 0

    @property
    def requests(self) -> int:
        return len(self.ids)


class Scripted:
    """Serves on a free port. script: what to do with the n-th request, counted from 0. The one request by which a load
    test looks whether predictions are answered at all is answered and not counted.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.seen = Seen()
        self._script, self._tls = script, tls
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Listens no longer, and drops all connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._tls, backlog=512)
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._listening.set()
        await self._ended.wait()
        server.close()
        for writer in [*self._writers]:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client has gone
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; says whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
        body = await reader.readexactly(int(length[1])) if length else b""
        if not head.startswith("POST /predict "):
            await _send(writer, Act(status="404 Not Found", body=b'{"detail":[]}'), b"", "")
            return True
        request_id = re.search(r"^x-request-id: *(\S+)", head, re.IGNORECASE | re.MULTILINE)
        if "onnxport-bench" not in head:
            await _send(writer, FINE, body, "")
            return True
        act = self._count(head, body, request_id[1] if request_id else "")
        if act.stall:
            time.sleep(act.stall)
        await asyncio.sleep(act.late)
        if act.hang_up:
            return False
        await _send(writer, act, body, request_id[1] if request_id else "")
        return not act.close and act.raw is None

    def _count(self, head: str, body: bytes, request_id: str) -> Act:
        act = self._script(self.seen.requests)
        self.seen.acts[act.name] += 1
        self.seen.ids.append(request_id)
        self.seen.headers.append(head)
        self.seen.bodies[body] += 1
        return act


async def _send(writer: asyncio.StreamWriter, act: Act, body: bytes, request_id: str) -> None:
    content = act.body
    if content is None:
        content = json.dumps(right_answer(json.loads(body))).encode()
    lines = [f"HTTP/1.1 {act.status}", "Content-Type: application/json", *act.headers]
    has_id = any(line.startswith("X-Request-ID") for line in lines)
    lines += [f"X-Request-ID: {request_id}"] if request_id and not has_id else []
    lines += ["Connection: close"] if act.close else []
    if act.chunked:
        lines.append("Transfer-Encoding: chunked")
        content = b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    else:
        lines.append(f"Content-Length: {len(content)}")
    message = act.raw if act.raw is not None else "\r\n".join([*lines, "", ""]).encode() + content
    size = act.drip or len(message)
    for start in range(0, len(message), size):
        writer.write(message[start : start + size])
        await writer.drain()
        if act.drip:
            await asyncio.sleep(0.001)
