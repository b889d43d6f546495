"""Model files made by hand, without the exporter: a graph of a few nodes, and whatever signature a test needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxport.manifest import (
    BASELINE_KEY,
    DIGEST_KEY,
    FORMAT,
    FORMAT_KEY,
    MANIFEST_KEY,
    SELFTEST_KEY,
    SelfTest,
    canonical,
    write_signature,
)
from onnxport.modelfile import BLANK_DIGEST, seal
from onnxport.runtime import Graph
from onnxport.signature import Feature, Output, Signature, Tensor
from onnxport.tensors import column_array, pack

Nodes = list[onnx.NodeProto]


@dataclass(frozen=True)
class Made:
    """What a model file is made of: a signature, a graph from its tensors to its outputs, and self-test rows."""

    name: str
    signature: Signature
    nodes: Nodes
    constants: Mapping[str, np.ndarray[Any, Any]]
    rows: Sequence[Mapping[str, Any]]
    manifest: Mapping[str, Any]


def number(name: str, column: int = 0, **facts: Any) -> Feature:
    return Feature(
        **{
            "name": name,
            "kind": "numeric",
            "dtype": "float64",
            "tensor": "num",
            "column": column,
            **facts,
        }
    )


def text(name: str, tensor: str, **facts: Any) -> Feature:
    return Feature(
        **{"name": name, "kind": "categorical", "dtype": "string", "tensor": tensor, **facts}
    )


def tensors(features: Sequence[Feature]) -> tuple[Tensor, ...]:
    """One matrix for all numbers, one tensor a string feature."""
    numbers = sum(not feature.is_string for feature in features)
    found = [Tensor("num", "FP64", (numbers,))] if numbers else []
    return (*found, *(Tensor(f.tensor, "BYTES", (1,)) for f in features if f.is_string))


def regressor(name: str, features: Sequence[Feature], nodes: Nodes, **rest: Any) -> Made:
    """A model whose graph leaves [N, 1] in `value`."""
    return Made(
        name=name,
        signature=Signature(
            task="regression",
            features=tuple(features),
            tensors=tensors(features),
            outputs=(Output("value", "value", 1),),
            targets=("y",),
        ),
        nodes=nodes,
        constants=rest.get("constants", {}),
        rows=rest["rows"],
        manifest=rest.get("manifest", {}),
    )


def classifier(
    name: str,
    features: Sequence[Feature],
    classes: tuple[Any, ...],
    rows: Sequence[Mapping[str, Any]],
) -> Made:
    """A softmax over fixed random weights of the numeric features."""
    numbers = sum(not feature.is_string for feature in features)
    weights = np.random.default_rng(0).normal(size=(numbers, len(classes)))
    return Made(
        name=name,
        signature=Signature(
            task="multiclass_classification",
            features=tuple(features),
            tensors=tensors(features),
            outputs=(Output("code", "label_code"), Output("proba", "probabilities", len(classes))),
            classes=classes,
        ),
        nodes=[
            helper.make_node("IsNaN", ["num"], ["empty"]),
            helper.make_node("Where", ["empty", "zero", "num"], ["filled"]),
            helper.make_node("MatMul", ["filled", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["proba"], axis=1),
            helper.make_node("ArgMax", ["proba"], ["code"], axis=1, keepdims=0),
        ],
        constants={"weights": weights, "zero": np.array(0.0)},
        rows=rows,
        manifest={},
    )


def iris() -> Made:
    """Three classes over four lengths, one of them nullable."""
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    features = [
        number(name, i, minimum=0.1, maximum=7.9, nullable=name == "petal_width", unit="cm")
        for i, name in enumerate(names)
    ]
    rows = [
        dict(zip(names, values, strict=True))
        for values in ((5.1, 3.5, 1.4, None), (6.2, 2.9, 4.3, 1.3))
    ]
    return classifier("iris", features, ("setosa", "versicolor", "virginica"), rows)


def odd_names() -> Made:
    """Features whose names are no Python identifiers, and labels that are numbers."""
    names = ("sepal length (cm)", "class", "a.b", "Größe", "2nd", "title", "$ref", 'say "hi"')
    features = [number(name, i) for i, name in enumerate(names)]
    return classifier("odd names", features, (3, 5, 8), [dict.fromkeys(names, 0.5)])


def every_kind() -> Made:
    """One feature of each kind: number, float32-bound, integer, boolean, coded, strict text, free text."""
    features = [
        number("amount", 0),
        number("small", 1, overflow="float32"),
        number("visits", 2, kind="integer", dtype="int64"),
        number("flag", 3, kind="boolean", dtype="bool", nullable=True),
        number("grade", 4, kind="categorical", categories=(1, 2, 5), refuses_unknown=True),
        text("city", "s0", categories=("Paris", "東京"), refuses_unknown=True, nullable=True),
        text("note", "s1", categories=("a", "b"), description="Free text."),
    ]
    rows = [
        {
            "amount": 1.5,
            "small": 2.5,
            "visits": 3,
            "flag": True,
            "grade": 5,
            "city": "東京",
            "note": "a",
        },
        {
            "amount": 0.0,
            "small": 0.0,
            "visits": 0,
            "flag": None,
            "grade": 1,
            "city": None,
            "note": "zzz",
        },
    ]
    nodes = [
        helper.make_node("IsNaN", ["num"], ["empty"]),
        helper.make_node("Where", ["empty", "zero", "num"], ["filled"]),
        helper.make_node("ReduceMean", ["filled", "axis"], ["value"], keepdims=1),
    ]
    constants = {"zero": np.array(0.0), "axis": np.array([1])}
    return regressor("every kind", features, nodes, rows=rows, constants=constants)


def reciprocal(*, accepted_mismatch: bool = False) -> Made:
    """1/x: the legal row x=0 has an infinite answer."""
    parity = {
        "rows": 10,
        "row_sets": ["heldout"],
        "label_flips": 0,
        "max_abs": 0.5,
        "tolerance": 1e-9,
        "onnxruntime": "1.32.0",
        "accepted_mismatch": accepted_mismatch,
    }
    nodes = [helper.make_node("Reciprocal", ["num"], ["value"])]
    return regressor(
        "reciprocal", [number("x")], nodes, rows=[{"x": 4.0}], manifest={"parity": parity}
    )


def fragile() -> Made:
    """Looks x up in a list of three: the runtime fails on legal rows beyond it."""
    nodes = [
        helper.make_node("Cast", ["num"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["list", "index"], ["value"], axis=0),
    ]
    constants = {"list": np.array([10.0, 20.0, 30.0])}
    return regressor("fragile", [number("x")], nodes, rows=[{"x": 1.0}], constants=constants)


def slow() -> Made:
    """Answers x after some milliseconds a row, spent in the runtime."""
    nodes = [helper.make_node("Expand", ["num", "wide"], ["t0"])]
    nodes += [helper.make_node("Sin", [f"t{i}"], [f"t{i + 1}"]) for i in range(120)]
    nodes.append(helper.make_node("ReduceMean", ["t120", "axis"], ["value"], keepdims=1))
    constants = {"wide": np.array([1, 2048]), "axis": np.array([1])}
    return regressor("slow", [number("x")], nodes, rows=[{"x": 1.0}], constants=constants)


def write(made: Made) -> bytes:
    """The model file's bytes."""
    signature = made.signature
    graph = helper.make_graph(
        made.nodes,
        made.name,
        [_tensor(t.name, _ONNX[t.datatype], [None, t.width]) for t in signature.tensors],
        [_tensor(o.tensor, *_OUTPUTS[o.role](o.width)) for o in signature.outputs],
        [numpy_helper.from_array(value, name) for name, value in made.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    manifest = {
        "format": FORMAT,
        "model": {
            "name": made.name,
            "version": "1",
            "task": signature.task,
            "description": "Made by hand.",
        },
        **write_signature(signature),
        "runtime": {"onnxruntime": ">=1.21.1", "min_onnxruntime": "1.21.1"},
        **made.manifest,
    }
    entries = {
        FORMAT_KEY: FORMAT,
        MANIFEST_KEY: canonical(manifest),
        BASELINE_KEY: "{}",
        SELFTEST_KEY: _selftest(made, model.SerializeToString()).to_json(),
        DIGEST_KEY: BLANK_DIGEST,
    }
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    return seal(model.SerializeToString())


def write_to(folder: Path, made: Made) -> Path:
    path = folder / f"{made.name.replace(' ', '_')}.onnx"
    path.write_bytes(write(made))
    return path


_ONNX = {"FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING}
_OUTPUTS: dict[str, Callable[[int | None], tuple[int, list[int | None]]]] = {
    "label_code": lambda _: (TensorProto.INT64, [None]),
    "probabilities": lambda width: (TensorProto.DOUBLE, [None, width]),
    "value": lambda width: (TensorProto.DOUBLE, [None, width]),
}


def _tensor(name: str, element: int, shape: list[int | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def _selftest(made: Made, content: bytes) -> SelfTest:
    inputs = {f.name: [row[f.name] for row in made.rows] for f in made.signature.features}
    columns = {f.name: column_array(f, inputs[f.name]) for f in made.signature.features}
    outputs = Graph(content).run(pack(made.signature, columns, len(made.rows)))
    return SelfTest(inputs, {name: value.tolist() for name, value in outputs.items()}, 1e-9)
