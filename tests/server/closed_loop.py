"""Clients that ask without a pause, each its own rows, and judge every answer by a formula that isn't ours."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
CLASSES = ("setosa", "versicolor", "virginica")
# The fixed weights of models.iris().
_WEIGHTS = np.random.default_rng(0).normal(size=(len(NAMES), len(CLASSES)))


def is_right(row: Mapping[str, float], answer: Mapping[str, Any]) -> bool:
    """Whether it is the softmax of the row's scores, and its likeliest class."""
    scores = np.array([row[name] for name in NAMES]) @ _WEIGHTS
    expected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    got = np.array([answer["probabilities"][name] for name in CLASSES])
    return bool(
        answer["prediction"] == CLASSES[int(expected.argmax())]
        and np.allclose(got, expected, rtol=0, atol=1e-9)
    )


class ClosedLoop:
    """So many clients, each with one keep-alive connection, which it opens anew when it is closed or lost.

    `seen` counts what came of their calls: "right" and "wrong" answers, other statuses by number; "refused" and
    "unheard", where no connection came about, or a new one was reset before any answer; "lost" where a connection
    that had answered before was; "cut" within an answer. At a first "refused" a client ends if `until_refused`.
    """

    def __init__(
        self, url: str, *, clients: int, seed: int = 0, until_refused: bool = False
    ) -> None:
        self.seen: Counter[str] = Counter()
        self._host = urlsplit(url).netloc
        self._until_refused = until_refused
        self._lock, self._enough = threading.Lock(), threading.Event()
        rng = np.random.default_rng(seed)
        self._threads = [
            threading.Thread(target=self._ask, args=(rng.uniform(0.1, 7.9, (20, len(NAMES))),))
            for _ in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._enough.set()
        self.join()

    def join(self) -> None:
        """Waits until every client has ended."""
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a call that never came to its end"

    def _ask(self, rows: np.ndarray[Any, Any]) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        asked = [dict(zip(NAMES, map(float, row), strict=True)) for row in rows]
        turn = 0
        while not self._enough.is_set():
            outcome = self._call(connection, asked[turn := (turn + 1) % len(asked)])
            with self._lock:
                self.seen[outcome] += 1
            if outcome == "refused" and self._until_refused:
                break
        connection.close()

    def _call(self, connection: http.client.HTTPConnection, row: Mapping[str, float]) -> str:
        is_new, status = connection.sock is None, 0
        try:
            if is_new:
                connection.connect()
            response = _post(connection.sock, self._host, json.dumps(row).encode())
            status, content = response.status, response.read()
            if response.will_close:
                connection.close()
        except ConnectionRefusedError:
            return "refused"
        except (OSError, http.client.HTTPException):
            connection.close()
            return "cut" if status else "unheard" if is_new else "lost"
        if status != 200:
            return str(status)
        return "right" if is_right(row, json.loads(content)) else "wrong"


def _post(connection: socket.socket, host: str, body: bytes) -> http.client.HTTPResponse:
    """Head and body in one segment, as http.client itself wouldn't send them, but fast clients do."""
    head = (
        f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    response = http.client.HTTPResponse(connection, method="POST")
    response.begin()
    return response
