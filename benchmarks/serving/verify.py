"""Whether a server's answers are right: each is compared with the model's own answer to that row."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from benchmarks.serving.process import BenchmarkError
from benchmarks.serving.servers import Answers, Server
from benchmarks.serving.workloads import Workload

CHECKED = 200  # requests, spread over all
TIE = 1e-6  # of two classes' probabilities: an evaluator in float32 may choose either


def verify(
    server: Server, port: int, workload: Workload, constant: bytes, headers: Mapping[str, str]
) -> int:
    """Sends a part of the workload over one connection and compares the answers; gives their number.

    Raises BenchmarkError at the first that differs.
    """
    path, bodies = server.path_for(workload), server.bodies(workload)
    indices = range(0, len(bodies), max(1, len(bodies) // CHECKED))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        for index in indices:
            told = {**headers, "X-Request-ID": uuid4().hex}
            request = f"{server.name}, request {index} of {workload.name}"
            try:
                connection.request("POST", path, bodies[index], told)
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as err:
                raise BenchmarkError(f"{request}: broken off with {err!r}") from err
            right = workload.answers[index]
            if response.status != 200 or not _is_right(server, content, right, constant):
                raise BenchmarkError(
                    f"{request}: the answer was {response.status} {content[:200]!r}; "
                    f"right is {server.answers.value}: {str(right)[:200]}"
                )
    return len(indices)


def _is_right(server: Server, content: bytes, right: Any, constant: bytes) -> bool:
    if server.answers is Answers.CONSTANT:
        return content == constant
    answer = server.read(content)
    if server.answers is Answers.WHOLE:
        return bool(answer == right)
    if isinstance(right, dict):
        answer, right = [answer], [right]
    labels = [row["prediction"] for row in answer]
    return len(labels) == len(right) and all(map(_is_likeliest, labels, right))


def _is_likeliest(label: Any, right: Mapping[str, Any]) -> bool:
    probabilities = right["probabilities"]
    return bool(probabilities.get(label, -1) >= max(probabilities.values()) - TIE)


def raw_answer(port: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """An answer of /predict with its headers, byte by byte. It must have a Content-Length."""
    lines = {**headers, "Host": "model.test", "Content-Length": len(body), "X-Request-ID": "0" * 32}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\n{head}\r\n".encode("ascii") + body)
        received = b""
        while not _is_whole(received):
            part = connection.recv(65536)
            if not part:
                raise BenchmarkError(f"the connection was closed after {received[:200]!r}")
            received += part
    return received


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    return bool(end and lengths) and len(body) >= lengths[0]
