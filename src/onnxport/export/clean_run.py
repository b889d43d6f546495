"""Runs a graph in a clean process, which holds nothing but the standard library, numpy and
onnxruntime.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxport import runtime
from onnxport.errors import ExportError
from onnxport.tensors import Arrays

_TIMEOUT = 600


def run_clean(
    content: bytes, feeds: Sequence[Arrays], *, rows_per_run: int = runtime.ROWS_PER_RUN
) -> list[Arrays]:
    """Runs the graph in a clean process: `python -I`, with an import hook that keeps everything
    else out. rows_per_run: at most so many rows at once.
    """
    with tempfile.TemporaryDirectory(prefix="onnxport-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(content)
        listed = [_put(folder, index, arrays) for index, arrays in enumerate(feeds)]
        asked = {"feeds": listed, "rows_per_run": rows_per_run}
        (folder / "feeds.json").write_text(json.dumps(asked), "utf-8")
        command = [sys.executable, "-I", str(Path(runtime.__file__)), name]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, text=True)
        except subprocess.TimeoutExpired as err:
            raise ExportError(
                f"the parity gate's process took over {_TIMEOUT} s; save a smaller model"
            ) from err
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ExportError(
                f"ONNX Runtime {runtime.VERSION} can't run the converted graph: {last[0]}"
            )
        return [_take(folder / f"answers-{index}") for index in range(len(feeds))]


def _put(folder: Path, index: int, arrays: Arrays) -> dict[str, Any]:
    """Numbers as .npy files; strings as JSON, which keeps every character."""
    listed: dict[str, Any] = {}
    for nth, (name, array) in enumerate(arrays.items()):
        if array.dtype == object:
            listed[name] = {"values": array.ravel().tolist(), "shape": list(array.shape)}
        else:
            listed[name] = f"{index}-{nth}.npy"  # a tensor's own name may be no file's
            np.save(folder / listed[name], array)
    return listed


def _take(path: Path) -> Arrays:
    names = json.loads(path.with_suffix(".json").read_text("utf-8"))
    with np.load(path.with_suffix(".npz")) as stored:
        return {name: stored[str(place)] for place, name in enumerate(names)}
