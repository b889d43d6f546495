"""ONNX files as other tools write them: small ones, made on the spot."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from sklearn.datasets import load_iris

Array = np.ndarray[Any, Any]
Node = helper.make_node
SPECIES = np.array(["setosa", "versicolor", "virginica"])
FLOWERS, CODES = load_iris(return_X_y=True)
FLOWERS = FLOWERS.astype(np.float32)
INT64, FLOAT, STRING, FLOAT16, BFLOAT16, UINT8 = 7, 1, 8, 10, 16, 2


def info(name: str, element: int, shape: Sequence[int | str | None] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, Array] | None = None,
    *,
    opset: int = 21,
    ir: int = 10,
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(v, name) for name, v in (weights or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(graph, opset_imports=imports, ir_version=ir, functions=list(functions))
    for key, value in (metadata or {}).items():
        made.metadata_props.add(key=key, value=value)
    return made


def product(
    *,
    inputs: Sequence[int | str | None] = ("N", 8),
    width: int = 3,
    element: int = FLOAT,
    **options: Any,
) -> onnx.ModelProto:
    """x [N, 8] times a matrix: y [N, width]."""
    weights = {"w": normal(8, width)}
    if element == FLOAT16:
        weights = {"w": weights["w"].astype(np.float16)}
    return model(
        [Node("MatMul", ["x", "w"], ["y"])],
        [info("x", element, inputs)],
        [info("y", element, [inputs[0], width])],
        weights,
        **options,
    )


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def put(folder: Path, made: onnx.ModelProto, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def quietly(make: Callable[[], Any]) -> Any:
    """Other tools warn of things that their users can't change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def by_skl2onnx(
    folder: Path, estimator: Any, types: Sequence[tuple[str, Any]] | None = None, **options: Any
) -> Path:
    """A fitted estimator as skl2onnx's tutorial converts it."""

    def convert() -> onnx.ModelProto:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        known = types or [("float_input", FloatTensorType([None, 4]))]
        made: onnx.ModelProto = convert_sklearn(estimator, initial_types=known, **options)
        return made

    return put(folder, quietly(convert))


def answers(path: Path, feeds: Mapping[str, Array]) -> dict[str, Any]:
    """What ONNX Runtime answers for the file itself."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def flowers(rows: int = 500) -> Array:
    """Rows like irises, and on and beside the values that trees split at."""
    rng = np.random.default_rng(4)
    drawn = FLOWERS[rng.integers(len(FLOWERS), size=rows)]
    drawn = drawn + rng.normal(0, 0.3, drawn.shape).astype(np.float32)
    drawn[::3] = np.round(drawn[::3] * 20) / 20
    found: Array = drawn.astype(np.float32)
    return found


def as_rows(matrix: Array, names: Sequence[str]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in matrix.tolist()]
