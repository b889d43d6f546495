"""An ONNX graph as data: its ports, nodes with those of inner graphs, constants, who makes and reads
a tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
Dimension = int | str | None

# Operators that hand on the values that they were given, whatever the shape.
PASSING = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "CastLike"})


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph. form: "tensor", "sequence", "map", "optional", "sparse" or
    "none". element: a `TensorProto.DataType`. shape: None where the file doesn't say.
    """

    name: str
    form: str
    element: int
    shape: tuple[Dimension, ...] | None

    @property
    def is_text(self) -> bool:
        return self.element == TensorProto.STRING

    @property
    def is_float(self) -> bool:
        return self.element in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


_FORMS = {
    "tensor_type": "tensor",
    "sequence_type": "sequence",
    "map_type": "map",
    "optional_type": "optional",
    "sparse_tensor_type": "sparse",
}


def port(info: onnx.ValueInfoProto) -> Port:
    form = info.type.WhichOneof("value")
    if form != "tensor_type":
        return Port(info.name, _FORMS.get(form or "", "none"), 0, None)
    tensor = info.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(_dimension(d) for d in tensor.shape.dim)
    return Port(info.name, "tensor", tensor.elem_type, shape)


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> Dimension:
    if dimension.HasField("dim_value"):
        return int(dimension.dim_value) if dimension.dim_value >= 0 else None
    return dimension.dim_param or None


def inputs(model: onnx.ModelProto) -> list[Port]:
    """The inputs that a caller feeds: weights that are listed as inputs too (IR 3) are none."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [port(info) for info in model.graph.input if info.name not in weights]


def outputs(model: onnx.ModelProto) -> list[Port]:
    return [port(info) for info in model.graph.output]


def every_node(graph: onnx.GraphProto, depth: int = 0) -> Iterator[tuple[onnx.NodeProto, int]]:
    """All nodes, those of inner graphs too, each with its depth."""
    for node in graph.node:
        yield node, depth
        for inner in inner_graphs(node):
            yield from every_node(inner, depth + 1)


def every_graph(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from every_graph(inner)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def every_tensor(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All constant tensors of a model: weights and attributes, in inner graphs and functions too."""
    nodes = [node for node, _ in every_node(model.graph)]
    for graph in every_graph(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for function in model.functions:
        for node in function.node:
            nodes.append(node)
            for graph in inner_graphs(node):
                nodes += [inner for inner, _ in every_node(graph)]
                for each in every_graph(graph):
                    yield from each.initializer
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (*attribute.sparse_tensors, attribute.sparse_tensor):
                yield from (sparse.values, sparse.indices)


def reads(node: onnx.NodeProto) -> set[str]:
    """All tensors that a node reads, in its inner graphs too."""
    names = {name for name in node.input if name}
    for graph in inner_graphs(node):
        names |= {info.name for info in graph.output}
        for inner in graph.node:
            names |= reads(inner)
    return names


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.node for name in node.output if name}


def readers(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if tensor in reads(node)]


def constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """The values of weights and Constant nodes of the outermost graph, as far as they are small."""
    found = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if np.prod(tensor.dims, dtype=np.int64) <= 100_000
    }
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            for attribute in node.attribute:
                value = helper.get_attribute_value(attribute)
                if isinstance(value, onnx.TensorProto):
                    found[node.output[0]] = numpy_helper.to_array(value)
                elif not isinstance(value, onnx.SparseTensorProto):
                    found[node.output[0]] = np.asarray(value)
    return found


def sizes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The shapes of all weights and Constant nodes of the outermost graph."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return shapes | {name: value.shape for name, value in constants(graph).items()}


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def texts(values: Iterable[bytes | str]) -> list[str]:
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]


def origin(
    graph: onnx.GraphProto, tensor: str, made: dict[str, onnx.NodeProto] | None = None
) -> str:
    """The tensor that this one's values come from unchanged, or itself."""
    made = producers(graph) if made is None else made
    while tensor in made and made[tensor].op_type in PASSING:
        tensor = made[tensor].input[0]
    return tensor


def opset(model: onnx.ModelProto, domain: str = "") -> int:
    """The version of an operator set that the model imports, 0 for none."""
    same = ("", "ai.onnx") if domain in ("", "ai.onnx") else (domain,)
    return max((o.version for o in model.opset_import if o.domain in same), default=0)


def free_name(model: onnx.ModelProto, hint: str) -> str:
    """A tensor name that nothing in the model has."""
    taken = {
        i.name for g in every_graph(model.graph) for i in (*g.input, *g.output, *g.initializer)
    }
    taken |= {name for node, _ in every_node(model.graph) for name in (*node.input, *node.output)}
    count = 0
    name = hint
    while name in taken:
        count += 1
        name = f"{hint}_{count}"
    return name


def add_constant(model: onnx.ModelProto, hint: str, value: Array) -> str:
    name = free_name(model, hint)
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def add_node(
    model: onnx.ModelProto, op: str, *read: str, output: str = "", domain: str = "", **options: Any
) -> str:
    """Appends a node with one output, and returns the output's name."""
    name = output or free_name(model, f"onnxport_{op.lower()}")
    model.graph.node.append(helper.make_node(op, list(read), [name], domain=domain, **options))
    return name
