"""A row's answer is its own: what a graph makes of it doesn't change with the rows beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import onnxport
from onnxport.errors import ExportError, ValidationError


class Normalized(torch.nn.Module):
    """Divides all rows where one of them looks like bytes, as people write it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.layer(torch.where(x.max() > 1.5, x / 255, x))


class Last(torch.nn.Module):
    """The state at the end of each row's tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(20, 4)

    def forward(self, tokens: Any, lengths: Any) -> Any:
        return self.table(tokens)[torch.arange(tokens.shape[0]), lengths - 1]


def _scaled_by_the_largest(path: Path, threshold: float, batch: int | str) -> None:
    """Divides all rows by 255 where the largest number of all is above the threshold."""
    constants = {"threshold": threshold, "bytes": 255.0}
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "threshold"], ["above"]),
        helper.make_node("Div", ["x", "bytes"], ["small"]),
        helper.make_node("Where", ["above", "small", "x"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, 4]) for n in ("x", "y")]
    weights = [
        numpy_helper.from_array(np.array(v, dtype=np.float32), n) for n, v in constants.items()
    ]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_a_module_that_looks_at_all_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"beside (it|other rows)|other rows of the batch"):
        onnxport.save(Normalized(), tmp_path / "m.onnx", torch.rand(64, 4))
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("threshold", [1.5, 1e3, 1e5])
def test_a_file_of_one_row_stays_one_of_one_row(threshold: float, tmp_path: Path) -> None:
    _scaled_by_the_largest(tmp_path / "a.onnx", threshold, 1)
    onnxport.adopt(tmp_path / "a.onnx", tmp_path / "m.onnx")
    model = onnxport.load(tmp_path / "m.onnx")
    row = {"x": [1.0, 1.0, 0.0, 1.0]}
    assert model.predict([row, {"x": [2e5, 0, 0, 0]}])[0] == model.predict(row) == {"y": row["x"]}


@pytest.mark.parametrize("threshold", [1.5, 1e3, 1e5])
def test_a_file_whose_rows_change_each_other_is_refused(threshold: float, tmp_path: Path) -> None:
    _scaled_by_the_largest(tmp_path / "a.onnx", threshold, "N")
    with pytest.raises(ExportError, match="beside"):
        onnxport.adopt(tmp_path / "a.onnx", tmp_path / "m.onnx")


def test_an_index_that_fits_no_tensor_is_the_rows_fault(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = {"tokens": torch.randint(0, 20, (16, 6)), "lengths": torch.randint(1, 7, (16,))}
    onnxport.save(Last(), tmp_path / "m.onnx", example, dynamic_axes={"tokens": {1: "time"}})
    model = onnxport.load(tmp_path / "m.onnx")
    tokens = [1, 2, 3, 4, 5]
    fine, wrong = {"tokens": tokens, "lengths": 3}, {"tokens": tokens, "lengths": 6}
    with pytest.raises(ValidationError, match="row 1: the model can't answer it") as caught:
        model.predict([fine, wrong])
    assert [(d.code, d.loc) for d in caught.value.details] == [("unanswerable", (1,))]
    assert model.predict([fine]) == [model.predict(fine)]


def test_answers_of_several_sizes(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]
    answer = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["K"])]
    graph = helper.make_graph([helper.make_node("Unique", ["x"], ["y"])], "g", ports, answer)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "a.onnx")
    onnxport.adopt(tmp_path / "a.onnx", tmp_path / "m.onnx")
    rows = [{"x": [1, 1, 2, 3]}, {"x": [1, 1, 1, 1]}]
    assert onnxport.load(tmp_path / "m.onnx").predict(rows) == [{"y": [1, 2, 3]}, {"y": [1]}]
