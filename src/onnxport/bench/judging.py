"""Whether a served answer is the expected one: forms and labels exactly, numbers within the file's tolerance.

Plain Python on JSON values, so that a generator process needs no numpy. The arithmetic is that of `compare`:
|expected - got| / max(1, |expected|).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnxport.errors import shorten


@dataclass(frozen=True, slots=True)
class Exactly:
    """A value that may not differ at all: a label, even where it is a number."""

    value: Any


@dataclass(frozen=True, slots=True)
class Elements:
    """A tensor of which every k-th element is known, in row-major order."""

    shape: tuple[int, ...]
    every: int
    values: tuple[Any, ...]


def difference(expected: Any, got: Any, tolerance: float, at: str = "") -> str:
    """Where and how an answer first differs from the expected one; "" where it doesn't.

    expected: JSON values, with `Exactly` and `Elements` among them. at: the path so far, for the sentence.
    """
    if isinstance(expected, Exactly):
        wanted = expected.value
        same = type(wanted) is type(got) and wanted == got
        return "" if same else _told(at, wanted, got)
    if isinstance(expected, Elements):
        return _elements(expected, got, tolerance, at)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or list(got) != list(expected):
            return _told(at, list(expected), list(got) if isinstance(got, dict) else got)
        return _first(
            difference(wanted, got[key], tolerance, f"{at}.{key}" if at else key)
            for key, wanted in expected.items()
        )
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            what = f"{len(got)} items" if isinstance(got, list) else got
            return _told(at, f"{len(expected)} items", what)
        pairs = enumerate(zip(expected, got, strict=True))
        return _first(difference(a, b, tolerance, f"{at}[{i}]") for i, (a, b) in pairs)
    return "" if _close(expected, got, tolerance) else _told(at, expected, got)


def _close(expected: Any, got: Any, tolerance: float) -> bool:
    if _is_number(expected) and _is_number(got):
        return bool(abs(expected - got) / max(1.0, abs(expected)) <= tolerance)
    return type(expected) is type(got) and bool(expected == got)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _elements(expected: Elements, got: Any, tolerance: float, at: str) -> str:
    flat = _flatten(got, expected.shape)
    if flat is None:
        return f"{at or 'the answer'} has not the shape {list(expected.shape)}"
    known = zip(expected.values, flat[:: expected.every], strict=True)
    return _first(difference(wanted, found, tolerance, at) for wanted, found in known)


def _flatten(value: Any, shape: tuple[int, ...]) -> list[Any] | None:
    """A tensor's values in row-major order; None where it has another shape."""
    if not shape:
        return None if isinstance(value, (dict, list)) else [value]
    if not isinstance(value, list) or len(value) != shape[0]:
        return None
    if len(shape) == 1:
        return None if any(isinstance(item, (dict, list)) for item in value) else value
    parts = [_flatten(part, shape[1:]) for part in value]
    if any(part is None for part in parts):
        return None
    return [item for part in parts if part for item in part]


def _first(found: Iterator[str]) -> str:
    return next((text for text in found if text), "")


def _told(at: str, expected: Any, got: Any) -> str:
    return f"{at or 'the answer'} is {_spell(got)} instead of {_spell(expected)}"


def _spell(value: Any) -> str:
    return shorten(value if isinstance(value, str) else repr(value), 48)
