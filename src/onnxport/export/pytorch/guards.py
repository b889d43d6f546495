"""Nodes that make the runtime fail where the module refuses, so that a graph never answers what torch doesn't.

These are sizes out of range, sizes that must be equal, ids that one place of a tensor takes and another doesn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxport.export.pytorch.limits import Limits
from onnxport.export.pytorch.sizes import Sizes
from onnxport.tensors import Array

_PREFIX = "guard/"


def add_guards(
    model: onnx.ModelProto, inputs: Sequence[str], sizes: Sizes, limits: Sequence[Limits | None]
) -> onnx.ModelProto:
    """The graph, which fails for what the module refuses. inputs: the names of the graph's inputs."""
    guard = _Guard(model, inputs)
    for symbol, (low, high) in sizes.limits.items():
        (first, axis), *others = sizes.places(symbol)
        found = guard.size(first, axis)
        if low > 1:
            guard.need("GreaterOrEqual", found, guard.number(low))
        if high is not None:
            guard.need("LessOrEqual", found, guard.number(high))
        for index, place in others:
            guard.need("Equal", found, guard.size(index, place))
        for index, place, factor, more in sizes.derived(symbol):
            wanted = guard.sum(guard.product(found, factor), more)
            guard.need("Equal", wanted, guard.size(index, place))
    for name, each in zip(inputs, limits, strict=True):
        if each is not None and not each.alike:
            wide = guard.cast(name)
            guard.need("GreaterOrEqual", wide, guard.constant(each.low))
            guard.need("LessOrEqual", wide, guard.constant(each.high))
    return guard.placed()


class _Guard:
    """Collects conditions, then puts them in front of the first input."""

    def __init__(self, model: onnx.ModelProto, inputs: Sequence[str]) -> None:
        self._model, self._inputs = model, inputs
        self._nodes: list[onnx.NodeProto] = []
        self._met: list[str] = []
        self._count = 0

    def size(self, index: int, axis: int) -> str:
        """The size of a dimension, int64 [1]."""
        return self._add("Shape", [self._inputs[index]], start=axis, end=axis + 1)

    def cast(self, name: str) -> str:
        return self._add("Cast", [name], to=onnx.TensorProto.INT64)

    def number(self, value: int) -> str:
        return self.constant(np.array([value], dtype=np.int64))

    def constant(self, value: Array) -> str:
        name = self._name()
        self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def product(self, name: str, factor: int) -> str:
        return self._add("Mul", [name, self.number(factor)])

    def sum(self, name: str, more: int) -> str:
        return self._add("Add", [name, self.number(more)])

    def need(self, operator: str, left: str, right: str) -> None:
        met = self._add(operator, [left, right])
        self._met.append(self._add("Cast", [met], to=onnx.TensorProto.INT64))

    def placed(self) -> onnx.ModelProto:
        """The first input goes through a Reshape to its own shape, which can't be computed where a
        condition isn't met: index 1 of a list of one.
        """
        if not self._met:
            return self._model
        one = self._add("ReduceMin", [self._met[0]], keepdims=0)
        for met in self._met[1:]:
            one = self._add("Mul", [one, self._add("ReduceMin", [met], keepdims=0)])
        broken = self._add("Sub", [self.constant(np.array(1, dtype=np.int64)), one])
        nothing = self._add("Gather", [self.number(0), broken])
        first = self._inputs[0]
        shape = self._add("Add", [self._add("Shape", [first]), nothing])
        passed = self._add("Reshape", [first, shape], allowzero=1)
        graph = self._model.graph
        rest = list(graph.node)
        for node in rest:
            for place, name in enumerate(node.input):
                if name == first:
                    node.input[place] = passed
        del graph.node[:]
        graph.node.extend([*self._nodes, *rest])
        return self._model

    def _add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = self._name()
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def _name(self) -> str:
        self._count += 1
        return f"{_PREFIX}{self._count}"
