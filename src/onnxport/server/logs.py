"""The log: what Python's logging, and the server beside it, write to stderr."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

from onnxport.server.lines import Event, Form, JsonLines, TextLines
from onnxport.server.sink import Sink

TRACEBACKS = 10  # a second; beyond, an error is told in one line

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_TOGETHER = 4096  # bytes that a pipe takes as one (POSIX's PIPE_BUF on Linux)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Log:
    """Where lines go, and how they are written."""

    sink: Sink
    form: Form


def configure(level: str, format: str, *, worker: int | None = None, threaded: bool = True) -> Log:
    """Sends all logging to stderr, in one form. In each worker anew, after the fork.

    level: for onnxport's own loggers; others are heard from warnings on, uvicorn from info where it is debug.
    format: json, text, or auto: text in a terminal. worker: its number, which its lines then carry.
    threaded: whether a thread of its own writes, as it should wherever requests are answered.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    form: Form
    if format == "json" or (format == "auto" and not terminal):
        form = JsonLines(worker)
    else:
        colour = terminal and not os.environ.get("NO_COLOR")
        form = TextLines(worker, terminal=terminal, colour=colour)
    told = Log(Sink(sys.stderr, threaded=threaded), form)
    logging.basicConfig(handlers=[_Handler(told)], level=logging.WARNING, force=True)
    logging.getLogger("onnxport").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel("INFO" if level == "debug" else "WARNING")
    logging.captureWarnings(True)
    return told


def catch_strays() -> None:
    """Logs the errors that nobody catches too, which Python would print over many lines. For whole processes only."""

    def stray(kind: type[BaseException], err: BaseException, trace: TracebackType | None) -> None:
        log.critical("unexpected error", exc_info=(kind, err, trace))

    sys.excepthook = stray
    threading.excepthook = lambda told: _log_stray(told.exc_value, told.thread)
    sys.unraisablehook = lambda told: _log_stray(told.exc_value, told.object)


def _log_stray(err: BaseException | None, where: object) -> None:
    log.error("unexpected error in %r", where, exc_info=err)


class Answered(NamedTuple):
    """What the log tells of a request. seconds: from its last byte to the answer. key_id: "" where none was shown."""

    request_id: str
    method: str
    path: str  # without the query
    status: int
    seconds: float
    client: str
    key_id: str = ""

    def facts(self) -> dict[str, Any]:
        """The same as fields of a line."""
        told: dict[str, Any] = {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "duration_ms": int(self.seconds * 1e6) / 1000,
            "client": self.client,
        }
        return {**told, "key_id": self.key_id} if self.key_id else told


class AccessLog:
    """A line for each request, apart from Python's logging, which would cost more than the answer."""

    def __init__(self, to: Log) -> None:
        self._sink, self._form = to.sink, to.form

    def write(self, requests: Iterable[Answered]) -> None:
        """Writes a line for each request; all of a round at once costs least."""
        event = Event(time.time(), "info", "onnxport.access", "answered")
        ready: list[bytes] = []
        size = 0
        for line in self._form.many(event, map(Answered.facts, requests)):
            if ready and size + len(line) > _TOGETHER:
                self._sink.write(b"".join(ready), len(ready))
                ready, size = [], 0
            ready.append(line)
            size += len(line)
        if ready:
            self._sink.write(b"".join(ready), len(ready))


class _Handler(logging.Handler):
    """Logging's records as events. Attributes that a record has from `extra` become fields."""

    def __init__(self, to: Log) -> None:
        super().__init__()
        self._sink, self._form = to.sink, to.form
        self._second, self._spent = 0, 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._form(self._event(record))
        except Exception as err:  # a record that can't be told must not stop who tells it
            line = self._form(_untold(record, err))
        self._sink.write(line)

    def flush(self) -> None:
        self._sink.flush()

    def _event(self, record: logging.LogRecord) -> Event:
        fields = {k: v for k, v in vars(record).items() if k not in _KNOWN}
        trace = ""
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = type(record.exc_info[1]).__name__
            if self._afford(record.created):
                trace = "".join(traceback.format_exception(record.exc_info[1]))
        level = record.levelname.lower()
        return Event(record.created, level, record.name, record.getMessage(), fields, trace)

    def _afford(self, now: float) -> bool:
        """Whether one more traceback is told in this second: a flood of errors would fill the disk with them."""
        if int(now) != self._second:
            self._second, self._spent = int(now), 0
        self._spent += 1
        return self._spent <= TRACEBACKS


def _untold(record: logging.LogRecord, err: Exception) -> Event:
    message = f"a message can't be told: {record.msg!r:.200}"
    fields = {"error": type(err).__name__, "place": f"{record.module}:{record.lineno}"}
    return Event(record.created, record.levelname.lower(), record.name, message, fields)
