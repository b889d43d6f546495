"""Nested lists as one row's tensor: its shape, the types of what it holds, and their range.

A list is flattened level by level and judged as a whole; only where that fails is the first element sought that is at
fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from onnxport.codec.documents import MAX_DEPTH, NotANumber, is_unicode
from onnxport.datatypes import BY_NAME, MAX_EXACT_INTEGER, json_type
from onnxport.errors import shorten
from onnxport.signature import Dimension, Feature, integer_range, spell_feature_shape
from onnxport.tensors import Array

_FLOATS = ("FP16", "FP32", "FP64")
_WANTED = {"boolean": "true or false", "string": "strings", "integer": "integers"}
_INEXACT = "is beyond ±2^53, where floating-point numbers turn inexact"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a tensor: a code, the place in it, and what to say behind the feature's name."""

    code: str
    at: tuple[int, ...]
    told: str


def read_tensor(feature: Feature, value: Any, *, wire: bool) -> Array | Flaw:
    """One row's tensor from nested lists, in Python from an array too, in the tensor's datatype.

    wire: integers beyond 2^53 can't be floating-point numbers. Raises nothing: a Flaw tells what is wrong.
    """
    if not wire and hasattr(value, "detach"):  # a tensor of torch that requires a gradient
        value = value.detach()
    if not wire and hasattr(value, "__array__") and not isinstance(value, np.generic):
        return _from_array(feature, np.asarray(value))
    flattened = _flatten(feature, value, tuples=not wire)
    if isinstance(flattened, Flaw):
        return flattened
    sizes, leaves = flattened
    if _sizes_flaw(feature, sizes):
        return _sizes_flaw(feature, _whole_shape(value)) or _checked(feature, leaves, sizes)
    return _checked(feature, leaves, sizes)


def _whole_shape(value: Any) -> list[int]:
    """The sizes of nested lists by their first entries, as deep as they go."""
    sizes: list[int] = []
    while isinstance(value, (list, tuple)) and len(sizes) < MAX_DEPTH:
        sizes.append(len(value))
        value = value[0] if value else None
    return sizes


def _flatten(
    feature: Feature, value: Any, *, tuples: bool
) -> tuple[tuple[int, ...], list[Any]] | Flaw:
    """The size of each dimension, and the elements in row-major order."""
    level: list[Any] = [value]
    sizes: list[int] = []
    kinds = (list, tuple) if tuples else (list,)
    for _ in feature.shape or ():
        if not all(isinstance(item, kinds) for item in level):
            place = next(i for i, item in enumerate(level) if not isinstance(item, kinds))
            return _shape_flaw(feature, _place(place, sizes), f"holds {_type(level[place])}")
        lengths = [len(item) for item in level]
        if len(set(lengths)) > 1:
            place = next(i for i, n in enumerate(lengths) if n != lengths[0])
            told = f"has lists of {lengths[0]} and of {lengths[place]} side by side"
            return _shape_flaw(feature, _place(place, sizes), told)
        sizes.append(lengths[0] if lengths else 0)
        level = list(chain.from_iterable(level))
    return tuple(sizes), level


def _from_array(feature: Feature, array: Array) -> Array | Flaw:
    if array.dtype == object or array.dtype.kind in "US":
        value = array.tolist()
        return read_tensor(feature, value, wire=True)
    wrong = _sizes_flaw(feature, array.shape)
    if wrong:
        return wrong
    json = BY_NAME[feature.dtype].json
    if array.dtype.kind not in {"boolean": "b", "string": "", "integer": "iuf"}.get(json, "fiu"):
        return Flaw("wrong_type", (), f"takes {_wanted(json)}, and got an array of {array.dtype}")
    if json == "boolean":
        return array
    return _numbers(feature, array, array.ravel().tolist)


def _sizes_flaw(feature: Feature, sizes: Sequence[int]) -> Flaw | None:
    """Why the sizes don't fit; a dynamic dimension takes any, but for none at all."""
    shape = feature.shape or ()
    dimensions = feature.dimensions or (None,) * len(shape)
    fits = len(sizes) == len(shape) and all(
        size == wanted if wanted is not None else _is_within(size, dimension)
        for size, wanted, dimension in zip(sizes, shape, dimensions, strict=True)
    )
    if fits:
        return None
    told = f"has the shape {list(sizes)}"
    if len(sizes) == len(shape) + 1:
        told += ", which may be a batch: send each row as an object of its own, in a list"
    return _shape_flaw(feature, (), told)


def _is_within(size: int, dimension: Dimension | None) -> bool:
    if dimension is None:
        return size > 0
    return dimension.low <= size <= (size if dimension.high is None else dimension.high)


def _shape_flaw(feature: Feature, at: tuple[int, ...], told: str) -> Flaw:
    return Flaw("wrong_shape", at, f"takes {shape_text(feature)}, and {told}")


def shape_text(feature: Feature) -> str:
    """The shape in words: what each dimension holds."""
    shape = feature.shape or ()
    if not shape:
        return "one value"
    return f"nested lists of shape {spell_feature_shape(feature)}"


def _checked(feature: Feature, leaves: list[Any], sizes: tuple[int, ...]) -> Array | Flaw:
    """The elements as an array, or the first that can't stand there."""
    json = BY_NAME[feature.dtype].json
    kinds = set(map(type, leaves))
    if json == "string":
        return _strings(leaves, kinds, sizes)
    allowed: set[type] = {bool} if json == "boolean" else {int, float}
    if not kinds <= allowed:
        return _wrong_element(json, leaves, sizes, allowed)
    if json == "boolean":
        return np.array(leaves, dtype=np.bool_).reshape(sizes)
    try:
        array = np.array(leaves, dtype=np.float64 if float in kinds else np.int64)
    except OverflowError:
        array = np.array(leaves, dtype=object)
    if len(kinds) == 2:  # beside floats, an integer is one, and must be one exactly
        beyond = [type(leaf) is int and abs(leaf) > MAX_EXACT_INTEGER for leaf in leaves]
        if any(beyond):
            marked = np.array(beyond).reshape(sizes)
            return _first(marked, marked, "out_of_range_integer", lambda: leaves, _INEXACT)
    return _numbers(feature, array.reshape(sizes), lambda: leaves)


def _strings(leaves: list[Any], kinds: set[type], sizes: tuple[int, ...]) -> Array | Flaw:
    if not kinds <= {str}:
        return _wrong_element("string", leaves, sizes, {str})
    for index, text in enumerate(leaves):
        if "\0" in text or not is_unicode(text):
            told = "holds a string with a NUL or a lone surrogate"
            return Flaw("invalid_string", _place(index, sizes), told)
    array = np.empty(len(leaves), dtype=object)
    array[:] = leaves
    return array.reshape(sizes)


def _wrong_element(
    json: str, leaves: list[Any], sizes: tuple[int, ...], allowed: set[type]
) -> Flaw:
    index = next(i for i, leaf in enumerate(leaves) if type(leaf) not in allowed)
    leaf = leaves[index]
    if isinstance(leaf, NotANumber) and json in ("number", "integer"):
        told = f"holds {shorten(leaf.text)}, which is no number that can be used"
        return Flaw(leaf.code, _place(index, sizes), told)
    if leaf is None:
        told = "holds null, and takes no missing value"
        return Flaw("null_not_allowed", _place(index, sizes), told)
    told = f"takes {_wanted(json)}, and got {_type(leaf)}"
    return Flaw("wrong_type", _place(index, sizes), told)


def _numbers(feature: Feature, array: Array, leaves: Callable[[], list[Any]]) -> Array | Flaw:
    """Numbers in the tensor's datatype, or the first that it can't hold."""
    datatype = BY_NAME[feature.dtype]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _first(array, ~np.isfinite(array), "non_finite", leaves, "is no finite number")
    if feature.dtype in _FLOATS:
        return _floats(feature, array, leaves)
    if array.dtype.kind == "f":
        if bool((array % 1 != 0).any()):
            return _first(array, array % 1 != 0, "wrong_type", leaves, "is no integer")
        if bool((np.abs(array) >= 2.0**63).any()):
            far = np.abs(array) >= 2.0**63
            return _first(array, far, "out_of_range_integer", leaves, "is beyond 64 bits")
    low, high = integer_range(feature)
    beyond = (array < low) | (array > high)
    if bool(np.any(beyond)):
        told = f"is beyond {low} to {high}"
        return _first(array, np.asarray(beyond), "out_of_range_integer", leaves, told)
    return array.astype(datatype.numpy)


def _floats(feature: Feature, array: Array, leaves: Callable[[], list[Any]]) -> Array | Flaw:
    if array.dtype.kind not in "f":
        beyond = (array > MAX_EXACT_INTEGER) | (array < -MAX_EXACT_INTEGER)
        if bool(np.any(beyond)):
            return _first(array, np.asarray(beyond), "out_of_range_integer", leaves, _INEXACT)
    with np.errstate(over="ignore"):
        found: Array = array.astype(BY_NAME[feature.dtype].numpy)
    if not np.isfinite(found).all():
        told = f"is more than {feature.dtype} can hold"
        return _first(found, ~np.isfinite(found), "non_finite", leaves, told)
    return found


def _first(
    array: Array, marked: Array, code: str, leaves: Callable[[], list[Any]], told: str
) -> Flaw:
    index = int(np.flatnonzero(marked.ravel())[0])
    value = shorten(repr(leaves()[index]))
    return Flaw(code, _place(index, array.shape), f"holds {value}, which {told}")


def _place(index: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Where the element with this number stands."""
    return tuple(int(i) for i in np.unravel_index(index, tuple(sizes))) if sizes else ()


def _wanted(json: str) -> str:
    return _WANTED.get(json, "numbers")


def _type(value: Any) -> str:
    return shorten(value.text, 16) if isinstance(value, NotANumber) else json_type(value)
