"""The only importer of onnxruntime: opens a graph from bytes and runs it in slices of rows.

Imports nothing of onnxport, because the parity gate also runs this file as a program of its own, in
a process that holds nothing but the standard library, numpy and onnxruntime: `python -I runtime.py
FOLDER` answers `FOLDER/feeds.json` and `FOLDER/*.npy` with `FOLDER/model.onnx` and leaves the
outputs beside them.
"""

from __future__ import annotations

import os
import sys

# Before onnxruntime is imported, everywhere.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if __name__ == "__main__":

    class _OnlyTheRuntime:
        """An import hook: what isn't of the standard library, numpy or onnxruntime can't be
        imported.
        """

        allowed = frozenset({"numpy", "onnxruntime"})

        def find_spec(self, name: str, *_: object) -> None:
            top = name.partition(".")[0]
            if top not in self.allowed and top not in sys.stdlib_module_names:
                raise ModuleNotFoundError(f"{top} is kept out of the parity gate's process")

    sys.meta_path.insert(0, _OnlyTheRuntime())

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Arrays = dict[str, np.ndarray[Any, Any]]

ROWS_PER_RUN = 4096
# Rows times the longest string among them: a graph that splits strings pads every row to the longest.
CHARACTERS_PER_RUN = 2**22
VERSION: str = onnxruntime.__version__
# Releases that gave wrong labels for correct tree files.
DENIED = ("1.26.", "1.27.")


class RuntimeRefusal(Exception):
    """ONNX Runtime can't open the graph, or failed on a run; the message is its own, for logs only."""


class Graph:
    """An open graph. `inputs` and `outputs` map tensor names to ONNX Runtime's type strings."""

    def __init__(
        self, content: bytes, *, threads: int = 1, rows_per_run: int = ROWS_PER_RUN
    ) -> None:
        self._rows_per_run = rows_per_run
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:  # ONNX Runtime's errors share no base below Exception
            raise RuntimeRefusal(str(err)) from err
        self.inputs = {i.name: i.type for i in self._session.get_inputs()}
        self.outputs = {o.name: o.type for o in self._session.get_outputs()}
        self._names = list(self.outputs)
        # What InferenceSession.run calls when it has looked at its arguments, which takes as long as a small graph.
        self._call = getattr(self._session, "_sess", self._session).run
        self._takes_strings = "tensor(string)" in self.inputs.values()

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Answers tensors [N, ...]; at most `rows_per_run` rows at once, so that memory stays
        bounded.
        """
        if not self._takes_strings and len(next(iter(feeds.values()))) <= self._rows_per_run:
            return self._run(feeds)
        slices = list(_slices(feeds, self._rows_per_run))
        if len(slices) == 1:
            return self._run(feeds)
        parts = [self._run({name: value[part] for name, value in feeds.items()}) for part in slices]
        try:
            return {name: np.concatenate([part[name] for part in parts]) for name in self._names}
        except ValueError as err:
            raise RuntimeRefusal(f"answers of different sizes: {err}") from err

    def _run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        try:
            values = self._call(self._names, feeds, None)
        except Exception as err:  # see above
            raise RuntimeRefusal(str(err)) from err
        return dict(zip(self._names, values, strict=True))


def _slices(feeds: Mapping[str, np.ndarray[Any, Any]], most: int) -> Iterator[slice]:
    """Slices of at most so many rows, and fewer where strings are long; one at least."""
    rows = len(next(iter(feeds.values())))
    strings = [
        [max(map(len, texts)) for texts in value.reshape(rows, -1).tolist()]
        for value in feeds.values()
        if value.dtype == object and rows
    ]
    lengths = list(map(max, zip(*strings, strict=True)))
    if max(lengths, default=0) * min(rows, most) <= CHARACTERS_PER_RUN:
        yield from (slice(at, at + most) for at in range(0, max(rows, 1), most))
        return
    start, longest = 0, 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        count = row - start + 1
        if row > start and (count > most or count * longest > CHARACTERS_PER_RUN):
            yield slice(start, row)
            start, longest = row, length
    yield slice(start, rows)


def _main(folder: Path) -> None:
    """Answers every set of rows in the folder: strings come as JSON, numbers as .npy."""
    asked = json.loads((folder / "feeds.json").read_text("utf-8"))
    graph = Graph((folder / "model.onnx").read_bytes(), rows_per_run=asked["rows_per_run"])
    for index, feeds in enumerate(asked["feeds"]):
        arrays: Arrays = {
            name: np.load(folder / value)
            if isinstance(value, str)
            else np.array([*value["values"], None], dtype=object)[:-1].reshape(value["shape"])
            for name, value in feeds.items()
        }
        answers = {
            name: value.astype(np.str_) if value.dtype == object else value
            for name, value in graph.run(arrays).items()
        }
        # By number, as savez has parameters of its own, and an output may have any name.
        numbered = {str(place): value for place, value in enumerate(answers.values())}
        np.savez(folder / f"answers-{index}.npz", **numbered)  # type: ignore[arg-type]
        (folder / f"answers-{index}.json").write_text(json.dumps(list(answers)), "utf-8")
    (folder / "version").write_text(VERSION)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
