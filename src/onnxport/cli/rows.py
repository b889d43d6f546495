"""Rows out of a file or standard input: JSON, JSON lines or CSV, in chunks, so that memory stays bounded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, Literal

import click

from onnxport.datatypes import json_type
from onnxport.errors import shorten

Form = Literal["json", "jsonl", "csv"]

CHUNK_ROWS = 1000
SUFFIXES: dict[str, Form] = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}


class BadRows(click.ClickException):
    """Rows that can't be read; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows in order, and where each stands in its file. single: it was one object, not a list."""

    rows: Sequence[Any]
    places: Sequence[str]
    single: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file of rows: what messages call it, its form, and its lines, which can be read once."""

    name: str
    form: Form
    lines: Iterator[str]


def open_source(stream: BinaryIO, form: Form | None) -> Source:
    """The form is what was asked for, or what the file's suffix says, or what its first lines look like."""
    path = PurePath(stream.name)
    name = "standard input" if stream.name == "<stdin>" else path.name
    lines = _decoded(name, stream)
    known = form or SUFFIXES.get(path.suffix.lower())
    if known:
        return Source(name, known, lines)
    guessed, lines = _guess(lines)
    return Source(name, guessed, lines)


def read_json(source: Source) -> Iterator[Chunk]:
    """One row object, or a list of them."""
    document = parse(source.name, "".join(source.lines), first_line=1)
    if isinstance(document, dict):
        yield Chunk([document], ["the row"], single=True)
        return
    if not isinstance(document, list):
        raise BadRows(
            f"{source.name} holds {json_type(document)}; give one row object, or a list of them"
        )
    for start in range(0, len(document), CHUNK_ROWS):
        rows = document[start : start + CHUNK_ROWS]
        yield Chunk(rows, [f"row {start + i}" for i in range(len(rows))])


def read_json_lines(source: Source) -> Iterator[Chunk]:
    """One row object a line; empty lines are passed over."""
    numbered = (
        (number, parse(source.name, line, first_line=number))
        for number, line in enumerate(source.lines, 1)
        if line.strip()
    )
    yield from in_chunks(numbered)


def in_chunks(numbered: Iterator[tuple[int, Any]]) -> Iterator[Chunk]:
    """Rows with their line numbers, CHUNK_ROWS at a time."""
    while some := list(itertools.islice(numbered, CHUNK_ROWS)):
        yield Chunk([row for _, row in some], [f"line {number}" for number, _ in some])


def parse(name: str, text: str, *, first_line: int) -> Any:
    """Strict JSON: no NaN, no key twice. Raises BadRows."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as err:
        line = first_line + err.lineno - 1
        hint = "; one object a line takes --format jsonl" if err.msg == "Extra data" else ""
        raise BadRows(f"{name}: line {line}, column {err.colno}: {err.msg}{hint}") from err
    except RecursionError as err:
        raise BadRows(f"{name} nests too deep; rows are flat") from err
    except ValueError as err:
        raise BadRows(f"{name}: {_from_line(text, first_line)}{shorten(str(err), 200)}") from err


def _from_line(text: str, first_line: int) -> str:
    return "" if "\n" in text.rstrip("\n") else f"line {first_line}: "


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shorten(twice)!r} stands twice in one object; keep one")
    return row


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON; write null for a missing value")


def _decoded(name: str, stream: BinaryIO) -> Iterator[str]:
    """Lines of UTF-8, a byte order mark dropped, line ends kept."""
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as err:
            raise BadRows(f"{name}: line {number} is not UTF-8; save the file as UTF-8") from err


def _guess(lines: Iterator[str]) -> tuple[Form, Iterator[str]]:
    """The form by the first lines, and all lines again."""
    seen: list[str] = []
    first = _next_filled(lines, seen).lstrip()
    form: Form = "json"
    if first.startswith("{"):
        if _is_json(first) and _next_filled(lines, seen):
            form = "jsonl"
    elif not first.startswith("["):
        form = "csv"
    return form, itertools.chain(seen, lines)


def _next_filled(lines: Iterator[str], seen: list[str]) -> str:
    """The next line that isn't blank, or ""; what was read is added to `seen`."""
    for line in lines:
        seen.append(line)
        if line.strip():
            return line
    return ""


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
