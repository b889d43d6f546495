"""Graphs of networks: batches, sizes, operator sets, external weights, labels; each held to its own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxport
from onnxport.errors import RequestError
from onnxport.export.adopting import NotAdoptable, adopt
from tests.export.adopting.files import (
    FLOAT,
    FLOAT16,
    INT64,
    STRING,
    UINT8,
    Array,
    Node,
    answers,
    info,
    model,
    normal,
    product,
    put,
)


def adopted(path: Path, **options: Any) -> onnxport.Model:
    adopt(path, path.with_name("adopted.onnx"), **options)
    return onnxport.load(path.with_name("adopted.onnx"))


def one_by_one(path: Path, name: str, rows: Array, output: str) -> list[Any]:
    """The file's own answers, each row alone."""
    return [answers(path, {name: rows[i : i + 1]})[output] for i in range(len(rows))]


def test_a_dynamic_batch(tmp_path: Path) -> None:
    path = put(tmp_path, product())
    rows = normal(300, 8)
    got = adopted(path).predict(rows)
    np.testing.assert_allclose([a["y"] for a in got], answers(path, {"x": rows})["y"], rtol=1e-6)


@pytest.mark.parametrize("target", [[1, 48], [1, -1]])
def test_a_batch_of_one_is_made_dynamic(tmp_path: Path, target: list[int]) -> None:
    made = model(
        [Node("Reshape", ["x", "shape"], ["flat"]), Node("Gemm", ["flat", "w"], ["y"])],
        [info("x", FLOAT, [1, 3, 4, 4])],
        [info("y", FLOAT, [1, 5])],
        {"shape": np.array(target), "w": normal(48, 5)},
    )
    path = put(tmp_path, made)
    served = adopted(path)
    assert served.manifest["runtime"]["rows_per_run"] > 1
    assert any("made dynamic" in repair for repair in served.manifest["source"]["repairs"])
    rows = normal(40, 3, 4, 4)
    wanted = np.concatenate(one_by_one(path, "x", rows, "y"))
    got = served.predict([{"x": row} for row in rows])
    np.testing.assert_allclose([a["y"] for a in got], wanted, rtol=1e-6, atol=1e-6)


def test_a_batch_of_four_is_made_dynamic(tmp_path: Path) -> None:
    path = put(tmp_path, product(inputs=(4, 8)))
    rows = normal(40, 8)
    wanted = np.concatenate([answers(path, {"x": rows[i : i + 4]})["y"] for i in range(0, 40, 4)])
    got = adopted(path).predict(rows[:39])
    np.testing.assert_allclose([a["y"] for a in got], wanted[:39], rtol=1e-6, atol=1e-6)


def test_a_batch_that_stays_one(tmp_path: Path) -> None:
    """Its answer has no batch dimension: it is served row by row."""
    made = model(
        [Node("Gemm", ["x", "w"], ["z"]), Node("Squeeze", ["z", "axes"], ["y"])],
        [info("x", FLOAT, [1, 8])],
        [info("y", FLOAT, [5])],
        {"w": normal(8, 5), "axes": np.array([0])},
    )
    path = put(tmp_path, made)
    served = adopted(path)
    assert served.manifest["runtime"]["rows_per_run"] == 1
    rows = normal(20, 8)
    got = served.predict(rows)
    np.testing.assert_array_equal([a["y"] for a in got], one_by_one(path, "x", rows, "y"))


def test_quantized_by_the_batch(tmp_path: Path) -> None:
    """DynamicQuantizeLinear takes its scale from all rows: each is served alone."""
    made = model(
        [
            Node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            Node("MatMulInteger", ["q", "w", "zero"], ["i"]),
            Node("Cast", ["i"], ["f"], to=FLOAT),
            Node("Mul", ["f", "scale"], ["y"]),
        ],
        [info("x", FLOAT, ["N", 8])],
        [info("y", FLOAT, ["N", 3])],
        {"w": np.random.default_rng(0).integers(-9, 9, (8, 3)).astype(np.int8)},
    )
    path = put(tmp_path, made)
    rows = normal(30, 8)
    got = adopted(path).predict(rows)
    wanted = np.concatenate(one_by_one(path, "x", rows, "y"))
    np.testing.assert_array_equal([a["y"] for a in got], wanted)


def test_dynamic_sizes_and_token_ids(tmp_path: Path) -> None:
    made = model(
        [
            Node("Gather", ["table", "ids"], ["e"]),
            Node("ReduceMean", ["e", "one"], ["m"], keepdims=0),
            Node("Gemm", ["m", "w"], ["y"]),
        ],
        [info("ids", INT64, ["batch", "time"])],
        [info("y", FLOAT, ["batch", 3])],
        {"table": normal(50, 8), "one": np.array([1]), "w": normal(8, 3)},
    )
    path = put(tmp_path, made)
    served = adopted(path)
    assert served.signature.features[0].limits == (-50, 49)
    rows = [{"ids": np.arange(size) % 50} for size in (1, 3, 7, 3, 20, 1)]
    for row, answer in zip(rows, served.predict(rows), strict=True):
        wanted = answers(path, {"ids": row["ids"][None]})["y"][0]
        np.testing.assert_allclose(answer["y"], wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(RequestError, match="50"):
        served.predict({"ids": [1, 50]})


def test_ids_are_bounded_by_trying(tmp_path: Path) -> None:
    made = model(
        [Node("Add", ["ids", "off"], ["j"]), Node("Gather", ["table", "j"], ["y"])],
        [info("ids", INT64, ["N", 4])],
        [info("y", FLOAT, ["N", 4, 2])],
        {"off": np.array(3), "table": normal(30, 2)},
    )
    assert adopted(put(tmp_path, made)).signature.features[0].limits == (-33, 26)


@pytest.mark.parametrize(("opset", "ir"), [(28, 14), (22, 10), (13, 7), (9, 4), (5, 3)])
def test_operator_sets(tmp_path: Path, opset: int, ir: int) -> None:
    made = model(
        [Node("Reshape", ["x", "shape"], ["r"]), Node("Relu", ["r"], ["y"])],
        [info("x", FLOAT, ["N", 8])],
        [info("y", FLOAT, ["N", 2, 4])],
        {"shape": np.array([-1, 2, 4])},
        opset=opset,
        ir=ir,
    )
    if ir < 4:  # where weights had to be inputs too
        made.graph.input.append(info("shape", INT64, [3]))
    path = put(tmp_path, made)
    served = adopted(path)
    assert served.manifest["runtime"]["min_onnxruntime"] == "1.21.1"
    assert served.manifest["runtime"]["ir"] == 10
    assert served.manifest["runtime"]["opset"][""] <= 21
    assert served.signature.names == ("x",)
    rows = normal(30, 8)
    wanted = np.maximum(rows, 0).reshape(30, 2, 4)
    np.testing.assert_array_equal([a["y"] for a in served.predict(rows)], wanted)


def test_an_operator_set_that_stays(tmp_path: Path) -> None:
    made = model(
        [Node("Swish", ["x"], ["y"])],
        [info("x", FLOAT, ["N", 8])],
        [info("y", FLOAT, ["N", 8])],
        opset=24,
        ir=11,
    )
    assert adopted(put(tmp_path, made)).manifest["runtime"]["min_onnxruntime"] == "1.24.1"


def test_functions_are_written_out(tmp_path: Path) -> None:
    twice = onnx.helper.make_function(
        "mine",
        "Twice",
        ["a"],
        ["b"],
        [Node("Add", ["a", "a"], ["b"])],
        [onnx.helper.make_opsetid("", 21)],
    )
    made = model(
        [Node("Twice", ["x"], ["y"], domain="mine")],
        [info("x", FLOAT, ["N", 3])],
        [info("y", FLOAT, ["N", 3])],
        domains=["mine"],
        functions=[twice],
    )
    assert adopted(put(tmp_path, made)).predict({"x": [1, 2, 3]}) == {"y": [2, 4, 6]}


def test_external_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save_model(
        product(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    rows = normal(30, 8)
    wanted = answers(path, {"x": rows})["y"]
    served = adopted(path)
    (tmp_path / "weights.bin").unlink()
    np.testing.assert_allclose([a["y"] for a in served.predict(rows)], wanted, rtol=1e-6)


def test_names_that_no_file_could_have(tmp_path: Path) -> None:
    made = model(
        [Node("MatMul", ["a/b:0", "w"], ["out/put:0"])],
        [info("a/b:0", FLOAT, ["N", 8])],
        [info("out/put:0", FLOAT, ["N", 3])],
        {"w": normal(8, 3)},
    )
    path = put(tmp_path, made)
    rows = normal(5, 8)
    got = adopted(path).predict([{"a/b:0": row} for row in rows])
    wanted = answers(path, {"a/b:0": rows})["out/put:0"]
    np.testing.assert_allclose([a["out/put:0"] for a in got], wanted, rtol=1e-6)


def test_other_datatypes(tmp_path: Path) -> None:
    half = put(tmp_path, product(element=FLOAT16))
    rows = normal(20, 8).astype(np.float16)
    got = adopted(half).predict([{"x": row} for row in rows])
    np.testing.assert_allclose([a["y"] for a in got], answers(half, {"x": rows})["y"], rtol=1e-3)
    image = model(
        [
            Node("Cast", ["image"], ["f"], to=FLOAT),
            Node("ReduceMean", ["f", "a"], ["y"], keepdims=0),
        ],
        [info("image", UINT8, ["N", 4, 4, 3])],
        [info("y", FLOAT, ["N", 3])],
        {"a": np.array([1, 2])},
    )
    served = adopted(put(tmp_path, image))
    assert served.predict({"image": np.full((4, 4, 3), 255, np.uint8)}) == {"y": [255, 255, 255]}
    with pytest.raises(RequestError, match="256"):
        served.predict({"image": np.full((4, 4, 3), 256)})


# ------------------------------------------------------------------------------------------- labels and names


def test_logits_with_labels(tmp_path: Path) -> None:
    path = put(tmp_path, product())
    rows = normal(300, 8)
    got = adopted(path, labels=["a", "b", "c"]).predict([{"x": row} for row in rows])
    logits = answers(path, {"x": rows})["y"].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert [a["prediction"] for a in got] == [("a", "b", "c")[i] for i in logits.argmax(axis=1)]
    got_shares = [list(a["probabilities"].values()) for a in got]
    np.testing.assert_allclose(got_shares, shares, rtol=1e-6, atol=1e-6)


def test_one_probability_with_two_labels(tmp_path: Path) -> None:
    made = model(
        [Node("MatMul", ["x", "w"], ["z"]), Node("Sigmoid", ["z"], ["p"])],
        [info("x", FLOAT, ["N", 8])],
        [info("p", FLOAT, ["N", 1])],
        {"w": normal(8, 1)},
    )
    path = put(tmp_path, made)
    rows = normal(300, 8)
    got = adopted(path, labels=["no", "yes"]).predict([{"x": row} for row in rows])
    p = answers(path, {"x": rows})["p"][:, 0]
    assert [a["prediction"] for a in got] == np.where(p > 0.5, "yes", "no").tolist()
    np.testing.assert_allclose([a["probabilities"]["yes"] for a in got], p, rtol=1e-6)


def test_a_label_of_its_own_is_kept(tmp_path: Path) -> None:
    """The graph's label is the smallest score here: nothing is decided anew."""
    made = model(
        [
            Node("MatMul", ["x", "w"], ["z"]),
            Node("Softmax", ["z"], ["p"]),
            Node("ArgMin", ["p"], ["label"], axis=1, keepdims=0),
        ],
        [info("x", FLOAT, ["N", 8])],
        [info("label", INT64, ["N"]), info("p", FLOAT, ["N", 3])],
        {"w": normal(8, 3)},
    )
    path = put(tmp_path, made)
    rows = normal(300, 8)
    got = adopted(path, labels=["a", "b", "c"]).predict([{"x": row} for row in rows])
    wanted = answers(path, {"x": rows})["label"]
    assert [a["prediction"] for a in got] == [("a", "b", "c")[i] for i in wanted]


def test_labels_that_are_no_codes(tmp_path: Path) -> None:
    made = model(
        [
            Node("MatMul", ["x", "w"], ["z"]),
            Node("ArgMax", ["z"], ["i"], axis=1, keepdims=0),
            Node("Add", ["i", "one"], ["label"]),
        ],
        [info("x", FLOAT, ["N", 8])],
        [info("label", INT64, ["N"]), info("z", FLOAT, ["N", 3])],
        {"w": normal(8, 3), "one": np.array(1)},
    )
    path = put(tmp_path, made)
    with pytest.raises(
        NotAdoptable, match="it answered '1', '2', '3', and a list of 3 labels stands"
    ):
        adopted(path, labels=["a", "b", "c"])
    rows = normal(50, 8)
    got = adopted(path, labels={"1": "a", "2": "b", "3": "c"}).predict([{"x": r} for r in rows])
    wanted = answers(path, {"x": rows})["label"]
    assert [a["prediction"] for a in got] == [" abc"[i] for i in wanted]
    assert all(max(a["probabilities"], key=a["probabilities"].get) == a["prediction"] for a in got)


def test_texts_under_another_locale(tmp_path: Path) -> None:
    """Few machines have the locale that skl2onnx writes down."""
    made = model(
        [
            Node(
                "StringNormalizer", ["s"], ["z"], case_change_action="LOWER", locale="en_US.UTF-8"
            ),
            Node("Reshape", ["z", "shape"], ["y"]),
        ],
        [info("s", STRING, ["N"])],
        [info("y", STRING, ["N", 1])],
        {"shape": np.array([-1, 1])},
    )
    served = adopted(put(tmp_path, made))
    assert served.predict({"s": "ÀB 東京"}) == {"y": ["àb 東京"]}
    assert any("locale 'en_US.UTF-8'" in each for each in served.manifest["source"]["repairs"])


def test_ultralytics(tmp_path: Path) -> None:
    """A network that classifies has its names; one that detects keeps them in the metadata."""
    facts = {"names": "{0: 'cat', 1: 'dog', 2: 'cow'}", "stride": "32", "imgsz": "[8, 8]"}
    classify = model(
        [
            Node("GlobalAveragePool", ["images"], ["a"]),
            Node("Flatten", ["a"], ["b"]),
            Node("Softmax", ["b"], ["output0"]),
        ],
        [info("images", FLOAT, [1, 3, 8, 8])],
        [info("output0", FLOAT, [1, 3])],
        metadata={**facts, "task": "classify"},
    )
    assert adopted(put(tmp_path, classify)).signature.classes == ("cat", "dog", "cow")
    detect = model(
        [Node("Identity", ["images"], ["output0"])],
        [info("images", FLOAT, [1, 3, 8])],
        [info("output0", FLOAT, [1, 3, 8])],
        metadata={**facts, "task": "detect"},
    )
    served = adopted(put(tmp_path, detect))
    assert served.signature.task == "tensor"
    assert served.manifest["metadata"]["names"] == {"0": "cat", "1": "dog", "2": "cow"}


def test_names_in_the_metadata(tmp_path: Path) -> None:
    names = [f"f{i}" for i in range(8)]
    path = put(tmp_path, product(metadata={"feature_names": repr(names)}))
    assert adopted(path).signature.names == tuple(names)
    others = put(tmp_path, product(metadata={"feature_names": "['a', 'b']"}))
    served = adopted(others)
    assert served.signature.names == ("x",)
    assert any("2 names of features" in each for each in served.manifest["source"]["repairs"])


def test_names_of_mlflow(tmp_path: Path) -> None:
    columns = [{"type": "float", "name": f"m{i}"} for i in range(8)]
    text = f"signature:\n  inputs: '{str(columns)!s}'\n".replace("{'", '{"').replace("'}", '"}')
    text = text.replace("': '", '": "').replace("', '", '", "')
    (tmp_path / "MLmodel").write_text(text, "utf-8")
    served = adopted(put(tmp_path, product()))
    assert served.signature.names == tuple(f"m{i}" for i in range(8))


def test_two_heads(tmp_path: Path) -> None:
    made = model(
        [Node("MatMul", ["x", "w"], ["a"]), Node("MatMul", ["x", "v"], ["b"])],
        [info("x", FLOAT, ["N", 8])],
        [info("a", FLOAT, ["N", 3]), info("b", FLOAT, ["N", 2])],
        {"w": normal(8, 3), "v": normal(8, 2)},
    )
    path = put(tmp_path, made)
    row = normal(1, 8)
    said = answers(path, {"x": row})
    got = adopted(path).predict({"x": row[0]})
    for name in ("a", "b"):
        np.testing.assert_allclose(got[name], said[name][0], rtol=1e-6)
    assert adopted(path, labels=["x", "y"]).signature.classes == ("x", "y")  # of the head that fits
    with pytest.raises(NotAdoptable, match="labels were given"):
        adopted(path, labels=["p", "q", "r", "s"])


# ------------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize("kind", ["csv", "json", "npz"])
def test_real_rows(tmp_path: Path, kind: str) -> None:
    path = put(tmp_path, product())
    names = [f"f{i}" for i in range(8)]
    rows = normal(40, 8)
    sample = tmp_path / f"rows.{kind}"
    if kind == "npz":
        np.savez(sample, x=rows)
    elif kind == "csv":
        body = "\n".join(",".join(map(str, row)) for row in rows.tolist())
        sample.write_text(",".join(names) + "\n" + body, "utf-8")
    else:
        listed = [dict(zip(names, row, strict=True)) for row in rows.tolist()]
        sample.write_text(str(listed).replace("'", '"'), "utf-8")
    served = adopted(path, features=names, sample=sample)
    assert served.manifest["parity"]["rows_by_set"]["sample"] == 40


def test_rows_that_dont_fit(tmp_path: Path) -> None:
    path = put(tmp_path, product())
    for name, text, sentence in [
        ("rows.txt", "", "rows.txt is no sample of rows that can be read"),
        ("rows.json", "[]", "the sample holds no rows"),
        ("rows.json", "[{", "rows.json can't be read"),
        ("rows.json", '[{"z": 1}]', "the sample has no 'x'; it has 'z'"),
        ("rows.json", '[{"x": "a"}]', "it takes nested lists"),
    ]:
        (tmp_path / name).write_text(text, "utf-8")
        with pytest.raises(NotAdoptable, match=sentence):
            adopted(path, sample=tmp_path / name)
