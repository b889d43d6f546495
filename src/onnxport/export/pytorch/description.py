"""What the manifest tells of a module: its inputs and outputs, the choices that were made, where it came from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any

import numpy as np
import onnx
import torch

from onnxport.errors import ExportError, shorten
from onnxport.export import document
from onnxport.export.pytorch.behaviour import example_rows
from onnxport.export.pytorch.graph import IR_VERSION
from onnxport.export.pytorch.made import Made, row_shape
from onnxport.export.pytorch.module import Scaling
from onnxport.export.pytorch.rounding import BAR
from onnxport.export.pytorch.scores import CODE, PROBABILITIES, Scores
from onnxport.export.tensor_saving import rows_per_run
from onnxport.signature import Dimension, Feature, Label, Output, Tensor
from onnxport.tensors import Arrays

RUNTIMES = ">=1.21.1,!=1.26.*,!=1.27.*"

Oracle = Callable[[Arrays], Arrays]


def describe_tensors(made: Made) -> list[Tensor]:
    return [
        Tensor(tensor, each.datatype, each.sizes)
        for tensor, each in zip(made.tensors, made.examples.inputs, strict=True)
    ]


def describe_inputs(made: Made, notes: Mapping[str, Mapping[str, str]]) -> list[Feature]:
    """One feature an input, with the integers that it takes and the caller's notes."""
    found = []
    for index, each in enumerate(made.examples.inputs):
        limits, note = made.limits[index], notes.get(each.name, {})
        dtype = made.examples.batches[0][index].dtype
        found.append(
            Feature(
                name=each.name,
                kind="tensor",
                dtype=each.datatype,
                tensor=made.tensors[index],
                shape=each.sizes,
                limits=None if limits is None else limits.within(dtype),
                unit=note.get("unit"),
                description=note.get("description"),
                dimensions=_dimensions(made, index),
            )
        )
    return found


def _dimensions(made: Made, index: int) -> tuple[Dimension | None, ...] | None:
    """What is known of an input's dynamic dimensions: those that torch knows as one size have one
    name, the first that the caller gave.
    """
    named = made.examples.inputs[index]
    if not named.symbols:
        return None
    found: list[Dimension | None] = []
    for axis, size in enumerate(named.sizes):
        symbol = str(made.sizes.dims[index][axis])
        if size is not None:
            found.append(None)
        elif symbol in made.sizes.limits:
            low, high = made.sizes.limits[symbol]
            first, place = made.sizes.places(symbol)[0]
            name = made.examples.inputs[first].symbols[place]
            found.append(Dimension(name, max(low, 1), high))
        else:
            found.append(Dimension(named.symbols[axis + 1]))
    return tuple(found)


def describe_outputs(made: Made, model: onnx.ModelProto, labels: Sequence[Label]) -> list[Output]:
    if labels:
        return [
            Output(CODE, "label_code"),
            Output(PROBABILITIES, "probabilities", len(labels)),
        ]
    return [
        Output(output.name, "tensor", shape=row_shape(output), datatype=datatype)
        for output, datatype in zip(model.graph.output, made.answers.datatypes, strict=True)
    ]


def choices(
    made: Made, scores: Scores | None, scalings: Sequence[Scaling | None], bar: float, left_out: int
) -> dict[str, Any]:
    """The manifest's metadata: what was decided about scores, preprocessing and rounding."""
    found: dict[str, Any] = {}
    if scores is not None:
        found["outputs"] = {"kind": scores.kind, "source": scores.source}
    declared = {
        each.name: {"scale": s.scale, "mean": list(s.mean), "std": list(s.std)}
        for each, s in zip(made.examples.inputs, scalings, strict=True)
        if s is not None
    }
    if declared:
        found["preprocessing"] = declared
    if bar > BAR or left_out:
        found["rounding"] = {"tolerance": bar, "rows_left_out": left_out}
    return found


def describe_needs(made: Made, model: onnx.ModelProto, oracle: Oracle) -> document.Needs:
    row = made.by_tensor([array[:1] for array in example_rows(made.examples)])
    opset = {entry.domain: entry.version for entry in model.opset_import}
    return document.Needs(IR_VERSION, opset, RUNTIMES, rows_per_run(row, oracle(row)))


def describe_source(module: Any) -> dict[str, Any]:
    weights = hashlib.sha256()
    for name, weight in module.state_dict().items():
        weights.update(name.encode())
        if isinstance(weight, torch.Tensor):
            weights.update(weight.detach().cpu().numpy().tobytes())
    return {
        "library": "torch",
        "class": type(module).__name__,
        "versions": {
            "torch": torch.__version__,
            "onnxscript": version_of("onnxscript"),
            "onnx": onnx.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "exporter": f"onnxport {version_of('onnxport')}",
        "params_sha256": weights.hexdigest(),
    }


def describe_training(
    made: Made, labels: Sequence[Label], oracle: Oracle, y: Any
) -> dict[str, Any]:
    """The digest of the first example, and how often its labels are right."""
    batch = list(made.examples.batches[0])
    digest = hashlib.sha256()
    for name, array in zip(made.examples.names, batch, strict=True):
        digest.update(name.encode() + array.tobytes())
    found = {"rows": len(batch[0]), "data_sha256": digest.hexdigest()}
    if y is None:
        return found
    values = check_targets(y, len(batch[0]), labels)
    codes = oracle(made.by_tensor(batch))[CODE].tolist()
    by_label = all(value in labels for value in values)
    said = [labels[code] for code in codes] if by_label else codes
    right = [a == b for a, b in zip(said, values, strict=True)]
    return found | {"metrics": {"accuracy": float(np.mean(right))}}


def check_targets(y: Any, rows: int, labels: Sequence[Label]) -> list[Any]:
    """y as plain values. Raises ExportError where it fits neither X nor labels=."""
    if not labels:
        raise ExportError("y= tells how often labels are right; pass labels= too, or no y")
    given = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    if given.shape not in ((rows,), (rows, 1)):
        raise ExportError(f"y has the shape {given.shape}, and X has {rows} rows")
    values: list[Any] = given.ravel().tolist()
    if not any(value in labels or value in range(len(labels)) for value in values):
        raise ExportError(
            f"y holds {shorten(repr(values[0]))}, which is neither a label nor a column's number"
        )
    return values
