"""The sizes that the dynamic dimensions of a module's inputs may take, found by torch and by trying."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.export.pytorch.graph import Captured
from onnxport.export.pytorch.limits import last_fitting
from onnxport.tensors import Array

_LARGEST = 2**13  # elements of a row, and
_LONGEST = 1024  # the size up to which larger ones are tried, and the time that one trial may take
_PATIENCE = 0.25
_SMALL = 16


@dataclass(frozen=True)
class Sizes:
    """dims: of each input, one entry a dimension of a row: a number, or an expression of symbols.
    example: each symbol's value in the example. limits: the smallest and largest value that the module
    answers, None where no end was found.
    """

    dims: tuple[tuple[Any, ...], ...]
    example: Mapping[str, int]
    limits: Mapping[str, tuple[int, int | None]]

    def shapes(self, values: Mapping[str, int]) -> list[tuple[int, ...]]:
        """The shape of a row of each input. Raises ValueError where there is none."""
        return [tuple(_value(size, values) for size in row) for row in self.dims]

    def places(self, symbol: str) -> list[tuple[int, int]]:
        """Which dimensions (input, dimension of the batch) have exactly this size."""
        return [
            (index, axis + 1)
            for index, row in enumerate(self.dims)
            for axis, size in enumerate(row)
            if str(size) == symbol
        ]

    def derived(self, symbol: str) -> Iterator[tuple[int, int, int, int]]:
        """Which dimensions have a size that is factor * symbol + more: (input, dimension, factor, more)."""
        for index, row in enumerate(self.dims):
            for axis, size in enumerate(row):
                if isinstance(size, int) or {str(s) for s in size.free_symbols} != {symbol}:
                    continue
                at = [size.subs(dict.fromkeys(size.free_symbols, n)) for n in (8, 16, 24)]
                factor = (at[1] - at[0]) / 8
                if str(size) != symbol and factor.is_Integer and at[2] - at[1] == at[1] - at[0]:
                    yield index, axis + 1, int(factor), int(at[0] - 8 * factor)

    def tried(self) -> Iterator[dict[str, int]]:
        """Sizes other than the example's, one symbol after the other, and all of them at once."""
        for symbol, (low, high) in self.limits.items():
            here = self.example[symbol]
            wanted = {low, low + 1, here - 1, here + 1, 2 * here, 3 * here + 1}
            for size in sorted(wanted | ({high} if high is not None and high < 4096 else set())):
                if low <= size <= (high or size) and size != here:
                    yield {**self.example, symbol: size}
        if len(self.limits) > 1:
            for step, symbol in enumerate(self.limits):
                others = {
                    key: _clip(self.example[key] + step + place + 1, self.limits[key])
                    for place, key in enumerate(self.limits)
                }
                yield others | {symbol: self.limits[symbol][0]}
                yield others


def find_sizes(
    captured: Captured, batch: Sequence[Array], answers: Callable[[Sequence[tuple[int, ...]]], bool]
) -> Sizes:
    """answers: whether the module answers rows of these shapes."""
    example: dict[str, int] = {}
    for row, array in zip(captured.sizes, batch, strict=True):
        for size, found in zip(row, array.shape[1:], strict=True):
            if not isinstance(size, int) and str(size) in captured.bounds:
                example[str(size)] = found
    free = Sizes(captured.sizes, example, {})
    limits = {}
    for symbol, here in example.items():
        low, high = captured.bounds[symbol]

        def fits(size: int, symbol: str = symbol) -> bool:
            try:
                return answers(free.shapes({**example, symbol: size}))
            except ValueError:
                return False

        limits[symbol] = (_lowest(fits, low, here), _highest(fits, here, high, batch))
    return Sizes(captured.sizes, example, limits)


def _lowest(fits: Callable[[int], bool], low: int, here: int) -> int:
    """The smallest size that is answered: sought among the small ones, else by halving."""
    for size in range(low, min(here, low + _SMALL)):
        if fits(size):
            return size
    return last_fitting(fits, here, low)


def _highest(
    fits: Callable[[int], bool], here: int, high: int | None, batch: Sequence[Array]
) -> int | None:
    if high is not None and fits(high):
        return high
    elements = max(array[:1].size for array in batch)
    size = here
    start = time.perf_counter()
    while (
        elements * (2 * size // here) <= _LARGEST
        and 2 * size <= _LONGEST
        and (high is None or 2 * size < high)
        and time.perf_counter() - start < _PATIENCE
    ):
        start = time.perf_counter()
        if not fits(2 * size) and not fits(2 * size + 1):
            return last_fitting(fits, size, 2 * size)
        size *= 2
    return high


def _value(size: Any, values: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    found = size.subs({symbol: values[str(symbol)] for symbol in size.free_symbols})
    if not found.is_Integer or int(found) < 1:
        raise ValueError(f"{size} is no size")
    return int(found)


def _clip(size: int, limits: tuple[int, int | None]) -> int:
    low, high = limits
    return max(low, size if high is None else min(size, high))
