"""Rows to JSON bodies: pandas and numpy are met by what their values look like, not imported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnxport.errors import Detail, ValidationError, shorten

CHUNK_ROWS = 5_000  # half of what a server takes by default
CHUNK_BYTES = 2 * 1024 * 1024  # likewise


def list_rows(data: Any) -> Sequence[Mapping[Any, Any]]:
    """Many rows, given as a list of mappings or as a DataFrame. Raises ValidationError for anything else."""
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        return _frame_rows(data)
    if isinstance(data, (list, tuple)) and all(isinstance(row, Mapping) for row in data):
        return data
    if hasattr(data, "__array__") and not hasattr(data, "index"):
        raise _unfit((), "pass a DataFrame: an array has no names")
    raise _unfit((), "neither a row {feature: value}, nor a list of rows, nor a DataFrame")


def encode_chunks(
    rows: Sequence[Mapping[Any, Any]], chunk_rows: int
) -> Iterator[tuple[range, bytes]]:
    """JSON lists in order, each with its rows' indices. No rows make one empty list: the server has its say."""
    start, size = 0, 0
    encoded: list[bytes] = []
    for index, row in enumerate(rows):
        text = encode_row(row, (index,))
        if encoded and (len(encoded) >= chunk_rows or size + len(text) > CHUNK_BYTES):
            yield range(start, index), b"[" + b",".join(encoded) + b"]"
            start, size, encoded = index, 0, []
        encoded.append(text)
        size += len(text) + 1
    if encoded or not rows:
        yield range(start, len(rows)), b"[" + b",".join(encoded) + b"]"


def encode_row(row: Mapping[Any, Any], at: tuple[int, ...] = ()) -> bytes:
    """One row as ASCII JSON. Infinities and lone surrogates go out as they are: the server names them best."""
    plain = {str(name): _plain(value) for name, value in row.items()}
    try:
        return json.dumps(plain, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as err:
        raise _unencodable(plain, at) from err


def _frame_rows(frame: Any) -> list[dict[str, Any]]:
    names = [str(name) for name in frame.columns]
    if len(set(names)) != len(names):
        raise _unfit((), "two columns of the DataFrame share a name; rename one")
    if not names:
        return [{} for _ in range(len(frame))]
    columns = [list(frame[name]) for name in frame.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    """numpy scalars as Python's, and every spelling of null as None."""
    if isinstance(value, float):
        return None if value != value else value
    if value is None or isinstance(value, (str, int)):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _unencodable(row: Mapping[str, Any], at: tuple[int, ...]) -> ValidationError:
    where = f"row {at[0]}, " if at else "the "
    for name, value in row.items():
        if not _is_sendable(value):
            is_long = isinstance(value, int)  # Python writes 4300 digits at most
            what = "an integer of so many digits" if is_long else f"a {type(value).__name__}"
            said = f"{where}feature {shorten(name)!r}: {what} can't be sent as JSON"
            return _unfit((*at, shorten(name)), said)
    return _unfit(at, f"{f'row {at[0]}' if at else 'the row'} can't be sent as JSON")


def _is_sendable(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _unfit(loc: tuple[str | int, ...], message: str) -> ValidationError:
    return ValidationError([Detail("wrong_type", loc, message)])
