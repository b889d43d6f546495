"""Tells on stderr how a deployment goes: a line with its time for everything that happens, and what is going on now."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from onnxport.cli.progress import on_terminal

if TYPE_CHECKING:
    from onnxport.deploy.executor import Told
    from onnxport.deploy.observed import Event

_TICK = 0.2
_WHEEL = "|/-\\"
_WIDTH = 100


class Reporter:
    """Lines, whoever reads them; on a terminal also a wheel with the seconds behind the step that goes on."""

    def __init__(self) -> None:
        self._doing, self._since = "", time.monotonic()
        self._lock, self._ended = threading.Lock(), threading.Event()

    def say(self, text: str) -> None:
        """Something that was done or found."""
        self._line(f"         {text}")

    def event(self, event: Event) -> None:
        """Something that AWS tells, at its own time."""
        mark = "" if event.severity in ("INFO", "DEBUG", "TRACE") else f"{event.severity}: "
        moment = f"{event.time.astimezone():%H:%M:%S}"
        self._line(f"         {moment} {event.environment}: {mark}{event.message}")

    def step(self, told: Told) -> None:
        """Where the run is."""
        count = f"[{told.number}/{told.of}] " if told.of else ""
        if told.kind == "step":
            self._doing, self._since = told.text, time.monotonic()
            self._line(f"{count}{told.text}")
        elif told.kind == "done":
            self._doing = ""
            self._line(f"{count}done: {told.text} ({told.seconds:.0f} s)")
        elif told.kind == "undo":
            self._line(f"taking back: {told.text}")
        elif told.kind == "undone":
            self._line(f"taken back: {told.text}")
        else:
            self._line(told.text)

    def doing(self, text: str) -> None:
        """What goes on from now, outside of any step."""
        self._doing, self._since = text, time.monotonic()
        self._line(text)

    def _line(self, text: str) -> None:
        with self._lock:
            self._wipe()
            click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)

    def _wipe(self) -> None:
        if on_terminal():
            click.echo("\r" + " " * _WIDTH + "\r", nl=False, err=True)

    def turn(self) -> None:
        """Turns the wheel until it is stopped."""
        for mark in itertools.cycle(_WHEEL):
            if self._ended.wait(_TICK):
                return
            with self._lock:
                if self._doing:
                    seconds = time.monotonic() - self._since
                    text = f"\r{mark} {self._doing} ... {seconds:.0f} s"[:_WIDTH]
                    click.echo(text, nl=False, err=True)

    def stop(self) -> None:
        self._ended.set()
        with self._lock:
            self._doing = ""
            self._wipe()


@contextmanager
def reporting() -> Iterator[Reporter]:
    """A reporter, whose wheel turns until the end on a terminal."""
    reporter = Reporter()
    wheel = threading.Thread(target=reporter.turn, daemon=True)
    if on_terminal():
        wheel.start()
    try:
        yield reporter
    finally:
        reporter.stop()
        if wheel.is_alive():
            wheel.join(timeout=1)
