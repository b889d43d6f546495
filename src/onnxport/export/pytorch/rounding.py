"""How much float32 itself moves a module's answers, seen from float64: what parity can ask, and of which rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from onnxport.export.pytorch.behaviour import Answers, in_double
from onnxport.export.pytorch.module import Refused, unsupported
from onnxport.export.pytorch.rows import Rows
from onnxport.tensors import Array

BAR = 1e-5
_WIDEST_BAR = 1e-4
_MARGIN = 4  # a graph's rounding against the module's own, of which one sample is known
_FEW = 0.02  # of the rows like the examples
_CHUNK = 257
_ULP = 2.0**-23

Run = Callable[[Rows], list[Array]]


@dataclass(frozen=True)
class Rounding:
    """answers: the module's. exact: the same in float64, or None where it doesn't answer in it; then
    other kernels and inputs moved by their last bit tell how far an answer may be off. made_of: what
    is made of the answers before they are looked at.
    """

    answers: Answers
    exact: Answers | None
    made_of: Callable[[list[Array]], list[Array]] = list

    def asked(self, rows: Rows) -> tuple[list[Array], list[Array]]:
        """Of each output the answers, and by how much an element of a row may be off: [rows], the
        largest of all elements, infinite where only one of both is finite.
        """
        given = self.made_of(self.answers.ask(rows))
        off = [np.zeros(len(rows[0])) for _ in given]
        for other in map(self.made_of, self._others(rows)):
            for place, (one, two) in enumerate(zip(given, other, strict=True)):
                off[place] = np.maximum(off[place], _apart(one, two))
        return given, off

    def _others(self, rows: Rows) -> list[list[Array]]:
        if self.exact is not None:
            double = in_double(rows)
            return [
                self.exact.ask(double),
                *(self.exact.ask(_moved(double, d)) for d in (_ULP, -_ULP)),
            ]
        moved = [_moved(rows, _ULP), _moved(rows, -_ULP)]
        with torch.backends.mkldnn.flags(enabled=False):
            return [self.answers.ask(rows), *map(self.answers.ask, moved)]

    def noise(self, rows: Rows) -> Array:
        """Of each row, how far it may be off, relative to max(1, |answer|) of its largest element."""
        given, off = self.asked(rows)
        found = np.zeros(len(rows[0]))
        for one, apart in zip(given, off, strict=True):
            found = np.maximum(found, apart / np.maximum(1, _largest(one)))
        return found


def _moved(rows: Rows, share: float) -> Rows:
    """The same rows with each number moved a little, so that exact ties are decided one way or the
    other.
    """
    rng = np.random.default_rng(0)
    return [
        (array + share * np.maximum(np.abs(array), 1) * rng.standard_normal(array.shape)).astype(
            array.dtype
        )
        if array.dtype.kind == "f"
        else array
        for array in rows
    ]


def _apart(one: Array, other: Array) -> Array:
    """Of each row the largest |difference|; infinite where only one of both is a finite number."""
    wanted, found = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(wanted - found)
    apart[(wanted == found) | (np.isnan(wanted) & np.isnan(found))] = 0
    apart[np.isnan(apart)] = np.inf
    largest: Array = _rows(apart).max(axis=1, initial=0.0)
    return largest


def _largest(values: Array) -> Array:
    found = np.abs(np.nan_to_num(_rows(values.astype(np.float64)), posinf=0, neginf=0))
    largest: Array = found.max(axis=1, initial=0.0)
    return largest


def _rows(values: Array) -> Array:
    return values.reshape(len(values), -1) if values.size else np.zeros((len(values), 1))


def find_bar(rounding: Rounding, usual: Rows) -> float:
    """The bar: 1e-5, and more only as far as the module's own rounding on rows like the examples is.
    Raises UnsupportedModel where that is far.
    """
    noise = rounding.noise(usual)
    typical = float(np.quantile(noise, 1 - _FEW, method="lower"))
    if _MARGIN * typical > _WIDEST_BAR:
        raise unsupported(
            rounding.answers.flat.module,
            f"rounding in float32 alone moves its answers to rows like the examples by {typical:.2g}, "
            "so that nothing can be proven",
            "Scale the inputs, or save module.double() where ONNX Runtime has its operators.",
        )
    return max(BAR, _MARGIN * typical)


def comparable(rounding: Rounding, run: Run, bar: float, name: str, rows: Rows) -> Array:
    """Rows that can be held to the bar, bool [rows].

    Where a sum of large terms is a small number, its last bits are its order's, in torch as in ONNX
    Runtime. Such a row is left out only if the graph's answer is off, and by no more than a few times
    what torch's own is, in the element that is off most.
    """
    kept = np.ones(len(rows[0]), dtype=bool)
    given, off = rounding.asked(rows)
    doubtful = np.zeros(len(kept), dtype=bool)
    for one, apart in zip(given, off, strict=True):
        smallest = np.abs(_rows(one.astype(np.float64))).min(axis=1, initial=np.inf)
        with np.errstate(invalid="ignore"):
            doubtful |= ~(_MARGIN * apart <= bar * np.maximum(1, smallest))
    places = np.flatnonzero(doubtful)
    if not len(places):
        return kept
    got = run([array[places] for array in rows])
    differs, excused = _judged(given, off, got, places, bar)
    kept[places[differs & excused]] = False
    if name == "heldout" and (~kept).mean() > _FEW:
        raise unsupported(
            rounding.answers.flat.module,
            f"of {len(kept)} rows like the examples, {int((~kept).sum())} have answers that hang on "
            "the rounding of float32",
            "Scale the inputs, or save module.double() where ONNX Runtime has its operators.",
        )
    return kept


def _judged(
    given: Sequence[Array], off: Sequence[Array], got: Sequence[Array], places: Array, bar: float
) -> tuple[Array, Array]:
    """Which of these rows differ from the graph's answer, and in which that is rounding alone."""
    differs = np.zeros(len(places), dtype=bool)
    excused = np.ones(len(places), dtype=bool)
    for one, apart, other in zip(given, off, got, strict=True):
        wanted, found = _rows(one[places].astype(np.float64)), _rows(other.astype(np.float64))
        with np.errstate(invalid="ignore", over="ignore"):
            distance = np.abs(wanted - found)
            size = np.maximum(1, np.abs(wanted))
        distance[(wanted == found) | (np.isnan(wanted) & np.isnan(found))] = 0
        distance[np.isnan(distance)] = np.inf
        # half of it: another number of rows in a batch changes the last bits again
        differs |= (distance > bar / 2 * size).any(axis=1)
        excused &= (distance <= np.maximum(bar * size, 2 * _MARGIN * apart[places, None])).all(
            axis=1
        )
    return differs, excused


def of_refused(ask: Callable[[Rows], Array], rows: Rows) -> Array:
    """What `ask` says of each row, True where it raises Refused for one: the gate leaves these out."""
    try:
        return ask(rows)
    except Refused:
        parts = []
        for row in range(len(rows[0])):
            try:
                parts.append(ask([array[row : row + 1] for array in rows]))
            except Refused:
                parts.append(np.ones(1, dtype=bool))
        return np.concatenate(parts) if parts else np.ones(0, dtype=bool)
