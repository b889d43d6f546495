"""A module's graph with all that is known of it: named, guarded against what the module refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxport.export.pytorch.behaviour import (
    Answers,
    check_rows_apart,
    check_steady,
    double_precision,
    example_rows,
    read_answers,
)
from onnxport.export.pytorch.examples import Examples
from onnxport.export.pytorch.graph import Captured, capture, named
from onnxport.export.pytorch.guards import add_guards
from onnxport.export.pytorch.limits import Limits, integer_limits
from onnxport.export.pytorch.module import Flat, Refused, unsupported
from onnxport.export.pytorch.rounding import Rounding
from onnxport.export.pytorch.rows import Draw, Rows
from onnxport.export.pytorch.scores import CODE, PROBABILITIES, Scores, labelled
from onnxport.export.pytorch.sizes import Sizes, find_sizes
from onnxport.tensors import Array, Arrays

_BATCHES = (5, 7, 11, 13, 3, 17, 19, 23, 29, 31)
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")


@dataclass(frozen=True)
class Made:
    """tensors: the names of the graph's inputs. limits: of each input of integers."""

    answers: Answers
    examples: Examples
    tensors: tuple[str, ...]
    sizes: Sizes
    limits: tuple[Limits | None, ...]
    model: onnx.ModelProto
    rounding: Rounding

    @property
    def draw(self) -> Draw:
        return Draw(self.examples, self.limits, self.sizes)

    def by_tensor(self, rows: Rows) -> Arrays:
        return dict(zip(self.tensors, rows, strict=True))

    def oracle(self, scores: Scores | None) -> Callable[[Arrays], Arrays]:
        """What the module answers, by the names of the graph's outputs. It raises Refused."""

        def ask(arrays: Arrays) -> Arrays:
            found = self.answers.named([arrays[name] for name in self.tensors])
            if scores is None:
                return found
            (values,) = found.values()
            return labelled(scores, values)

        return ask


def make(flat: Flat, examples: Examples) -> Made:
    """Raises UnsupportedModel for a module that no graph can stand for."""
    answers = read_answers(flat, examples)
    rows = example_rows(examples)
    check_steady(answers, rows)
    exact = double_precision(answers, rows)
    check_rows_apart(answers, exact, rows)
    batch = _telling(flat, examples)
    captured = capture(flat, examples, _distinct(batch))
    _check_dynamic(flat, examples, captured)
    sizes = find_sizes(captured, batch, lambda shapes: _answers_shapes(answers, examples, shapes))
    limits = tuple(_limits(flat, rows, index) for index in range(len(rows)))
    tensors = _tensor_names(examples.names, answers.names)
    model = add_guards(_named(captured, answers, examples, tensors), tensors, sizes, limits)
    return Made(answers, examples, tensors, sizes, limits, model, Rounding(answers, exact))


def _telling(flat: Flat, examples: Examples) -> Rows:
    """The example with the longest dynamic dimensions: torch.export takes 1 for a constant."""

    def shortest(batch: Sequence[Array]) -> tuple[int, str, int]:
        sizes = [
            (array.shape[axis], each.name, axis)
            for each, array in zip(examples.inputs, batch, strict=True)
            for axis in each.symbols
        ]
        return min(sizes, default=(2, "", 0))

    batch = max(examples.batches, key=lambda one: shortest(one)[0])
    size, name, axis = shortest(batch)
    if size < 2:
        raise unsupported(
            flat.module,
            f"dimension {axis} of {name!r} is dynamic, and {size} in the example, which torch.export "
            "takes for a constant",
            "Pass an example in which it is 2 or more.",
            "dynamic_axes",
        )
    return list(batch)


def _distinct(batch: Rows) -> Rows:
    """More than one row, and as many as no other dimension has."""
    taken = {size for array in batch for size in array.shape[1:]}
    rows = next((size for size in _BATCHES if size not in taken), 37)
    places = np.arange(rows) % len(batch[0])
    return [array[places] for array in batch]


def _check_dynamic(flat: Flat, examples: Examples, captured: Captured) -> None:
    for each, row in zip(examples.inputs, captured.sizes, strict=True):
        for axis, (wanted, size) in enumerate(zip(each.sizes, row, strict=True)):
            if wanted is None and isinstance(size, int):
                raise unsupported(
                    flat.module,
                    f"its graph fixes dimension {axis + 1} of {each.name!r} at {size}",
                    "Leave it out of dynamic_axes=, or pass an example in which it is 2 or more.",
                    "dynamic_axes",
                )


def _answers_shapes(
    answers: Answers, examples: Examples, shapes: Sequence[tuple[int, ...]]
) -> bool:
    """Whether the module answers rows of these shapes, of values that it has seen."""
    rows = [
        np.resize(array[:2], (2, *shape))
        for array, shape in zip(examples.batches[0], shapes, strict=True)
    ]
    try:
        answers.ask(rows)
    except Refused:
        return False
    return True


def _limits(flat: Flat, rows: Rows, index: int) -> Limits | None:
    if rows[index].dtype.kind not in "iu":
        return None
    lengths = sorted({size for weight in flat.module.parameters() for size in weight.shape})
    return integer_limits(flat, [array[:2] for array in rows], index, lengths)


def _tensor_names(names: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """Names of the graph's inputs: those of the features, in safe characters, and no output's."""
    found: list[str] = []
    for name in names:
        safe = _UNSAFE.sub("_", name)[:64] or "input"
        while safe in found or safe in taken or safe in (CODE, PROBABILITIES):
            safe += "_in"
        found.append(safe)
    return tuple(found)


def _named(
    captured: Captured, answers: Answers, examples: Examples, tensors: Sequence[str]
) -> onnx.ModelProto:
    dims = [
        [
            size if isinstance(size, int) else each.symbols.get(axis + 1)
            for axis, size in enumerate(row)
        ]
        for each, row in zip(examples.inputs, captured.sizes, strict=True)
    ]
    model = named(captured, tensors, answers.names, dims)
    return _unsqueezed(answers, model) if answers.squeezed else model


def _unsqueezed(answers: Answers, model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph, which keeps the batch where the module squeezes it away."""
    graph = model.graph
    for output in graph.output:
        shape = row_shape(output)
        if None in shape:
            raise unsupported(
                answers.flat.module,
                f"its output {output.name!r} loses the batch where that is one row, by squeeze()",
                "Say which dimension to squeeze, such as squeeze(-1).",
            )
        last = next(node for node in graph.node if output.name in node.output)
        inner = f"{output.name}/squeezed"
        last.output[list(last.output).index(output.name)] = inner
        sizes = numpy_helper.from_array(np.array([-1, *shape], dtype=np.int64), f"{inner}/shape")
        graph.initializer.append(sizes)
        graph.node.append(helper.make_node("Reshape", [inner, sizes.name], [output.name]))
    return model


def row_shape(output: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """The shape of one row of a graph's output, None for a dynamic dimension."""
    return tuple(d.dim_value or None for d in output.type.tensor_type.shape.dim[1:])
