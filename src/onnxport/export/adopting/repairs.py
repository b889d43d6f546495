"""The repairs of an ONNX file that change no answer, each with the sentence that says so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper

from onnxport.errors import shorten
from onnxport.export.adopting import versions
from onnxport.export.adopting.findings import Finding, listed, refusal
from onnxport.export.adopting.sequences import View, make_tensors
from onnxport.export.adopting.structure import (
    Array,
    add_constant,
    add_node,
    every_graph,
    every_node,
    free_name,
    inputs,
    opset,
    reads,
)

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Feed:
    """How an input of the original is fed from one of the repaired graph: flat: [N] from [N, 1]."""

    input: str
    flat: bool = False

    def of(self, array: Array) -> Array:
        return array.reshape(len(array)) if self.flat else array


@dataclass
class Repaired:
    """A graph on its way: feeds and views tell how its inputs and outputs stand to the original's,
    findings what came up when it was tried."""

    model: onnx.ModelProto
    feeds: dict[str, Feed] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    fresh = onnx.ModelProto()
    fresh.CopyFrom(model)
    return fresh


def select(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with these outputs alone, in this order, and what they need. Raises NotAdoptable."""
    if not names:
        return model
    by_name = {info.name: info for info in model.graph.output}
    for name in names:
        if name not in by_name:
            what = f"there is no output {shorten(repr(name))}"
            raise refusal("output", "", what, f"the outputs are {listed(by_name, 10)}")
    chosen = copy(model)
    del chosen.graph.output[:]
    chosen.graph.output.extend(by_name[name] for name in dict.fromkeys(names))
    prune(chosen)
    return chosen


def prune(model: onnx.ModelProto) -> None:
    """Drops what no output needs: nodes, weights, and inputs that nothing reads. In place."""
    graph = model.graph
    needed = {info.name for info in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed |= reads(node)
            kept.append(node)
    fresh = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(fresh)
    for part in (graph.initializer, graph.input):
        unused = [each for each in part if each.name not in needed]
        for each in unused:
            part.remove(each)


def repair(original: onnx.ModelProto) -> Repaired:
    """All repairs but those of the batch and of the operator set, on a copy; the doctor tells of them."""
    model = copy(original)
    made = Repaired(model)
    if model.functions:
        model = made.model = onnx.inliner.inline_local_functions(model)
    versions.tidy(model)
    _drop_weights(model)
    if model.ir_version != versions.TARGET_IR:
        versions.lower_ir(model)
    if opset(model) < versions.OLDEST:
        changed = versions.raised(model)
        model = made.model = model if changed is None else changed.model
    made.views = make_tensors(model)
    repair_locales(model)
    made.feeds = _plain_inputs(model)
    _sort(model)
    return made


def _drop_weights(model: onnx.ModelProto) -> None:
    """Takes weights out of the list of inputs, where IR 3 put them (docs/IR.md)."""
    fed = {each.name for each in inputs(model)}
    weights = [info for info in model.graph.input if info.name not in fed]
    for info in weights:
        model.graph.input.remove(info)


def repair_locales(model: onnx.ModelProto) -> None:
    """StringNormalizer under C.UTF-8, which exists everywhere; in place."""
    for node, _ in every_node(model.graph):
        if node.op_type == "StringNormalizer":
            locale = next((a for a in node.attribute if a.name == "locale"), None)
            if locale is None:
                node.attribute.append(helper.make_attribute("locale", "C.UTF-8"))
            else:
                locale.s = b"C.UTF-8"


def _plain_inputs(model: onnx.ModelProto) -> dict[str, Feed]:
    """Inputs [N] become [N, 1], and names that no file could carry become safe ones; in place."""
    feeds = {}
    for index, each in enumerate(inputs(model)):
        flat = each.shape is not None and len(each.shape) == 1
        if not flat and _SAFE.fullmatch(each.name):
            feeds[each.name] = Feed(each.name)
            continue
        info = next(info for info in model.graph.input if info.name == each.name)
        hint = each.name if _SAFE.fullmatch(each.name) else f"input_{index}"
        name = free_name(model, f"{hint}_column" if flat else f"{hint}_")
        if flat:
            shape = add_constant(model, "onnxport_shape", np.array([-1]))
            add_node(model, "Reshape", name, shape, output=each.name)
            dimension = info.type.tensor_type.shape.dim.add()
            dimension.dim_value = 1
        else:
            add_node(model, "Identity", name, output=each.name)
        info.name = name
        feeds[name] = Feed(each.name, flat)
    return feeds


def _sort(model: onnx.ModelProto) -> None:
    """Nodes in an order in which each comes after what it reads (appended ones came last)."""
    graph = model.graph
    known = {i.name for i in (*graph.input, *graph.initializer)} | {""}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    made = {name for node in graph.node for name in node.output}
    waiting = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    ordered: list[onnx.NodeProto] = []
    while waiting:
        later = []
        for node in waiting:
            if (reads(node) & made) - known:
                later.append(node)
            else:
                ordered.append(node)
                known.update(node.output)
        if len(later) == len(waiting):
            ordered += later  # a cycle, which the runtime refuses in its own words
            break
        waiting = later
    del graph.node[:]
    graph.node.extend(ordered)


def sort(model: onnx.ModelProto) -> None:
    _sort(model)


def describe_outputs(
    model: onnx.ModelProto, described: Mapping[str, tuple[int, Sequence[int | str | None]]]
) -> None:
    """Writes the outputs' element types and shapes, in place, and drops what was noted of tensors
    between.
    """
    fresh = [
        helper.make_tensor_value_info(info.name, *described[info.name])
        for info in model.graph.output
    ]
    del model.graph.output[:]
    model.graph.output.extend(fresh)
    for graph in every_graph(model.graph):
        del graph.value_info[:]


def default_opset(model: onnx.ModelProto) -> int:
    return opset(model) or versions.TARGET_OPSET


def element_of(runtime_type: str) -> int:
    """ONNX Runtime's name of a tensor type as a `TensorProto.DataType`."""
    name = runtime_type.removeprefix("tensor(").removesuffix(")")
    known = {"float": "FLOAT", "double": "DOUBLE", "string": "STRING", "bool": "BOOL"}
    return int(TensorProto.DataType.Value(known.get(name, name.upper())))
