"""What can't be adopted is refused with a sentence that says where, what, and what to do."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxport
from onnxport.export.adopting import NotAdoptable, adopt, examine
from tests.export.adopting.files import (
    BFLOAT16,
    FLOAT,
    FLOWERS,
    STRING,
    Node,
    info,
    model,
    normal,
    product,
    put,
)


def refused(path: Path, **options: Any) -> str:
    """The sentence of the refusal; the doctor says the same, and nothing is written."""
    with pytest.raises(NotAdoptable) as caught:
        adopt(path, path.parent / "adopted.onnx", **options)
    assert not (path.parent / "adopted.onnx").exists()
    if not options:
        findings = examine(path)
        assert caught.value.finding in findings
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.onnx", b"", "empty.onnx is empty; export or download it again"),
        ("model.pkl", pickle.dumps({"a": 1}), "model.pkl is a pickle, not ONNX; load it in Python"),
        ("model.h5", b"\x89HDF\r\n\x1a\n....", "an HDF5 file (Keras keeps models so), not ONNX"),
        ("model.onnx", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        ("model.cbm", b"CBM1....", "a CatBoost model, not ONNX; save it with onnxport.save"),
        ("model.txt", b"tree\nversion=v4\n", "a LightGBM model, not ONNX; load it as a Booster"),
        ("model.json", b'{"learner": {}}', "a JSON file (XGBoost keeps models so), not ONNX"),
        ("model.onnx", b"<!DOCTYPE html><html>", "perhaps of a failed download, not ONNX"),
        ("model.ort", b"\0\0\0\0ORTM....", "a file in ONNX Runtime's own format"),
        ("model.tflite", b"\0\0\0\0TFL3....", "a TensorFlow Lite model"),
        ("model.pb", b"\x0a\x05hello", "model.pb is a TensorFlow graph, not ONNX"),
        (
            "model.onnx",
            b"\xff" * 40,
            "model.onnx is no ONNX model, or one that is damaged or cut off",
        ),
    ],
)
def test_other_kinds_of_files(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert sentence in refused(path)


def test_archives_and_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02")
    assert "net.pt is a PyTorch checkpoint, not ONNX" in refused(tmp_path / "net.pt")
    np.savez(tmp_path / "rows.npz", a=np.zeros(3))
    assert "rows.npz is numpy arrays, not ONNX" in refused(tmp_path / "rows.npz")
    saved = tmp_path / "saved"
    saved.mkdir()
    assert "saved is a folder; give the path of an ONNX file" in refused(saved)
    put(saved, product())
    assert "saved is a folder; give the file in it, model.onnx" in refused(saved)
    (saved / "saved_model.pb").write_bytes(b"")
    assert "a TensorFlow SavedModel; convert it first: python -m tf2onnx" in refused(saved)
    assert "none.onnx can't be read (No such file" in refused(tmp_path / "none.onnx")


def test_cut_off(tmp_path: Path) -> None:
    path = put(tmp_path, product())
    path.write_bytes(path.read_bytes()[:-50])
    assert "damaged or cut off" in refused(path)


def test_a_model_file(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    path = tmp_path / "model.onnx"
    onnxport.save(LinearRegression().fit(FLOWERS, FLOWERS[:, 0]), path, FLOWERS)
    assert "the file is already a model file; serve it" in refused(path)


def external(folder: Path, **entries: str) -> Path:
    """A model whose weights are said to stand elsewhere."""
    made = product()
    tensor = made.graph.initializer[0]
    (folder / "w.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return put(folder, made)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({}, "tensor 'w': its weights have no location"),
        ({"location": "no.bin"}, "'no.bin', and there is no such file beside the model"),
        ({"location": "../w.bin"}, "said to stand in '../w.bin', outside the model's folder"),
        ({"location": "/etc/passwd"}, "'/etc/passwd', outside the model's folder"),
        ({"location": "link.bin"}, "'link.bin', outside the model's folder"),
        ({"location": "w.bin", "offset": "90"}, "96 bytes are not at 90 (said to be 96)"),
        ({"location": "w.bin", "length": "12"}, "96 bytes are not at 0 (said to be 12)"),
        ({"location": "w.bin", "offset": "-1"}, "the offset or length of its weights is no number"),
    ],
)
def test_external_weights(tmp_path: Path, entries: dict[str, str], sentence: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(96))
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    assert sentence in refused(external(folder, **entries))


def simple(op: str, *, element: int = FLOAT, shape: Any = ("N", 8), **options: Any) -> Any:
    return model(
        [Node(op, ["x"], ["y"], **options.pop("node", {}))],
        [info("x", element, shape)],
        [info("y", element, shape)],
        **options,
    )


def sequence_input() -> onnx.ModelProto:
    return model(
        [Node("SequenceAt", ["s", "i"], ["y"])],
        [helper.make_tensor_sequence_value_info("s", FLOAT, None)],
        [info("y", FLOAT, ["N", 2])],
        {"i": np.array(0)},
    )


def scalar_input() -> onnx.ModelProto:
    return model(
        [Node("Mul", ["x", "s"], ["y"])],
        [info("x", FLOAT, ["N", 3]), info("s", FLOAT, [])],
        [info("y", FLOAT, ["N", 3])],
    )


def no_inputs() -> onnx.ModelProto:
    return model([Node("Identity", ["c"], ["y"])], [], [info("y", FLOAT, [2])], {"c": normal(2)})


def many_outputs() -> onnx.ModelProto:
    nodes = [Node("Identity", ["x"], [f"y{i}"]) for i in range(10_000)]
    outputs = [info(f"y{i}", FLOAT, ["N", 2]) for i in range(10_000)]
    return model(nodes, [info("x", FLOAT, ["N", 2])], outputs)


def mixing_rows() -> onnx.ModelProto:
    return model(
        [Node("ReduceMean", ["x", "zero"], ["m"]), Node("Sub", ["x", "m"], ["y"])],
        [info("x", FLOAT, ["N", 8])],
        [info("y", FLOAT, ["N", 8])],
        {"zero": np.array([0])},
    )


def leaning_on_others() -> onnx.ModelProto:
    """A row's answer holds a ten-thousandth of the rows beside it."""
    return model(
        [
            Node("ReduceMean", ["x", "zero"], ["m"]),
            Node("Mul", ["m", "little"], ["s"]),
            Node("Add", ["x", "s"], ["y"]),
        ],
        [info("x", FLOAT, ["N", 8])],
        [info("y", FLOAT, ["N", 8])],
        {"zero": np.array([0]), "little": np.array(1e-4, np.float32)},
    )


def sequence_first() -> onnx.ModelProto:
    return model(
        [Node("LSTM", ["x", "W", "R"], ["", "y"], hidden_size=4)],
        [info("x", FLOAT, ["time", "batch", 3])],
        [info("y", FLOAT, [1, "batch", 4])],
        {"W": normal(1, 16, 3), "R": normal(1, 16, 4)},
    )


def four_rows() -> onnx.ModelProto:
    return model(
        [Node("ReduceMean", ["x"], ["m"]), Node("Sub", ["x", "m"], ["y"])],
        [info("x", FLOAT, [4, 8])],
        [info("y", FLOAT, [4, 8])],
    )


def uneven() -> onnx.ModelProto:
    return model(
        [
            Node("Squeeze", ["x", "zero"], ["b"]),
            Node("Greater", ["b", "limit"], ["m"]),
            Node("Compress", ["b", "m"], ["y"], axis=0),
        ],
        [info("x", FLOAT, [1, 10])],
        [info("y", FLOAT, ["found"])],
        {"zero": np.array([0]), "limit": np.array(0, np.float32)},
    )


CUSTOM = {"domain": "com.microsoft"}
TRAINING = "ai.onnx.preview.training"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            simple("Gelu", node=CUSTOM, domains=["com.microsoft"]),
            "domain 'com.microsoft': operators that are not ONNX's own ('Gelu'); they come from ONNX",
        ),
        (
            simple("Tokenizer", node=CUSTOM, domains=["com.microsoft"]),
            "it is skl2onnx's tokenizer; save the scikit-learn pipeline itself with onnxport.save",
        ),
        (
            simple("Adam", node={"domain": TRAINING}, domains=[TRAINING]),
            "('Adam'); they belong to training; export the model for inference",
        ),
        (
            simple("Mine", node={"domain": "acme"}, domains=["acme"]),
            "domain 'acme': operators that are not ONNX's own ('Mine'); export it with operators of",
        ),
        (sequence_input(), "input 's': it is a sequence, and requests carry tensors only"),
        (scalar_input(), "input 's': it has no batch dimension: it is one number for all rows"),
        (no_inputs(), "the graph has no inputs; export it with the data as inputs"),
        (
            many_outputs(),
            "10,000 outputs, and 500 is the most; name those that are needed: --output",
        ),
        (simple("Identity", element=BFLOAT16), "input 'x': its datatype bfloat16 can't be sent"),
        (simple("Relu", shape=None), "input 'x': the file doesn't say how many dimensions it has"),
        (simple("RandomNormalLike"), "RandomNormalLike answers differently each time"),
        (simple("Unheard"), "onnx's checker refuses it: No Op registered for Unheard"),
        (mixing_rows(), "output 'y': the answer to one row hangs on the rows beside it"),
        (leaning_on_others(), "output 'y': the answer to one row hangs on the rows beside it"),
        (sequence_first(), "the first dimension isn't that of the rows, but of the steps of a"),
        (four_rows(), "the graph was exported for exactly 4 rows, and can't be made to take any"),
        (uneven(), "output 'y': its size hangs on what is in a row"),
        (
            simple("Identity", element=STRING, shape=("N",)),
            "output 'y': it is one text a row, and nothing in the file tells which labels there are",
        ),
    ],
)
def test_graphs(tmp_path: Path, made: onnx.ModelProto, sentence: str) -> None:
    assert sentence in refused(put(tmp_path, made))


def test_many_outputs_by_name(tmp_path: Path) -> None:
    path = put(tmp_path, many_outputs())
    adopt(path, tmp_path / "adopted.onnx", outputs=["y7", "y9"])
    assert onnxport.load(tmp_path / "adopted.onnx").predict({"x": [1, 2]}) == {
        "y7": [1, 2],
        "y9": [1, 2],
    }


def test_messages_are_short(tmp_path: Path) -> None:
    """Names out of a file are neither long nor able to write to a terminal."""
    name = "\x1b[31m" + "n" * 5000
    made = model(
        [Node("Mul", ["x", name], ["y"])],
        [info("x", FLOAT, ["N", 3]), info(name, FLOAT, [])],
        [info("y", FLOAT, ["N", 3])],
    )
    sentence = refused(put(tmp_path, made))
    assert len(sentence) < 300
    assert "\x1b" not in sentence


@pytest.mark.parametrize("shift", range(0, 400, 37))
def test_damaged_bytes_never_crash(tmp_path: Path, shift: int) -> None:
    """Any bytes are adopted or refused; nothing else is raised."""
    path = put(tmp_path, product())
    content = bytearray(path.read_bytes())
    content[shift % len(content)] ^= 0x55
    path.write_bytes(bytes(content))
    assert isinstance(examine(path), list)


@pytest.mark.parametrize("name", [b"MatMul", b"graph"])
def test_names_that_are_no_utf8(tmp_path: Path, name: bytes) -> None:
    path = put(tmp_path, product())
    content = path.read_bytes()
    place = content.index(name)
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    assert "is not UTF-8; export or download it again" in refused(path)
