"""An estimator and the columns of its X into one ONNX graph with the project's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxport.errors import ExportError, UnsupportedModel
from onnxport.export.emitters import emit
from onnxport.export.graph import Column, Columns, Graph
from onnxport.export.origin import Origin
from onnxport.export.registry import Classified, Emission, Emitted, Flagged, Several, Valued
from onnxport.export.sample import SampleColumn
from onnxport.export.subject import Subject
from onnxport.export.tasks import last_of
from onnxport.signature import Output, Role, Tensor

NUMBERS = "num"
DECISION = "decision"
_MAX_COLUMNS = 20_000
_NAMES: dict[Role, str] = {
    "label_code": "code",
    "probabilities": "proba",
    "score": "score",
    "value": "value",
    "output": "output",
    "refused": "refused",
}
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

    @property
    def texts(self) -> set[str]:
        """The features that are read as text."""
        return {text.feature for text in self.emission.texts}

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
    emission.sample = {column.name: column.values for column in columns if column.used}
    emission.strings = {place[0]: name for name, place in places.items() if place[0] != NUMBERS}
    if not tensors:
        raise ExportError("the estimator reads no column of X; there is nothing to ask it")
    result = emit(
        emission, subject.estimator, _raw_columns(emission.graph, columns, tensors, places)
    )
    outputs = _name_outputs(emission, subject, result, targets)
    tensors, places = _with_texts(emission, tensors, places, outputs)
    inputs = _inputs(tensors)
    infos = [_value_info(output) for output in outputs]
    model = emission.graph.build("onnxport", inputs, infos)
    onnx.checker.check_model(model, full_check=True)
    judged = None
    decision = _decision(emission.graph, result) if subject.gives_decisions else None
    if decision:
        emission.graph.rename(decision, DECISION)
        decided = helper.make_tensor_value_info(DECISION, TensorProto.DOUBLE, ["N", None])
        judged = emission.graph.build("onnxport", inputs, [*infos, decided])
    return Conversion(model, judged, tensors, outputs, places, emission)


def _with_texts(
    emission: Emission,
    tensors: tuple[Tensor, ...],
    places: dict[str, tuple[str, int]],
    outputs: Sequence[Output],
) -> tuple[tuple[Tensor, ...], dict[str, tuple[str, int]]]:
    """The layout with the text tensors, and without a text's string tensor where nothing reads it."""
    read = emission.graph.needed(output.tensor for output in outputs)
    for dense in read & emission.graph.sparse.keys():
        emission.widen(2 * emission.graph.sparse[dense].size)
    texts = {text.feature for text in emission.texts}
    unread = {places[name][0] for name in texts} - read
    kept = [tensor for tensor in tensors if tensor.name not in unread]
    added = [Tensor(text.tensor, "BYTES", (1,)) for text in emission.texts]
    placed = {n: ("", 0) if place[0] in unread else place for n, place in places.items()}
    return (*kept, *added), placed


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
    tensors = [Tensor(NUMBERS, "FP64", (len(numbers),))] if numbers else []
    tensors += [Tensor(f"s{i}", "BYTES", (1,)) for i in range(len(strings))]
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
            item = Column(
                tensor, index, 1, "string", "object", Origin(column.name), null=column.null
            )
            items.append(replace(item, categories=column.categories))
        else:
            tensor = single if column.dtype == "float32" else NUMBERS
            place = places[column.name][1]
            dtype = str(column.numpy_dtype)
            origin = Origin(column.name)
            null = column.null if dtype == "object" else np.nan
            item = Column(tensor, place, width, "number", dtype, origin, null=null)
            items.append(replace(item, categories=column.categories))
    return Columns(tuple(items))


def _name_outputs(
    emission: Emission, subject: Subject, result: Emitted, targets: int
) -> tuple[Output, ...]:
    """The result's tensors under their public names."""
    graph = emission.graph
    found = _results(emission, subject, result, targets)
    refused = [*emission.refused, *emission.undecided]
    if refused:
        marks = refused[0]
        for other in refused[1:]:
            marks = graph.node("Or", marks, other)
        found.append((marks, "refused", 1))
    return tuple(
        Output(graph.rename(tensor, _NAMES[role]), role, width) for tensor, role, width in found
    )


_Result = tuple[str, Role, int | None]


def _results(emission: Emission, subject: Subject, result: Emitted, targets: int) -> list[_Result]:
    """Each tensor of the answer, its role, and its number of columns."""
    graph = emission.graph
    if isinstance(result, Several) and len(result.parts) == 1:
        result = result.parts[0]
    if isinstance(result, Valued):
        return [(result.value, "value", targets)]
    if isinstance(result, Columns):
        return [_transformed(emission, subject, result)]
    if isinstance(result, Flagged):
        return [(result.code, "label_code", None), (result.score, "score", 1)]
    classes = sum(len(each) for each in subject.classes)
    if isinstance(result, Several):
        columns = [graph.node("Unsqueeze", p.code, graph.integers([1])) for p in result.parts]
        code: _Result = (_side_by_side(graph, columns), "label_code", len(columns))
        proba = _joined(graph, [part.proba for part in result.parts])
    else:
        code, proba = (result.code, "label_code", None), result.proba
    if not subject.gives_probabilities:
        return [code]
    if proba is None:
        raise ExportError("the estimator gives probabilities, and its conversion doesn't")
    return [code, (proba, "probabilities", classes)]


def _transformed(emission: Emission, subject: Subject, columns: Columns) -> _Result:
    """What a transformer alone gives."""
    if columns.strings:
        raise UnsupportedModel(
            step="",
            estimator=type(last_of(subject.estimator)).__name__,
            reason="its output has string columns, and a transformer alone answers numbers",
            nearest="Put a OneHotEncoder or OrdinalEncoder for these columns behind it.",
        )
    if not len(columns):
        raise ExportError("the transformer gives no columns; there is nothing to answer")
    if len(columns) > _MAX_COLUMNS:
        raise ExportError(
            f"the transformer gives {len(columns):,} columns a row, too many for an answer in JSON; "
            f"at most {_MAX_COLUMNS:,}: keep fewer, for example with max_features= or TruncatedSVD"
        )
    if columns.exact:
        emission.exact_output = True
    return emission.graph.matrix(columns), "output", len(columns)


def _decision(graph: Graph, result: Emitted) -> str | None:
    """decision_function in the graph, [N, k], where it is known; of several targets side by side."""
    if isinstance(result, Classified):
        return result.decision
    if isinstance(result, Several):
        return _joined(graph, [part.decision for part in result.parts])
    return None


def _joined(graph: Graph, parts: Sequence[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return _side_by_side(graph, known) if len(known) == len(parts) else None


def _side_by_side(graph: Graph, tensors: Sequence[str]) -> str:
    return tensors[0] if len(tensors) == 1 else graph.node("Concat", *tensors, axis=1)


def _value_info(output: Output) -> onnx.ValueInfoProto:
    kinds = {"label_code": TensorProto.INT64, "refused": TensorProto.BOOL}
    shape: list[str | int | None] = ["N"] if output.width is None else ["N", output.width]
    return helper.make_tensor_value_info(
        output.tensor, kinds.get(output.role, TensorProto.DOUBLE), shape
    )
