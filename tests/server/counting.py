"""A program for test_metrics: workers made by fork that count on one board. Prints what came of it as one JSON object.

python -m tests.server.counting together WORKERS REQUESTS
python -m tests.server.counting killed TIMES
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from onnxport.server.board import REQUESTS, RESTARTS, Board
from onnxport.server.metrics import Metrics

GOOD = REQUESTS["predict"] + 200


def metrics_of(board: Board, worker: int) -> Metrics:
    return Metrics(board, worker, model="counted", version="1", digest="d", runtime="r")


def fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def count(board: Board, worker: int, requests: int) -> None:
    metrics = metrics_of(board, worker)
    for number in range(requests):
        now = time.perf_counter()
        metrics.answered("predict", 200 if number % 4 else 503, [now - 0.002], now)
    metrics.ran(worker + 1, 0.0002)
    metrics.rejected("overloaded", requests // 4)
    metrics.in_flight(1)
    metrics.connections(10)


def count_for_ever(board: Board) -> None:
    metrics = metrics_of(board, 0)
    while True:
        now = time.perf_counter()
        metrics.answered("predict", 200, [now], now)


def together(workers: int, requests: int) -> dict[str, Any]:
    """What the board tells when all have ended, and the first of them was replaced."""
    board = Board(workers)
    children = [fork(partial(count, board, n, requests)) for n in range(workers)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    running = [process.name for process in board.processes()]
    text = metrics_of(board, 0).render()[0].decode()
    for worker in range(1, workers):
        board.vacate(worker)
    vacated = metrics_of(board, 0).render()[0].decode()
    return {"codes": codes, "running": running, "text": text, "vacated": vacated}


def killed(times: int) -> dict[str, Any]:
    """What a reader saw while a worker was killed and replaced, and the names of the processes that ran then."""
    board = Board(1)
    seen, names = [], set[str]()
    for _ in range(times):
        child = fork(partial(count_for_ever, board))
        while child not in {process.pid for process in board.processes()}:
            time.sleep(0.001)  # until it has taken its part
        ends = time.monotonic() + 0.05
        while time.monotonic() < ends:
            seen.append(board.sums()[GOOD])
            names |= {process.name for process in board.processes()}
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.append(board.sums()[GOOD])
    left = [process.name for process in board.processes()]
    return {"seen": seen, "names": sorted(names), "left": left, "restarts": board.sums()[RESTARTS]}


if __name__ == "__main__":
    scenarios: dict[str, Callable[..., Any]] = {"together": together, "killed": killed}
    print(json.dumps(scenarios[sys.argv[1]](*map(int, sys.argv[2:]))))
