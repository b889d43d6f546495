"""A model of whole tensors for the fault tests, made as a user makes one: an ONNX graph, adopted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import onnxport
from tests.faults.oracle import FLOAT32_END

Shapes = dict[str, list[str | int]]


def grid(folder: Path) -> Path:
    """Takes `grid` of [3, 4] and `steps` of [time, 2], and answers the sum of all numbers, in float32."""
    nodes = [
        helper.make_node("ReduceSum", ["grid", "axes"], ["a"], keepdims=0),
        helper.make_node("ReduceSum", ["steps", "axes"], ["b"], keepdims=0),
        helper.make_node("Add", ["a", "b"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes,
        "grid",
        _described({"grid": ["n", 3, 4], "steps": ["n", "time", 2]}),
        _described({"sum": ["n"]}),
        [numpy_helper.from_array(np.array([1, 2]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    raw, path = folder / "raw.onnx", folder / "grid.onnx"
    raw.write_bytes(model.SerializeToString())
    onnxport.adopt(raw, path, name="grid")
    return path


def _described(shapes: Shapes) -> list[Any]:
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]


def total(grid: Any, steps: Any) -> float | None:
    """The answer to a row, None where it must be refused."""
    if not isinstance(steps, list) or not steps:
        return None
    numbers = [*_numbers(grid, [3, 4]), *_numbers(steps, [len(steps), 2])]
    return float(np.array(numbers, dtype=np.float32).sum()) if None not in numbers else None


def _numbers(value: Any, shape: list[int]) -> list[float | None]:
    """All numbers of nested lists of a shape, with None in the place of whatever is none."""
    if not shape:
        fits = type(value) in (int, float) and abs(value) < FLOAT32_END
        return [value if fits and (type(value) is float or abs(value) <= 2**53) else None]
    if not isinstance(value, list) or len(value) != shape[0]:
        return [None]
    return [number for part in value for number in _numbers(part, shape[1:])]
