"""Whether a server's answers are right: each is compared with the model's own answer to that row."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from benchmarks.serving.process import BenchmarkError
from benchmarks.serving.servers import Answers, Server
from benchmarks.serving.workloads import Workload

CHECKED = 200  # requests, spread over all


def verify(
    server: Server, port: int, workload: Workload, constant: bytes, headers: Mapping[str, str]
) -> int:
    """Sends a part of the workload over one connection and compares the answers; gives their number.

    Raises BenchmarkError at the first that differs.
    """
    path = server.path_for(workload)
    step = max(1, len(workload.bodies) // CHECKED)
    indices = range(0, len(workload.bodies), step)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        for index in indices:
            connection.request(
                "POST", path, workload.bodies[index], {**headers, "X-Request-ID": uuid4().hex}
            )
            response = connection.getresponse()
            content = response.read()
            wanted = _wanted(server.answers, workload.answers[index], constant)
            got = _got(server.answers, content) if response.status == 200 else response.status
            if got != wanted:
                raise BenchmarkError(
                    f"{server.name} answered request {index} of {workload.name} with status {response.status}: "
                    f"{content[:200]!r}; right is {str(wanted)[:200]}"
                )
    return len(indices)


def _wanted(answers: Answers, right: Any, constant: bytes) -> Any:
    if answers is Answers.CONSTANT:
        return constant
    return right if answers is Answers.WHOLE else _labels(right)


def _got(answers: Answers, content: bytes) -> Any:
    if answers is Answers.CONSTANT:
        return content
    answer = json.loads(content)
    return answer if answers is Answers.WHOLE else _labels(answer)


def _labels(answer: Any) -> Any:
    if isinstance(answer, list):
        return [row["prediction"] for row in answer]
    return answer["prediction"]
