"""One line of the log for one event, whatever stands in it: JSON for programs, text for people.

What a caller sends can end a line, move a terminal's cursor or turn the reading direction. No such character gets
through: JSON has it as `\\u….`, text as `\\x…`, `\\u…`. Whatever is long is cut, and says so.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

import orjson

MAX_TEXT = 2048  # characters of a message or a value
MAX_TRACEBACK = 16 * 1024
MAX_FIELDS = 32

_PLAIN = re.compile(r"[ -~]*")
_UNPRINTED = re.compile(r"[^ -~]")
_WORD = re.compile(r"[\w.:/@+-]+", re.ASCII)
_UNNAMED = re.compile(r"\W", re.ASCII)
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. time: seconds since 1970. fields: names and values beside the message."""

    time: float
    level: str
    logger: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""


class Form(Protocol):
    """A way to write an event."""

    def __call__(self, event: Event) -> bytes:
        """The event as one line, with its end; in text a traceback follows, each of its lines indented."""

    def many(self, event: Event, fields: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """A line for each mapping of fields, of events that share all else. At a tenth of the cost.

        The names are none of the event's own, the values texts and finite numbers.
        """


class JsonLines:
    """One JSON object a line. worker: its number, where there are workers."""

    def __init__(self, worker: int | None = None) -> None:
        self._worker = {} if worker is None else {"worker": worker}

    def __call__(self, event: Event) -> bytes:
        told = self._common(event)
        for name, value in list(event.fields.items())[:MAX_FIELDS]:
            told.setdefault(name, _value(value))
        if event.traceback:
            told["traceback"] = cut(event.traceback, MAX_TRACEBACK)
        return _json(told) + b"\n"

    def many(self, event: Event, fields: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        head = _json(self._common(event))[:-1] + b","
        for each in fields:
            told = _json(each)
            yield (
                head + told[1:] + b"\n"
                if len(told) < MAX_TEXT
                else self(replace(event, fields=each))
            )

    def _common(self, event: Event) -> dict[str, Any]:
        return {
            "time": timestamp(event.time),
            "level": event.level,
            "logger": event.logger,
            "message": cut(event.message),
            "pid": os.getpid(),
            **self._worker,
        }


class TextLines:
    """The message, after its level unless that is info, then the fields; on a terminal after the time, in columns."""

    def __init__(
        self, worker: int | None = None, *, terminal: bool = False, colour: bool = False
    ) -> None:
        self._worker = {} if worker is None else {"worker": worker}
        self._terminal, self._colour = terminal, colour

    def __call__(self, event: Event) -> bytes:
        fields = {**self._worker, **dict(list(event.fields.items())[:MAX_FIELDS])}
        request = _take_request(fields)
        told = "".join(f" {_UNNAMED.sub('_', name)}={_quoted(v)}" for name, v in fields.items())
        line = f"{self._level(event)}{visible(cut(event.message))}{request}{self._painted('2', told)}\n"
        trace = cut(event.traceback, MAX_TRACEBACK).rstrip().split("\n") if event.traceback else []
        # Indented, so that no text within an error looks like a line of its own.
        return (line + "".join(f"  {visible(each)}\n" for each in trace)).encode("utf-8")

    def many(self, event: Event, fields: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        return (self(replace(event, fields=each)) for each in fields)

    def _level(self, event: Event) -> str:
        if self._terminal:
            clock = time.strftime("%H:%M:%S", time.localtime(event.time))
            level = self._painted(_COLOURS.get(event.level, "0"), f"{event.level:<8}")
            return f"{self._painted('2', clock)} {level} "
        return "" if event.level == "info" else f"{event.level}: "

    def _painted(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text


def timestamp(seconds: float) -> str:
    """A time as RFC 3339 has it: in UTC, with milliseconds."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03}Z"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """At most `limit` characters, and how many more there were."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def visible(text: str) -> str:
    """The text with all that wouldn't be printed as itself in Python's notation."""
    return text if _PLAIN.fullmatch(text) else _UNPRINTED.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else ascii(character)[1:-1]


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    return cut(str(value))


def _take_request(fields: dict[str, Any]) -> str:
    """A request's line and answer in few words, which are then no fields any more."""
    if not fields.keys() >= {"method", "path", "status", "duration_ms"}:
        return ""
    asked = f" {_quoted(fields.pop('method'))} {_quoted(fields.pop('path'))}"
    return f"{asked} {fields.pop('status')} {fields.pop('duration_ms')} ms"


def _quoted(value: Any) -> str:
    """A value that can't be read as two fields."""
    text = str(_value(value))
    if _WORD.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{visible(escaped)}"'


def _json(told: Mapping[str, Any]) -> bytes:
    try:
        line = orjson.dumps(told)
    except TypeError:  # a lone surrogate, which UTF-8 hasn't
        line = orjson.dumps(_without_surrogates(told))
    if not line.isascii() or b"\x7f" in line:
        line = _UNPRINTED.sub(_json_escape, line.decode("utf-8")).encode("utf-8")
    return line


def _without_surrogates(told: Mapping[str, Any]) -> dict[str, Any]:
    return {_told(name): _told(v) if isinstance(v, str) else v for name, v in told.items()}


def _told(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _json_escape(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
