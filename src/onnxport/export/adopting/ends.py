"""The end of a classifier's graph: an int64 code a row and a matrix of probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxport.export.adopting import versions
from onnxport.export.adopting.labels import Classifier
from onnxport.export.adopting.repairs import copy, prune, sort
from onnxport.export.adopting.structure import (
    Array,
    Port,
    add_constant,
    add_node,
    free_name,
    opset,
    outputs,
)
from onnxport.signature import Output

Arrays = dict[str, Array]
ML = "ai.onnx.ml"


def with_ends(
    model: onnx.ModelProto, found: Classifier
) -> tuple[onnx.ModelProto, tuple[Output, ...]]:
    """A copy that answers a code, and probabilities where it has scores, and nothing else."""
    made = copy(model)
    ports = {each.name: each for each in outputs(made)}
    code, proba = free_name(made, "code"), free_name(made, "probabilities_")
    if opset(made, ML) < 2 and found.label is not None:
        _import_ml(made)
    if found.label is not None:
        _code_of_label(made, ports[found.label], found, code)
    given = [Output(code, "label_code")]
    infos = [helper.make_tensor_value_info(code, TensorProto.INT64, [None])]
    if found.scores is not None:
        kind = _probabilities(made, ports[found.scores], found, proba)
        given.append(Output(proba, "probabilities", len(found.own)))
        infos.append(helper.make_tensor_value_info(proba, kind, [None, len(found.own)]))
        if found.label is None:
            _code_of_scores(made, ports[found.scores], found, proba, code)
    del made.graph.output[:]
    made.graph.output.extend(infos)
    prune_nodes(made)
    sort(made)
    versions.tidy(made)
    return made, tuple(given)


def prune_nodes(model: onnx.ModelProto) -> None:
    """Drops nodes and weights that no output needs; inputs stay, as callers know them."""
    fed = [onnx.ValueInfoProto.FromString(i.SerializeToString()) for i in model.graph.input]
    prune(model)
    del model.graph.input[:]
    model.graph.input.extend(fed)


def _import_ml(model: onnx.ModelProto) -> None:
    """LabelEncoder of version 2 maps any type to any other; nothing else differs between 1 and 2."""
    for entry in model.opset_import:
        if entry.domain == ML:
            entry.version = max(entry.version, 2)
            return
    model.opset_import.append(helper.make_opsetid(ML, 2))


def _column(model: onnx.ModelProto, tensor: str, shape: list[int]) -> str:
    target = add_constant(model, "onnxport_shape", np.array(shape))
    return add_node(model, "Reshape", tensor, target)


def _code_of_label(model: onnx.ModelProto, port: Port, found: Classifier, code: str) -> None:
    """The label's place among the labels; one that isn't among them gets a code that no label has."""
    flat = _column(model, port.name, [-1])
    codes = list(range(len(found.own)))
    if port.is_text:
        keys: dict[str, Any] = {"keys_strings": [str(label) for label in found.own]}
    else:
        flat = add_node(model, "Cast", flat, to=TensorProto.INT64)
        keys = {"keys_int64s": [int(label) for label in found.own]}
    add_node(
        model,
        "LabelEncoder",
        flat,
        output=code,
        domain=ML,
        values_int64s=codes,
        default_int64=len(codes),
        **keys,
    )


def _code_of_scores(
    model: onnx.ModelProto, port: Port, found: Classifier, proba: str, code: str
) -> None:
    """The first of the largest scores; of one probability, whether it is over a half."""
    scores = proba if found.form == "second" else _matrix(model, port, found)
    if port.element == TensorProto.FLOAT16:
        scores = add_node(model, "Cast", scores, to=TensorProto.FLOAT)
    add_node(model, "ArgMax", scores, output=code, axis=1, keepdims=0)


def _matrix(model: onnx.ModelProto, port: Port, found: Classifier) -> str:
    if port.shape is not None and len(port.shape) == 2:
        return port.name
    return _column(model, port.name, [-1, 1 if found.form == "second" else len(found.own)])


def _probabilities(model: onnx.ModelProto, port: Port, found: Classifier, proba: str) -> int:
    """Writes the matrix [N, C], and returns its element type."""
    matrix = _matrix(model, port, found)
    if found.form == "probabilities":
        if port.element == TensorProto.FLOAT16:
            add_node(model, "Cast", matrix, output=proba, to=TensorProto.FLOAT)
            return TensorProto.FLOAT
        add_node(model, "Identity", matrix, output=proba)
        return port.element
    double = add_node(model, "Cast", matrix, to=TensorProto.DOUBLE)
    if found.form == "logits":
        add_node(model, "Softmax", double, output=proba, axis=1)
    else:
        one = add_constant(model, "onnxport_one", np.array([1.0]))
        other = add_node(model, "Sub", one, double)
        add_node(model, "Concat", other, double, output=proba, axis=1)
    return TensorProto.DOUBLE


def expected(answers: Mapping[str, Array], found: Classifier, given: tuple[Output, ...]) -> Arrays:
    """The original's answers as those ends would give them, computed in float64 from its own."""
    told: Arrays = {}
    by_role = {output.role: output.tensor for output in given}
    probabilities = None
    if found.scores is not None:
        scores = answers[found.scores]
        matrix = scores.reshape(len(scores), -1)
        probabilities = _as_probabilities(matrix, found.form)
        told[by_role["probabilities"]] = probabilities
    if found.label is not None:
        places = {label: code for code, label in enumerate(found.own)}
        flat = np.ravel(answers[found.label]).tolist()
        codes = [places.get(label, len(places)) for label in flat]
        told[by_role["label_code"]] = np.array(codes, dtype=np.int64)
    elif probabilities is not None:
        best = probabilities if found.form == "second" else matrix
        told[by_role["label_code"]] = np.argmax(best, axis=1).astype(np.int64)
    return told


def _as_probabilities(matrix: Array, form: str) -> Array:
    if form == "probabilities":
        return matrix if matrix.dtype != np.float16 else matrix.astype(np.float32)
    double = matrix.astype(np.float64)
    if form == "second":
        return np.concatenate([1 - double, double], axis=1)
    with np.errstate(invalid="ignore"):
        shifted = np.exp(double - double.max(axis=1, keepdims=True))
    shares: Array = shifted / shifted.sum(axis=1, keepdims=True)
    return shares
