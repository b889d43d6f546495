"""`adopt` and `inspect --doctor`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import onnxport as package
from tests.cli.conftest import Terminal
from tests.export.adopting.files import CODES, FLOAT, FLOWERS, Node, by_skl2onnx, info, model, put

NAMES = "sepal_length,sepal_width,petal_length,petal_width"
LABELS = "setosa,versicolor,virginica"


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the classic tutorial."""
    from sklearn.ensemble import RandomForestClassifier

    fitted = RandomForestClassifier(10, random_state=0).fit(FLOWERS, CODES)
    return by_skl2onnx(tmp_path_factory.mktemp("forest"), fitted)


def test_adopt(onnxport: Terminal, forest: Path) -> None:
    done = onnxport(
        "adopt",
        forest,
        "-o",
        "iris.onnx",
        "--features",
        NAMES,
        "--labels",
        LABELS,
        "--name",
        "iris",
    )
    assert done.code == 0, done.err
    assert done.out.startswith("saved iris.onnx (")
    assert "note  output 'output_probability': ZipMap makes one dictionary a row" in done.out
    served = package.load(onnxport.folder / "iris.onnx")
    row = dict(zip(NAMES.split(","), FLOWERS[0].tolist(), strict=True))
    assert served.predict(row)["prediction"] == "setosa"


def test_adopt_for_scripts(onnxport: Terminal, forest: Path) -> None:
    names = {name: {"unit": "cm"} for name in ("x0", "x1")}
    onnxport.write("names.json", json.dumps(names))
    onnxport.write("labels.json", json.dumps({"0": "first"}))
    done = onnxport(
        *("adopt", forest, "-o", "iris.onnx", "--features", "names.json"),
        *("--labels", "labels.json", "--json"),
    )
    assert done.code == 0, done.err
    manifest = json.loads(done.out)["manifest"]
    assert manifest["inputs"][0]["unit"] == "cm"
    assert manifest["classes"]["values"] == ["first", 1, 2]


def test_adopt_refuses(onnxport: Terminal, forest: Path) -> None:
    done = onnxport("adopt", forest, "-o", "iris.onnx", "--features", "a,b")
    assert (done.code, done.out) == (1, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("onnxport: 2 names were given, and the inputs have 4 columns; give one")
    assert not (onnxport.folder / "iris.onnx").exists()
    missing = onnxport("adopt", forest, "-o", "iris.onnx", "--labels", "no.json")
    assert missing.code == 2
    assert "--labels no.json: No such file or directory" in missing.err


def test_the_doctor(onnxport: Terminal, forest: Path) -> None:
    done = onnxport("inspect", "--doctor", forest)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("mends  zipmap ")
    assert done.out.endswith("can be adopted: onnxport adopt model.onnx -o MODEL.onnx\n")
    told = json.loads(onnxport("inspect", "--doctor", forest, "--json").out)
    assert told["adoptable"] is True
    assert told["findings"][0]["code"] == "zipmap"


def test_the_doctor_gives_up(onnxport: Terminal) -> None:
    made = model(
        [Node("Gelu", ["x"], ["y"], domain="com.microsoft")],
        [info("x", FLOAT, [1, 3])],
        [info("y", FLOAT, [1, 3])],
        domains=["com.microsoft"],
    )
    done = onnxport("inspect", "--doctor", put(onnxport.folder, made))
    assert done.code == 1
    assert done.out.startswith("stops  custom_operator ")
    assert "mends  fixed_batch " in done.out
    assert done.err.startswith("onnxport: model.onnx can't be adopted: domain 'com.microsoft'")
