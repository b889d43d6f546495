"""Whether a graph answers each row by itself, whatever stands beside it: rows of any magnitude, or many of them.

The number of rows stays the same, since the order of a float32 sum, and so its last bits, may hang on that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onnxport.compare import by_row, relative_difference
from onnxport.errors import ExportError
from onnxport.export.clean_run import run_clean
from onnxport.export.graph import Array
from onnxport.signature import Signature
from onnxport.tensors import Arrays

_ROWS, _MANY = 16, 300
_FACTORS = (1e3, 1e6, -1e6, 0.0)
_LOOSE = 1e-3  # what the number of rows may change in sums of float32


def coupled(
    content: bytes, signature: Signature, rows: Arrays, bar: float, rows_per_run: int
) -> str | None:
    """The output in which a row's answer changes with its company, or None. rows: [rows, *shape]."""
    if rows_per_run == 1 or not len(next(iter(rows.values()))):
        return None
    asked = {name: np.resize(array, (_ROWS, *array.shape[1:])) for name, array in rows.items()}
    usual = _beside(asked, asked)
    beside = [_beside(asked, company) for company in _companies(asked)]
    many = {name: np.resize(array, (_MANY, *array.shape[1:])) for name, array in asked.items()}
    first, *others = _ran(content, [usual, *beside, many], _MANY)
    alone = run_clean(content, [asked], rows_per_run=1)[0]
    if first is None:
        return None
    for output in signature.outputs:
        name = output.tensor
        pairs = [(first, other, bar) for other in others[:-1]] + [(alone, others[-1], _LOOSE)]
        for one, other, allowed in pairs:
            if other is not None and _apart(one[name][:_ROWS], other[name][:_ROWS]) > allowed:
                return name
    return None


def _companies(asked: Arrays) -> Iterator[Arrays]:
    """Rows as large as a datatype holds them, zeros, and the same ones in another order."""
    for factor in _FACTORS:
        yield {name: _scaled(array, factor) for name, array in asked.items()}
    yield {name: array[::-1] for name, array in asked.items()}


def _scaled(array: Array, factor: float) -> Array:
    if array.dtype.kind != "f":
        return array[::-1]
    most = float(np.finfo(array.dtype).max)
    shifted = array.astype(np.float64) * factor + np.sign(factor)
    found: Array = np.clip(shifted, -most, most).astype(array.dtype)
    return found


def _beside(asked: Arrays, company: Arrays) -> Arrays:
    return {name: np.concatenate([array, company[name]]) for name, array in asked.items()}


def _ran(content: bytes, feeds: Sequence[Arrays], rows: int) -> list[Arrays | None]:
    """The answers, None where the graph fails on some of the rows."""
    try:
        return list(run_clean(content, feeds, rows_per_run=rows))
    except ExportError:
        return [_ran_alone(content, each, rows) for each in feeds]


def _ran_alone(content: bytes, feeds: Arrays, rows: int) -> Arrays | None:
    try:
        return run_clean(content, [feeds], rows_per_run=rows)[0]
    except ExportError:
        return None


def _apart(one: Array, other: Array) -> float:
    """The largest difference of a number; what is no number is equal or infinitely different."""
    if one.shape != other.shape:
        return np.inf
    if one.dtype.kind in "OU":
        return 0.0 if bool((one == other).all()) else np.inf
    return float(by_row(relative_difference(one, other)).max(initial=0.0))
