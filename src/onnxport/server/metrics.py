"""What is counted and measured in one worker, and the answer of GET /metrics for all of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache

from onnxport.server import board as at
from onnxport.server.board import ROWS, SECONDS, Board
from onnxport.server.exposition import OPENMETRICS, PLAIN, wants_openmetrics, write
from onnxport.server.families import families


@cache
def _own_version() -> str:
    """Read when it is first asked for: it takes longer than a server has before its first answer."""
    from importlib.metadata import version

    return version("onnxport")


class Metrics:
    """The recorder of one worker: cheap enough for the hot path, and never waiting.

    Times are those of `time.perf_counter()`. Only the worker's event loop may call this.
    """

    def __init__(
        self, board: Board, worker: int, *, model: str, version: str, digest: str, runtime: str
    ) -> None:
        """model, version, digest: the model file's. runtime: ONNX Runtime's version."""
        self._board, self._cells = board, board.take(worker)
        self._info = {
            "name": model,
            "version": version,
            "digest": digest,
            "onnxruntime": runtime,
        }

    def answered(self, route: str, status: int, arrivals: Sequence[float], now: float) -> None:
        """Counts requests of one route and status that have just been answered.

        arrivals: when each was complete, ascending; not empty.
        """
        self._cells[at.REQUESTS[route] + status] += len(arrivals)
        self._observe(at.DURATION[route], arrivals, now)

    def queued(self, arrivals: Sequence[float], started: float) -> None:
        """Measures how long requests have waited until their rows were begun with."""
        self._observe(at.QUEUE, arrivals, started)

    def ran(self, rows: int, seconds: float) -> None:
        """Measures one run of the model."""
        cells, inference, batch = self._cells, at.INFERENCE, at.BATCH
        cells[inference] += seconds
        cells[inference + 1 + bisect_left(SECONDS, seconds)] += 1.0
        cells[batch] += rows
        cells[batch + 1 + bisect_left(ROWS, rows)] += 1.0

    def rejected(self, reason: str, count: int = 1) -> None:
        """Counts refused requests by the code that their callers were told."""
        self._cells[at.REJECTED.get(reason) or at.REJECTED[at.OTHER]] += count

    def in_flight(self, change: int) -> None:
        """Notes that so many more requests are being answered."""
        self._cells[at.IN_FLIGHT] += change

    def connections(self, count: int) -> None:
        """Notes how many connections are open."""
        self._cells[at.CONNECTIONS] = count

    def lost(self, count: int = 1) -> None:
        """Counts requests whose caller was gone before the answer."""
        self._cells[at.LOST] += count

    def log_dropped(self, count: int) -> None:
        """Counts lines of the log that couldn't be written. From any thread, one at a time."""
        self._cells[at.LOG_DROPPED] += count

    def _observe(self, place: int, arrivals: Sequence[float], now: float) -> None:
        """Puts durations into a histogram; one addition where all fall into one bucket, as a round's mostly do."""
        cells, count = self._cells, len(arrivals)
        total = count * now - sum(arrivals)
        if total > 0.0:  # nearly nothing can be rounded to less than nothing
            cells[place] += total
        place += 1
        bucket, told = bisect_left(SECONDS, now - arrivals[0]), 0
        while bucket and now - arrivals[-1] <= SECONDS[bucket - 1]:
            longer = bisect_left(arrivals, now - SECONDS[bucket - 1])
            cells[place + bucket] += longer - told
            bucket, told = bucket - 1, longer
        cells[place + bucket] += count - told

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The figures of all workers, and their media type. accept: the request's Accept header."""
        openmetrics = wants_openmetrics(accept)
        info = self._info | {"onnxport": _own_version()}
        told = families(self._board.sums(), self._board.processes(), info)
        return write(told, openmetrics=openmetrics), OPENMETRICS if openmetrics else PLAIN
