"""Cold starts: from the spawn of a server to its first answers, and what importing its parts takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.serving.process import free_port
from benchmarks.serving.records import Start
from benchmarks.serving.servers import ONNXPORT, TUTORIAL, Place, Server
from benchmarks.serving.workloads import Workload

READY = ((ONNXPORT, "/health/ready"), (TUTORIAL, "/docs"))  # the first page that each can answer
MODULES = ("numpy", "onnxruntime", "fastapi", "uvicorn", "onnxport", "onnxport.server.run")
_TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def measure_starts(
    asked: Workload,
    folder: Path,
    key_file: Path,
    headers: Mapping[str, str],
    core: int,
    rounds: int,
) -> Iterator[Start]:
    """Starts both servers in turns on a core, once before the first round to have their bytecode written."""
    for number in range(rounds + 1):
        for server, page in READY:
            place = Place(free_port(), folder / server.name, [core], asked, key_file, b"")
            found = _start(server, page, number, place, headers)
            if number:
                yield found


def _start(
    server: Server, page: str, number: int, place: Place, headers: Mapping[str, str]
) -> Start:
    with server.start(place) as process:
        ready = process.await_answer(place.port, "GET", page)
        predicted = process.await_answer(
            place.port, "POST", server.path, place.workload.bodies[0], headers
        )
    return Start(server.name, number, ready, predicted)


def measure_imports(repeated: int = 3) -> dict[str, float]:
    """Seconds of each import in an interpreter of its own, the median."""
    return {name: statistics.median(_import(name) for _ in range(repeated)) for name in MODULES}


def _import(name: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(name)]
    return float(
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    )
