"""CSV to rows: a header with the features' names, and cells that the signature turns into values."""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.cli.rows import BadRows, Chunk, Source, in_chunks
from onnxport.errors import shorten

# RFC 8259's numbers, and what spreadsheets write besides: a plus sign, a bare point.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Column:
    """What the cells of one feature become: `type` as in JSON Schema. An empty cell is null where that is allowed."""

    name: str
    type: str
    nullable: bool


def read_csv(source: Source, columns: Sequence[Column]) -> Iterator[Chunk]:
    """Rows in order, a chunk at a time. Raises BadRows naming the line and the column."""
    yield from in_chunks(_rows(source, columns))


def _rows(source: Source, columns: Sequence[Column]) -> Iterator[tuple[int, dict[str, Any]]]:
    records = _records(source)
    _, header = next(records, (0, []))
    _check_header(source.name, header, columns)
    by_name = {column.name: column for column in columns}
    ordered = [by_name[name] for name in header]
    for line, cells in records:
        if len(cells) != len(header):
            raise BadRows(
                f"{source.name}: line {line} has {len(cells)} cells, and the header {len(header)}"
            )
        yield (
            line,
            {
                column.name: _value(source.name, line, column, cell)
                for column, cell in zip(ordered, cells, strict=True)
            },
        )


def _nested(file: str, line: int, column: Column, text: str) -> Any:
    """A whole tensor, which stands in its cell as JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise BadRows(
            f"{file}: line {line}, column {shorten(column.name)!r} takes nested lists as JSON, such as "
            f"[1, 2], and holds {shorten(text)!r}"
        ) from err


def _records(source: Source) -> Iterator[tuple[int, list[str]]]:
    """Records with the line that each starts on; empty lines are passed over."""
    reader = csv.reader(source.lines, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as err:
        raise BadRows(f"{source.name}: line {line} is no CSV: {err}") from err


def _check_header(name: str, header: Sequence[str], columns: Sequence[Column]) -> None:
    if not header:
        raise BadRows(f"{name} is empty; its first line must name the features")
    known = [column.name for column in columns]
    repeated = [cell for cell in header if header.count(cell) > 1]
    if repeated:
        raise BadRows(f"{name}: two columns are called {shorten(repeated[0])!r}; keep one")
    missing = [feature for feature in known if feature not in header]
    unknown = [cell for cell in header if cell not in known]
    if unknown and len(header) == 1 < len(known):
        raise BadRows(f"{name}: the header has one column; put commas between the features' names")
    if unknown:
        raise BadRows(
            f"{name}: no feature is called {_listed(unknown)}{_hint(unknown[0], missing)}"
        )
    if missing:
        raise BadRows(f"{name} lacks the feature {_listed(missing)}; add a column for it")


def _hint(unknown: str, missing: Sequence[str]) -> str:
    near = difflib.get_close_matches(unknown[:128], missing, n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else "; take the column out"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(shorten(name)) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _value(file: str, line: int, column: Column, cell: str) -> Any:
    if not cell.strip() and column.nullable:
        return None
    if column.type == "string":
        return cell
    text = cell.strip()
    if column.type == "array":
        return _nested(file, line, column, text)
    if column.type == "boolean" and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if column.type != "boolean" and len(text) <= 64:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    wanted = "true or false" if column.type == "boolean" else "a number"
    told = "is empty" if not text else f"holds {shorten(text)!r}"
    raise BadRows(
        f"{file}: line {line}, column {shorten(column.name)!r} {told}, and takes {wanted}"
    )
