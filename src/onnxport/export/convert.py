"""An estimator and the columns of its X into one ONNX graph with the project's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from onnxport.errors import ExportError
from onnxport.export.emitters import emit
from onnxport.export.graph import Column, Columns, Graph
from onnxport.export.origin import Origin
from onnxport.export.registry import Classified, Emission, Valued
from onnxport.export.sample import SampleColumn
from onnxport.export.subject import Subject
from onnxport.signature import Output, Tensor

NUMBERS = "num"
DECISION = "decision"
_CODE, _PROBA, _VALUE, _REFUSED = "code", "proba", "value", "refused"
_ELEMENT = {"FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING}


@dataclass(frozen=True)
class Conversion:
    """The graph, its tensors in the project's terms, and what the parity gate must know of it.

    places: (tensor, column) of each used feature, by name. judged: the graph with its
    decision_function as one more output, for the gate, where it has one.
    """

    model: onnx.ModelProto
    judged: onnx.ModelProto | None
    tensors: tuple[Tensor, ...]
    outputs: tuple[Output, ...]
    places: dict[str, tuple[str, int]]
    emission: Emission

    def tapped(self, doubles: Sequence[str], strings: Sequence[str]) -> tuple[bytes, list[str]]:
        """The graph with these inner tensors as its outputs, and the names under which it gives
        them.
        """
        graph, infos = self.emission.graph, []
        for tensors, element in ((doubles, TensorProto.DOUBLE), (strings, TensorProto.STRING)):
            for tensor in tensors:
                output = graph.rename(tensor, graph.name("tap"))
                infos.append(helper.make_tensor_value_info(output, element, ["N", None]))
        model = graph.build("onnxport", _inputs(self.tensors), infos)
        return model.SerializeToString(), [info.name for info in infos]


def convert(subject: Subject, columns: Sequence[SampleColumn], targets: int) -> Conversion:
    """Emits the whole estimator. Raises UnsupportedModel for a part that isn't known to convert
    exactly.

    targets: how many numbers a regressor answers a row.
    """
    emission = Emission(Graph())
    tensors, places = _layout(columns)
    if not tensors:
        raise ExportError("the estimator reads no column of X; there is nothing to ask it")
    result = emit(
        emission, subject.estimator, _raw_columns(emission.graph, columns, tensors, places)
    )
    outputs = _name_outputs(emission, subject, result, targets)
    inputs = _inputs(tensors)
    infos = [_value_info(output) for output in outputs]
    model = emission.graph.build("onnxport", inputs, infos)
    onnx.checker.check_model(model, full_check=True)
    judged = None
    if isinstance(result, Classified) and result.decision and subject.gives_decisions:
        emission.graph.rename(result.decision, DECISION)
        decision = helper.make_tensor_value_info(DECISION, TensorProto.DOUBLE, ["N", None])
        judged = emission.graph.build("onnxport", inputs, [*infos, decision])
    return Conversion(model, judged, tensors, outputs, places, emission)


def _inputs(tensors: Sequence[Tensor]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(t.name, _ELEMENT[t.datatype], ["N", t.width]) for t in tensors
    ]


def _layout(
    columns: Sequence[SampleColumn],
) -> tuple[tuple[Tensor, ...], dict[str, tuple[str, int]]]:
    """All numbers in one matrix, each string column in a tensor of its own."""
    numbers = [c.name for c in columns if c.used and not c.is_string]
    strings = [c.name for c in columns if c.used and c.is_string]
    places = {name: (NUMBERS, i) for i, name in enumerate(numbers)}
    places |= {name: (f"s{i}", 0) for i, name in enumerate(strings)}
    tensors = [Tensor(NUMBERS, "FP64", len(numbers))] if numbers else []
    tensors += [Tensor(f"s{i}", "BYTES", 1) for i in range(len(strings))]
    return tuple(tensors), places


def _raw_columns(
    graph: Graph,
    columns: Sequence[SampleColumn],
    tensors: Sequence[Tensor],
    places: dict[str, tuple[str, int]],
) -> Columns:
    """X as the first step sees it: float32 features are rounded as they were in training."""
    width = next((t.width for t in tensors if t.name == NUMBERS), 0)
    has_single = any(c.used and c.dtype == "float32" for c in columns)
    single = graph.rounded(NUMBERS) if has_single else NUMBERS
    items = []
    for column in columns:
        if not column.used:
            items.append(Column("", 0, 0, "number"))
        elif column.is_string:
            tensor, index = places[column.name]
            items.append(Column(tensor, index, 1, "string", "object", Origin(column.name)))
        else:
            tensor = single if column.dtype == "float32" else NUMBERS
            place = places[column.name][1]
            dtype = str(column.numpy_dtype)
            items.append(Column(tensor, place, width, "number", dtype, Origin(column.name)))
    return Columns(tuple(items))


def _name_outputs(
    emission: Emission, subject: Subject, result: object, targets: int
) -> tuple[Output, ...]:
    """The result's tensors under their public names."""
    graph = emission.graph
    outputs = []
    if isinstance(result, Classified):
        graph.rename(result.code, _CODE)
        outputs.append(Output(_CODE, "label_code"))
        if subject.gives_probabilities:
            if result.proba is None:
                raise ExportError("the estimator gives probabilities, and its conversion doesn't")
            graph.rename(result.proba, _PROBA)
            outputs.append(Output(_PROBA, "probabilities", len(subject.classes)))
    elif isinstance(result, Valued):
        graph.rename(result.value, _VALUE)
        outputs.append(Output(_VALUE, "value", targets))
    else:
        raise ExportError("the pipeline ends in a transformer; put a classifier or regressor there")
    if emission.refused:
        marks = emission.refused[0]
        for other in emission.refused[1:]:
            marks = graph.node("Or", marks, other)
        graph.rename(marks, _REFUSED)
        outputs.append(Output(_REFUSED, "refused", 1))
    return tuple(outputs)


def _value_info(output: Output) -> onnx.ValueInfoProto:
    kinds = {"label_code": TensorProto.INT64, "refused": TensorProto.BOOL}
    shape: list[str | int | None] = ["N"] if output.width is None else ["N", output.width]
    return helper.make_tensor_value_info(
        output.tensor, kinds.get(output.role, TensorProto.DOUBLE), shape
    )
