"""From a PyTorch module to an ONNX graph: captured by torch.export, translated by torch.onnx, cleaned and named."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import onnx
import onnx.compose
import onnx.inliner
import torch
from onnx import helper

from onnxport.errors import ExportError, UnsupportedModel, shorten
from onnxport.export.pytorch.attention import (
    attention_written_out,
    masked_is_nan,
    masks_as_they_are,
)
from onnxport.export.pytorch.bags import bags_of_rows
from onnxport.export.pytorch.examples import Examples
from onnxport.export.pytorch.module import Flat, as_tensor, unsupported
from onnxport.export.pytorch.recurrent import recurrent_operators
from onnxport.export.sample_errors import library_says
from onnxport.tensors import Array

IR_VERSION = 10  # ONNX Runtime 1.21.1 and later read it
MAX_OPSET = 21
INNER = "torch/"  # before the names of everything inside
BATCH = "rows"


@dataclass(frozen=True)
class Captured:
    """A graph and what torch found out about the sizes of its inputs.

    sizes: of each input, one entry a dimension of a row: a number, or an expression of symbols.
    bounds: the smallest and the largest value of each symbol but the batch, None without end.
    """

    model: onnx.ModelProto
    sizes: tuple[tuple[Any, ...], ...]
    bounds: Mapping[str, tuple[int, int | None]]


def capture(flat: Flat, examples: Examples, batch: Sequence[Array]) -> Captured:
    """The module's graph: inputs and outputs in order, under names of torch's choice.

    batch: an example of two rows or more. Raises UnsupportedModel.
    """
    program = _program(flat, examples, batch)
    sizes, bounds = _sizes(flat, program)
    return Captured(_translated(flat, program), sizes, bounds)


def _program(flat: Flat, examples: Examples, batch: Sequence[Array]) -> Any:
    dynamic = torch.export.Dim.DYNAMIC
    axes = tuple(dict.fromkeys((0, *each.symbols), dynamic) for each in examples.inputs)
    written = attention_written_out(plain=masked_is_nan(flat, batch))
    try:
        with _silence(), _written_out(flat), written:
            return torch.export.export(
                flat, tuple(map(as_tensor, batch)), dynamic_shapes=(axes,), strict=False
            )
    except Exception as err:  # torch.export's errors, and whatever the module raises in tracing
        raise _told(flat.module, examples, err) from err


@contextmanager
def _written_out(flat: Flat) -> Iterator[None]:
    """Layers in the words that torch.export and torch.onnx take."""
    with recurrent_operators(flat), bags_of_rows(flat), masks_as_they_are():
        yield


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps away what torch prints, logs and warns of while it exports."""
    logger = logging.getLogger("torch")
    names = [name for name in logging.root.manager.loggerDict if name.startswith("torch")]
    loggers = [logger, *map(logging.getLogger, names)]
    before = [(each, each.level) for each in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for each in loggers:
            each.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for each, level in before:
                each.setLevel(level)


def _told(module: Any, examples: Examples, err: Exception) -> Any:
    """torch.export's many lines in one sentence."""
    said, kind = str(err), type(err).__name__
    code = _line_of_code(said)
    if "specialized it to be a constant" in said or "Constraints violated" in said:
        return _fixed_size(module, examples, said)
    if (
        "DataDependent" in kind
        or "data-dependent" in said.lower()
        or "Dynamic control flow" in said
    ):
        return unsupported(
            module,
            "its forward decides by the values of a tensor, and a graph takes one way for all rows"
            + code,
            "Use torch.where to choose between two answers, or torch.cond.",
        )
    return unsupported(
        module,
        f"torch.export can't follow its forward: {library_says(err)}{code}",
        "Keep forward to operations on tensors, and convert inputs before it.",
    )


def _line_of_code(said: str) -> str:
    """The line of the module's own code that torch names, as an addition to a sentence."""
    found = re.findall(r'File "[^"]*", line \d+, in \w+\n\s+(\S.*)', said)
    return f" (`{shorten(found[-1].strip(), 100)}`)" if found else ""


def _fixed_size(module: Any, examples: Examples, said: str) -> Any:
    place = re.search(r"\[(\d+)\]\.size\(\)\[(\d+)\]", said)
    index, axis = (int(place[1]), int(place[2])) if place else (0, 0)
    value = re.search(r"constant \((\d+)\)", said)
    fixed = f" at {value[1]}" if value and axis else ""
    name = examples.inputs[index].name
    if not axis:
        return unsupported(
            module,
            "its forward fixes the number of rows, so that it answers batches of one size only",
            "Take sizes from the input (x.shape[0], or -1 in reshape) instead of writing them down.",
        )
    return unsupported(
        module,
        f"its forward fixes dimension {axis} of {name!r}{fixed}, which was said to be dynamic",
        f"Take the size from the input ({name}.shape[{axis}]), or leave it out of dynamic_axes=.",
        "dynamic_axes",
    )


def _sizes(
    flat: Flat, program: Any
) -> tuple[tuple[tuple[Any, ...], ...], dict[str, tuple[int, int | None]]]:
    """The sizes of a row of each input, and the bounds of their symbols."""
    names = set(program.graph_signature.user_inputs)
    shapes = [
        tuple(_size(size) for size in node.meta["val"].shape)
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names
    ]
    ranges = {
        str(key): _range(value) for key, value in program.range_constraints.items() if key.is_Symbol
    }
    batches = {str(shape[0]) for shape in shapes}
    for batch in batches:
        low, high = ranges.get(batch, (0, None))
        if low > 2 or high is not None:
            told = f"from {low} to {high}" if high is not None else f"of {low} and more"
            raise unsupported(
                flat.module,
                f"its forward takes another way for batches that aren't {told} rows",
                "Let no branch depend on x.shape[0].",
            )
    return tuple(shape[1:] for shape in shapes), {
        key: (1 if low <= 2 else low, high)
        for key, (low, high) in ranges.items()
        if key not in batches
    }


def _size(size: Any) -> Any:
    """A number, or torch's symbolic expression (a sympy one)."""
    return size if isinstance(size, int) else size.node.expr


def _range(value: Any) -> tuple[int, int | None]:
    return int(value.lower), int(value.upper) if value.upper.is_Integer else None


def _translated(flat: Flat, program: Any) -> onnx.ModelProto:
    try:
        with _silence():
            made = torch.onnx.export(program, (), dynamo=True, verbose=False, external_data=False)
            model = made.model_proto
    except UnsupportedModel:
        raise
    except Exception as err:  # the exporter's errors share no base
        raise _untranslated(flat.module, err) from err
    return _clean(flat.module, model)


def _untranslated(module: Any, err: Exception) -> Any:
    found = re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", str(err))
    if found:
        return unsupported(
            module,
            f"ONNX has no translation of torch's operator {found[1].replace('.', '::')}",
            "Write this step with other operators, or do it before or after the model.",
        )
    lines = [line for line in str(err).splitlines() if line.startswith("<class")]
    said = re.sub(r"^<class '[^']*'>: ", "", lines[0]) if lines else library_says(err)
    return unsupported(
        module,
        f"torch.onnx can't translate it: {shorten(said, 200)}",
        "Write this step with other operators.",
    )


def _clean(module: Any, model: onnx.ModelProto) -> onnx.ModelProto:
    """Without functions, without the paths and lines of the caller's code, in known domains."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    for node in _nodes(model.graph):
        del node.metadata_props[:]
        node.doc_string = ""
        if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            raise unsupported(
                module,
                f"its operator {node.domain}::{node.op_type} belongs to no ONNX standard",
                "Write this step with torch's own operators.",
            )
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    used = {node.domain for node in _nodes(model.graph)} | {""}
    versions = {entry.domain: entry.version for entry in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(d, versions[d]) for d in sorted(used))
    if versions[""] > MAX_OPSET:
        raise ExportError(
            f"torch.onnx wrote opset {versions['']}, and model files have {MAX_OPSET} at most; "
            "install an older torch"
        )
    model.ir_version = IR_VERSION
    return model


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def named(
    captured: Captured, inputs: Sequence[str], outputs: Sequence[str], dims: Sequence[Sequence[Any]]
) -> onnx.ModelProto:
    """The graph with inputs and outputs under these names, and everything inside out of their way.

    dims: of each input, one a dimension of a row: its size or its name.
    """
    model = onnx.compose.add_prefix(captured.model, INNER)
    graph = model.graph
    given, made = list(graph.input), list(graph.output)
    into = [
        helper.make_node("Identity", [name], [old.name])
        for name, old in zip(inputs, given, strict=True)
    ]
    out = [
        helper.make_node("Identity", [old.name], [name])
        for name, old in zip(outputs, made, strict=True)
    ]
    nodes = [*into, *graph.node, *out]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    for name, old, sizes in zip(inputs, given, dims, strict=True):
        kind = old.type.tensor_type.elem_type
        graph.input.append(helper.make_tensor_value_info(name, kind, [BATCH, *sizes]))
    for name, old in zip(outputs, made, strict=True):
        kind = old.type.tensor_type
        shape = [d.dim_value or None for d in kind.shape.dim]
        graph.output.append(
            helper.make_tensor_value_info(name, kind.elem_type, [BATCH, *shape[1:]])
        )
    return model
