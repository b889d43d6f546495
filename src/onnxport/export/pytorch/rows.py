"""The rows on which module and graph are compared: around the examples, at the edges, in all batches and sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxport.export.pytorch.examples import Examples
from onnxport.export.pytorch.limits import Limits
from onnxport.export.pytorch.sizes import Sizes
from onnxport.tensors import Array

Rows = list[Array]  # one array an input
_SEED = 257
_MANY = 8  # rows, from which each element has a mean and a spread of its own
_WIDE = 10**6
EDGES = "integers of"  # how the names of these sets begin
_ENDS = (0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**53, 2**63 - 1, -(2**63))
_FEW = 5


@dataclass(frozen=True)
class Draw:
    """Draws rows like the examples. limits: of each input of integers."""

    examples: Examples
    limits: tuple[Limits | None, ...]
    sizes: Sizes

    def rows(self, count: int, rng: Any, shapes: Sequence[tuple[int, ...]] | None = None) -> Rows:
        """Half of them by mean and spread, a quarter examples with noise, the rest examples as they
        are; with other shapes all by mean and spread.
        """
        found = []
        chosen = rng.integers(len(self.examples.batches[0][0]), size=count)
        for index, example in enumerate(self.examples.batches[0]):
            shape = example.shape[1:] if shapes is None else shapes[index]
            drawn = self._drawn(index, count, shape, rng)
            if shapes is None:
                near, exact = slice(count // 2, count * 3 // 4), slice(count * 3 // 4, count)
                drawn[exact] = example[chosen[exact]]
                if example.dtype.kind == "f":
                    noise = 0.1 * _spread(example)[1] * rng.standard_normal(drawn[near].shape)
                    drawn[near] = example[chosen[near]] + noise
            found.append(drawn)
        return found

    def _drawn(self, index: int, count: int, shape: tuple[int, ...], rng: Any) -> Array:
        example = self.examples.batches[0][index]
        whole = (count, *shape)
        if example.dtype.kind == "b":
            return np.asarray(rng.random(whole) < rng.random((count, *[1] * len(shape))))
        if example.dtype.kind in "iu":
            return self._integers(index, whole, rng)
        elementwise = len(example) >= _MANY and shape == example.shape[1:]
        mean, spread = _spread(example) if elementwise else _spread(example.ravel())
        drawn: Array = mean + spread * rng.standard_normal(whole)
        return drawn.astype(example.dtype)

    def _integers(self, index: int, whole: tuple[int, ...], rng: Any) -> Array:
        """All over the accepted range where that is small, else around the examples."""
        example, limits = self.examples.batches[0][index], self.limits[index]
        least, most = np.iinfo(example.dtype).min, min(np.iinfo(example.dtype).max, 2**63 - 2)
        low, high = np.array(least), np.array(most)
        if limits is not None:
            fits = limits.alike or limits.low.shape == whole[1:]
            low = limits.low if fits and not limits.alike else np.array(limits.hull[0])
            high = limits.high if fits and not limits.alike else np.array(limits.hull[1])
        span = int(example.max()) - int(example.min()) + 1
        wide = high.astype(np.float64) - low > _WIDE
        low = np.where(wide, np.maximum(low, int(example.min()) - span), low)
        high = np.where(wide, np.minimum(high, int(example.max()) + span), high)
        low, high = np.broadcast_to(low, whole), np.broadcast_to(high, whole)
        drawn: Array = rng.integers(low, np.minimum(high, most), endpoint=True, dtype=np.int64)
        return drawn.astype(example.dtype)


def _spread(example: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over dimension 0, the latter never zero."""
    values = np.where(np.isfinite(example), example, 0).astype(np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    return mean, np.where(spread > 0, spread, np.maximum(np.abs(mean) * 0.1, 0.1))


def row_sets(draw: Draw, count: int) -> Iterator[tuple[str, Rows]]:
    """Named rows: "heldout" first, of which there are `count`."""
    rng = np.random.default_rng(_SEED)
    heldout = draw.rows(count, rng)
    yield "heldout", heldout
    some = max(count // 8, _FEW)
    kinds = {array.dtype.kind for array in heldout}
    if "f" in kinds:
        for name, factor in (("negative", -1.0), ("x10", 10.0), ("x1000", 1000.0), ("zeros", 0.0)):
            rows = draw.rows(_FEW if name == "zeros" else some, rng)
            yield name, [_scaled(array, factor) for array in rows]
    if kinds & {"i", "u"}:
        yield from _edge_integers(draw, some, rng)
    if "b" in kinds:
        for value in (False, True):
            rows = draw.rows(_FEW, rng)
            filled = [np.full_like(a, value) if a.dtype.kind == "b" else a for a in rows]
            yield f"all {str(value).lower()}", filled
    for size in (1, 2, 257):
        yield f"batch {size}", [np.resize(array, (size, *array.shape[1:])) for array in heldout]
    for values in draw.sizes.tried():
        try:
            shapes = draw.sizes.shapes(values)
        except ValueError:
            continue
        yield f"sizes {', '.join(map(str, values.values()))}", draw.rows(_FEW, rng, shapes)


def _scaled(array: Array, factor: float) -> Array:
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        scaled: Array = (array * factor).astype(array.dtype)
    limit = np.finfo(array.dtype).max
    return np.clip(scaled, -limit, limit)


def _edge_integers(draw: Draw, count: int, rng: Any) -> Iterator[tuple[str, Rows]]:
    """Each input of integers at the ends of its range, the others as usual."""
    rows = draw.rows(count, rng)
    for index, array in enumerate(rows):
        if array.dtype.kind not in "iu":
            continue
        info, limits = np.iinfo(array.dtype), draw.limits[index]
        low, high = (info.min, info.max) if limits is None else limits.hull
        if limits is not None and not limits.alike:
            ends = np.stack([limits.low, limits.high])
            edge = ends[rng.integers(2, size=array.shape), *np.indices(array.shape)[1:]]
        else:
            known = {low, low + 1, high - 1, high, *_ENDS}
            fine = np.array([v for v in known if low <= v <= high], dtype=array.dtype)
            edge = fine[rng.integers(len(fine), size=(count, *[1] * (array.ndim - 1)))]
            edge = np.broadcast_to(edge, array.shape).copy()
            mixed = slice(count // 2, count)
            edge[mixed] = fine[rng.integers(len(fine), size=array[mixed].shape)]
        edges = [*rows[:index], edge.astype(array.dtype), *rows[index + 1 :]]
        yield f"{EDGES} {draw.examples.inputs[index].name}", edges
