"""Tensors as JSON: what a self-test keeps of one row's input or output.

Small ones are stored whole, as base64 of their little-endian bytes. An input too large for that is made anew from a
pattern, and of an output too large for that every k-th number is kept.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxport.datatypes import BY_NAME

Array = np.ndarray[Any, Any]

_MAX_ELEMENTS = 2**28
# Knuth's multiplicative constant, and the finalizer of MurmurHash3: the same numbers on every machine.
_SPREAD, _MIX_1, _MIX_2 = 2654435761, 0x85EBCA6B, 0xC2B2AE35


def store(array: Array, datatype: str) -> dict[str, Any]:
    """The whole array, of any shape."""
    entry: dict[str, Any] = {"datatype": datatype, "shape": list(array.shape)}
    if datatype == "BYTES":
        return entry | {"values": [str(value) for value in array.ravel().tolist()]}
    return entry | {"base64": _encode(array, datatype)}


def store_some(array: Array, datatype: str, most: int) -> dict[str, Any]:
    """Every k-th element, in row-major order, so that at most `most` are kept."""
    every = max(1, math.ceil(array.size / most))
    if every == 1:
        return store(array, datatype)
    entry = store(array.ravel()[::every], datatype)
    return entry | {"shape": list(array.shape), "every": every}


def store_pattern(
    shape: Sequence[int], datatype: str, seed: int, low: float, high: float
) -> dict[str, Any]:
    """Numbers between low and high that `restore` makes from the seed."""
    return {
        "datatype": datatype,
        "shape": list(shape),
        "pattern": seed,
        "low": low,
        "high": high,
    }


def restore(entry: Mapping[str, Any]) -> Array:
    """The array that was stored. Raises ValueError for what isn't such an entry, or holds only some
    of its elements.
    """
    if "every" in entry:
        raise ValueError("only some of the elements are stored")
    shape = _shape(entry)
    if "pattern" in entry:
        return _pattern(entry, shape)
    return _elements(entry).reshape(shape)


def restore_some(entry: Mapping[str, Any]) -> tuple[tuple[int, ...], int, Array]:
    """The shape, k, and every k-th element in row-major order."""
    if "every" not in entry:
        array = restore(entry)
        return array.shape, 1, array.ravel()
    every = entry["every"]
    if type(every) is not int or every < 1:
        raise ValueError("'every' is no whole number")
    elements, shape = _elements(entry), _shape(entry)
    if len(elements) != math.ceil(math.prod(shape) / every):
        raise ValueError("the elements don't fit the shape")
    return shape, every, elements


def _encode(array: Array, datatype: str) -> str:
    little = np.dtype(BY_NAME[datatype].numpy).newbyteorder("<")
    return base64.b64encode(np.ascontiguousarray(array, dtype=little).tobytes()).decode("ascii")


def _elements(entry: Mapping[str, Any]) -> Array:
    """All stored elements, 1-D."""
    datatype = str(entry["datatype"])
    if datatype not in BY_NAME:
        raise ValueError(f"unknown datatype {datatype[:16]!r}")
    if datatype == "BYTES":
        values = entry["values"]
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError("the values are not strings")
        return np.array([*values, None], dtype=object)[:-1]
    dtype = np.dtype(BY_NAME[datatype].numpy)
    try:
        content = base64.b64decode(entry["base64"], validate=True)
    except (binascii.Error, TypeError) as err:
        raise ValueError("the elements are no base64") from err
    if len(content) % dtype.itemsize:
        raise ValueError("the elements are cut off")
    elements: Array = np.frombuffer(content, dtype=dtype.newbyteorder("<")).astype(dtype)
    return elements


def _shape(entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(entry["shape"])
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("a size is no whole number")
    if math.prod(shape) > _MAX_ELEMENTS:
        raise ValueError("the tensor is too large")
    return shape


def _pattern(entry: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    seed, low, high = (entry[key] for key in ("pattern", "low", "high"))
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ValueError("the pattern's seed is no 32-bit number")
    share = _shares(math.prod(shape), seed)
    datatype = BY_NAME[str(entry["datatype"])]
    if datatype.json == "number":
        numbers: Array = low + (high - low) * share
        return numbers.astype(datatype.numpy).reshape(shape)
    whole: Array = np.clip(np.floor(low + (high - low + 1) * share), low, high)
    return whole.astype(datatype.numpy).reshape(shape)


def _shares(count: int, seed: int) -> Array:
    """Numbers in [0, 1), float64: the place, hashed with the seed."""
    h = np.arange(count, dtype=np.uint64) * np.uint64(_SPREAD) + np.uint64(seed)
    h = (h & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    for shift, factor in ((16, _MIX_1), (13, _MIX_2), (16, 1)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    return h.astype(np.float64) / 2.0**32
