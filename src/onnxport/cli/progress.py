"""Tells on stderr what goes on, and after a while for how long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

TICK_SECONDS = 1.0
SILENT_TICKS = 10  # a log gets a line only every so many ticks
_BAR = 20  # characters


@contextmanager
def progress(doing: str, *, steps: int = 0) -> Iterator[Callable[[str], None]]:
    """Says what is being done, and hands out a function to say what comes next.

    The seconds since then follow: in place on a terminal, else now and then on a line of their own.
    steps: how often that function will be called; a terminal shows how many are done as a bar.
    """
    ticker = _Ticker(steps)
    ticker.tell(doing)
    ticker.start()
    try:
        yield ticker.tell
    finally:
        ticker.stop()


class _Ticker(threading.Thread):
    def __init__(self, steps: int) -> None:
        super().__init__(daemon=True)
        self._steps, self._done = steps, -1
        self._on_terminal = on_terminal()
        self._doing, self._since = "", time.monotonic()
        self._ended, self._lock = threading.Event(), threading.Lock()

    def tell(self, doing: str) -> None:
        with self._lock:
            self._end_line()
            self._doing, self._since = doing, time.monotonic()
            self._done += 1
            click.echo(f"{self._bar()}{doing} ...", nl=not self._on_terminal, err=True)

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._end_line()

    def run(self) -> None:
        ticks = 0
        while not self._ended.wait(TICK_SECONDS):
            ticks += 1
            with self._lock:
                seconds = f"{time.monotonic() - self._since:.0f} s"
                if self._on_terminal:
                    line = f"\r{self._bar()}{self._doing} ... {seconds}"
                    click.echo(line, nl=False, err=True)
                elif ticks % SILENT_TICKS == 0:
                    click.echo(f"still {self._doing} ... {seconds}", err=True)

    def _bar(self) -> str:
        """The steps that are behind, on a terminal."""
        if not (self._steps and self._on_terminal):
            return ""
        done = _BAR * min(self._done, self._steps) // (self._steps + 1)
        return f"[{'=' * done}{' ' * (_BAR - done)}] "

    def _end_line(self) -> None:
        if self._on_terminal and self._doing:
            click.echo(err=True)


class Count:
    """Counts rows, and says how many where a run takes long."""

    def __init__(self) -> None:
        self._rows, self._told = 0, time.monotonic()
        self._pause = TICK_SECONDS * (1 if on_terminal() else SILENT_TICKS)

    def add(self, rows: int) -> None:
        self._rows += rows
        if time.monotonic() - self._told > self._pause:
            self._told = time.monotonic()
            click.echo(f"{self._rows:,} rows ...", err=True)


def on_terminal() -> bool:
    return sys.stderr.isatty()
