"""Bytes to one JSON document, as strictly as JSON can be read."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from onnxport.errors import DecodingError, Detail

MAX_DEPTH = 16
LARGE = 64 * 1024  # bytes of a body that takes long, however it is read
MAX_NUMBER_LENGTH = 64


@dataclass(frozen=True, slots=True)
class NotANumber:
    """What stands in a JSON text where a number can't: NaN, Infinity, or an integer of absurd
    length.
    """

    text: str
    code: str


class Duplicated(dict[str, Any]):
    """An object in which a key stands twice."""

    repeated: tuple[str, ...] = ()


@contextmanager
def uncollected(body: bytes) -> Iterator[None]:
    """Reads a large body without the garbage collector: it would look again and again at a million lists that hold no
    cycle, which takes three times as long as reading them.
    """
    if len(body) < LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()  # of several threads the first one that is done: that costs the others time, nothing else


def parse_json(body: bytes) -> Any:
    """One JSON document. Raises DecodingError: empty_body, invalid_encoding, invalid_json,
    too_deep.
    """
    if not body.strip():
        raise _undecodable(
            "empty_body", "the body is empty; send one row object, or a list of them"
        )
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        raise _undecodable(
            "invalid_encoding", "the body is not plain UTF-8 (a byte order mark, or UTF-16)"
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise _undecodable(
            "invalid_encoding", f"the body is not UTF-8 at byte {err.start}; encode it as UTF-8"
        ) from err
    try:
        return _loads(text)
    except RecursionError as err:
        raise too_deep() from err
    except json.JSONDecodeError as err:
        raise _undecodable(
            "invalid_json",
            f"the body is not JSON: {err.msg} at line {err.lineno}, column {err.colno}",
        ) from err


def _loads(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python converts
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    counts = Counter(name for name, _ in pairs)
    duplicated = Duplicated(document)
    duplicated.repeated = tuple(name for name, count in counts.items() if count > 1)
    return duplicated


def _constant(text: str) -> NotANumber:
    return NotANumber(text, "non_finite")


def _integer(text: str) -> int | NotANumber:
    return int(text) if len(text) <= MAX_NUMBER_LENGTH else NotANumber(text, "out_of_range_integer")


def _undecodable(code: str, message: str) -> DecodingError:
    return DecodingError([Detail(code, (), message)])


def too_deep() -> DecodingError:
    return _undecodable(
        "too_deep",
        f"the body nests deeper than {MAX_DEPTH} levels; GET /model tells what a row holds",
    )


def depth_of(value: Any) -> int:
    """How deep containers nest in a decoded value; a scalar is 0."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can carry it: no lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
