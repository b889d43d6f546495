"""The original file, asked: the least changed graph that this runtime opens, a row or a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from onnxport import runtime
from onnxport.errors import shorten
from onnxport.export.adopting import versions
from onnxport.export.adopting.findings import cure, refusal
from onnxport.export.adopting.repairs import Feed, Repaired, copy, repair_locales
from onnxport.export.adopting.sequences import View
from onnxport.export.adopting.structure import Array

Arrays = dict[str, Array]
_BATCH = 256


class Unbatched(Exception):
    """An output doesn't have one entry a row; the message is its name."""


class Uneven(Exception):
    """An output has another size for each row, though the rows have one; the message is its name."""


@dataclass(frozen=True)
class Oracle:
    """Answers by the names of the repaired graph, [rows, ...] each.

    rows: how many the original takes at once, None for any number. whole: outputs of which all is
    the answer to one row, because the original gives them no batch dimension. slice: how many rows it
    is asked at once, where it takes any number.
    """

    graph: runtime.Graph
    feeds: Mapping[str, Feed]
    views: Mapping[str, View]
    rows: int | None = None
    whole: frozenset[str] = frozenset()
    slice: int = _BATCH

    def __call__(self, arrays: Mapping[str, Array]) -> Arrays:
        """Raises runtime.RuntimeRefusal where the original refuses a row, Unbatched where its answers
        can't be told apart by row.
        """
        count = len(next(iter(arrays.values())))
        size = self.rows or self.slice
        parts = [
            self._some({name: array[at : at + size] for name, array in arrays.items()})
            for at in range(0, max(count, 1), size)
        ]
        return {name: _joined(name, [part[name] for part in parts]) for name in self.views}

    def _some(self, arrays: Mapping[str, Array]) -> Arrays:
        count = len(next(iter(arrays.values())))
        size = self.rows or count
        filled = {name: _filled(array, size) for name, array in arrays.items()}
        answers = self.run(filled)
        told = {}
        for name, value in answers.items():
            if name in self.whole:
                told[name] = value[np.newaxis]
            elif value.ndim == 0 or len(value) != size:
                raise Unbatched(name)
            else:
                told[name] = value[:count]
        return told

    def each(self, arrays: Mapping[str, Array]) -> None:
        """Runs every row alone. Raises runtime.RuntimeRefusal for one that the original refuses."""
        for row in range(len(next(iter(arrays.values())))):
            self.run({name: array[row : row + 1] for name, array in arrays.items()})

    def run(self, arrays: Mapping[str, Array]) -> Arrays:
        """One run as it is: the answers as they come, whatever their shape."""
        fed = {self.feeds[name].input: self.feeds[name].of(array) for name, array in arrays.items()}
        raw = self.graph._run(fed)
        return {name: view.of(raw[view.output]) for name, view in self.views.items()}


def _joined(name: str, parts: list[Array]) -> Array:
    if len({part.shape[1:] for part in parts}) > 1:
        raise Uneven(name)
    return np.concatenate(parts)


def _filled(array: Array, size: int) -> Array:
    """As many rows as the original wants, the last one repeated."""
    missing = size - len(array)
    return (
        array if missing <= 0 else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    )


def open_original(original: onnx.ModelProto, repaired: Repaired) -> runtime.Graph:
    """The least changed graph that this runtime opens. Raises NotAdoptable where none does."""
    model = copy(original)
    try:
        return runtime.Graph(model.SerializeToString())
    except runtime.RuntimeRefusal:
        versions.lower_ir(model)
    versions.tidy(model)
    repair_locales(model)
    reason = versions.opens(model)
    what = "this runtime doesn't open the original as it is"
    if reason is None:
        then = "what is compared is the original with its IR version or its locale changed"
        repaired.findings.append(cure("runtime", "", what, then))
        return runtime.Graph(model.SerializeToString())
    other = versions.lowered(model) or versions.raised(model)
    if other is None:
        raise refusal("runtime", "", *_why(reason))
    then = f"{other.note} before anything was compared"
    repaired.findings.append(cure("runtime", "", what, then))
    if versions.opens(repaired.model) is not None:
        changed = versions.lowered(repaired.model) or versions.raised(repaired.model)
        repaired.model = repaired.model if changed is None else changed.model
    return runtime.Graph(other.model.SerializeToString())


def _why(reason: str) -> tuple[str, str]:
    """ONNX Runtime's words without its own places, and what to do."""
    last = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", reason.strip().splitlines()[0])
    last = re.sub(r"/onnxruntime_src\S* .*?\) ", "", last)
    return (
        f"ONNX Runtime {runtime.VERSION} can't open it: {shorten(last, 160)}",
        "check that it runs there at all, and export it again",
    )


def refused(err: runtime.RuntimeRefusal) -> str:
    """What ONNX Runtime says of a run, short."""
    return _why(str(err))[0].partition("it: ")[2]
