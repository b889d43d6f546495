"""Where lines of the log go: to a stream that may be slow, full or closed, without anybody waiting for it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Protocol, TextIO

CAPACITY = 4 * 1024 * 1024  # bytes that may wait
_GATHER = 0.005  # seconds in which lines come together, so that a busy log wakes the thread seldom


class Sink:
    """Writes lines in a thread of its own; what can't be written, or would be too much to keep, is counted and dropped.

    A pipe whose reader has stopped holds up the thread, not the requests. The thread is a daemon and starts with the
    first line, in a forked process anew; lines that its parent hadn't written yet stay the parent's.
    """

    def __init__(self, stream: TextIO | None, *, threaded: bool = True) -> None:
        """stream: None where there is none, as in a process that was started without stderr.

        Not threaded, for a process that forks: lines are written at once, or dropped where the stream isn't ready.
        """
        self._write, self._threaded = _writer(stream), threaded
        self._told: Callable[[int], None] | None = None
        self.dropped = 0
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = RLock()  # a signal's handler may log, in the middle of a line
        self._queue: SimpleQueue[tuple[bytes, int]] = SimpleQueue()
        self._waiting = 0
        self._thread: Thread | None = None

    def report_to(self, told: Callable[[int], None]) -> None:
        """Tells how many lines are dropped, those before this call too."""
        with self._lock:
            self._told = told
            if self.dropped:
                told(self.dropped)

    def write(self, lines: bytes, count: int = 1) -> None:
        """Takes lines with their ends. They go out in one write: up to 4 KiB of them stay together in a pipe that
        several processes share.
        """
        if not self._threaded:
            self._try(lines, count)
            return
        with self._lock:
            if self._waiting + len(lines) > CAPACITY:
                self._drop(count)
                return
            self._waiting += len(lines)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
        self._queue.put((lines, count))

    def flush(self, seconds: float = 1.0) -> None:
        """Waits until all is written, or the time is over."""
        ends = time.monotonic() + seconds
        while self._waiting and time.monotonic() < ends:
            time.sleep(0.001)

    def _run(self) -> None:
        queue = self._queue
        while True:
            lines, count = queue.get()
            if queue.empty():
                time.sleep(_GATHER)
            self._try(lines, count)
            with self._lock:
                self._waiting -= len(lines)

    def _try(self, lines: bytes, count: int) -> None:
        try:
            self._write(lines, patient=self._threaded)
        except (OSError, ValueError):  # full, closed, without a reader
            with self._lock:
                self._drop(count)

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self._told is not None:
            self._told(count)


def _writer(stream: TextIO | None) -> Writer:
    if stream is None:
        return _Nowhere()
    try:
        return _Descriptor(stream.fileno())
    except (OSError, ValueError):  # a stream of Python's own, as a test or a notebook has
        return _Text(stream)


class Writer(Protocol):
    """Writes lines, or raises OSError or ValueError. patient: whether it may wait until the stream is ready."""

    def __call__(self, lines: bytes, *, patient: bool) -> None: ...


class _Nowhere:
    def __call__(self, lines: bytes, *, patient: bool) -> None:  # noqa: ARG002
        raise OSError("there is no stderr")


class _Text:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, lines: bytes, *, patient: bool) -> None:  # noqa: ARG002
        self._stream.write(lines.decode("utf-8"))
        self._stream.flush()


class _Descriptor:
    """Writes to a file descriptor, and begins a new line after one that was broken off."""

    def __init__(self, number: int) -> None:
        self._number, self._broken = number, False

    def __call__(self, lines: bytes, *, patient: bool) -> None:
        if not patient and not self._is_ready():
            raise BlockingIOError
        left = memoryview(b"\n" + lines if self._broken else lines)
        whole = len(left)
        try:
            while left:
                left = left[self._some(left, patient) :]
        finally:
            self._broken = len(left) < whole if left else False

    def _some(self, left: memoryview, patient: bool) -> int:
        while True:
            try:
                return os.write(self._number, left)
            except BlockingIOError:  # somebody has set the stream so, for all who share it
                if not patient:
                    raise
                select.select([], [self._number], [])

    def _is_ready(self) -> bool:
        """A pipe or terminal that is ready takes some 4 KiB at once; where nothing can tell, it is taken for ready."""
        try:
            return bool(select.select([], [self._number], [], 0)[1])
        except (OSError, ValueError):
            return True
