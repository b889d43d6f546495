"""Files of PyTorch and of the ONNX model zoo, and model files that another tool rewrote."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.ensemble import RandomForestClassifier

import onnxport
from onnxport.export.adopting import NotAdoptable, adopt, examine
from tests.export.adopting.files import (
    CODES,
    FLOWERS,
    SPECIES,
    answers,
    normal,
    put,
    quietly,
)

ZOO = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def adopted(path: Path, **options: Any) -> onnxport.Model:
    adopt(path, path.with_name("adopted.onnx"), **options)
    return onnxport.load(path.with_name("adopted.onnx"))


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_the_zoo(tmp_path: Path, name: str) -> None:
    """Opset 9, IR 3, weights as inputs, a batch of one."""
    path = put(tmp_path, onnx.load(ZOO / f"light_{name}.onnx"))
    served = adopted(path)
    (feature,) = served.signature.features
    assert feature.shape == (3, 224, 224)
    rows = np.random.default_rng(0).random((3, 3, 224, 224), dtype=np.float32)
    wanted = [answers(path, {feature.name: row[None]}) for row in rows]
    got = served.predict([{feature.name: row} for row in rows])
    for answer, said in zip(got, wanted, strict=True):
        ((output, value),) = said.items()
        np.testing.assert_allclose(answer[output], value[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dynamo", [True, False])
def test_pytorch(tmp_path: Path, dynamo: bool) -> None:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    path = tmp_path / "net.onnx"

    def export() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            torch.onnx.export(
                net.eval(),
                (torch.zeros(1, 8),),
                str(path),
                input_names=["x"],
                output_names=["logits"],
                dynamo=dynamo,
            )

    quietly(export)
    rows = normal(100, 8)
    with torch.no_grad():
        wanted = net(torch.from_numpy(rows)).numpy()
    got = adopted(path, labels=["a", "b", "c"]).predict([{"x": row} for row in rows])
    assert [a["prediction"] for a in got] == [("a", "b", "c")[i] for i in wanted.argmax(axis=1)]


# ------------------------------------------------------------------------------------------- rewritten model files


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    forest = RandomForestClassifier(5, random_state=0).fit(FLOWERS, SPECIES[CODES])
    path = tmp_path / "iris.onnx"
    onnxport.save(forest, path, FLOWERS, features=["a", "b", "c", "d"], description="of old")
    return path


def rewrite(path: Path, change: Any) -> Path:
    made = onnx.load(path)
    change(made)
    made.producer_name = "slimmer"
    return put(path.parent, made, "rewritten.onnx")


def test_a_rewritten_file_is_certified_anew(iris: Path) -> None:
    path = rewrite(iris, lambda made: setattr(made, "doc_string", "slim"))
    assert [finding.code for finding in examine(path)] == ["rewritten"]
    report = adopt(path, iris.with_name("anew.onnx"), version="2")
    model, old = onnxport.load(report.path), onnxport.load(iris)
    assert model.signature == old.signature
    assert model.manifest["model"]["description"] == "of old"
    assert model.manifest.version == "2"
    assert model.manifest["source"]["rewritten_by"].startswith("slimmer")
    assert report.parity.row_sets == ("selftest",)
    rows = FLOWERS.astype(np.float64)
    assert model.predict(rows) == old.predict(rows)


def change_leaves(made: onnx.ModelProto) -> None:
    for node in made.graph.node:
        for attribute in node.attribute:
            if attribute.name == "leaf_weights":
                weights = onnx.numpy_helper.to_array(attribute.t)
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(weights[::-1].copy()))


def rename_input(made: onnx.ModelProto) -> None:
    old, made.graph.input[0].name = made.graph.input[0].name, "renamed"
    for node in made.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "renamed" if name == old else name


def drop_output(made: onnx.ModelProto) -> None:
    del made.graph.output[1]


def break_selftest(made: onnx.ModelProto) -> None:
    for entry in made.metadata_props:
        if entry.key == "onnxport.selftest":
            entry.value = "{}"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (change_leaves, "slimmer changed its answers: the self-test failed on ONNX Runtime"),
        (rename_input, "its inputs are not those of its manifest any more ('num', 'renamed')"),
        (drop_output, "it lost the outputs 'proba"),
        (break_selftest, "its self-test can't be read any more"),
    ],
)
def test_a_rewritten_file_that_changed(iris: Path, change: Any, sentence: str) -> None:
    path = rewrite(iris, change)
    with pytest.raises(NotAdoptable) as caught:
        adopt(path, iris.with_name("anew.onnx"))
    assert sentence in str(caught.value)
    assert not iris.with_name("anew.onnx").exists()


def test_a_lost_manifest(iris: Path) -> None:
    def forget(made: onnx.ModelProto) -> None:
        kept = [entry for entry in made.metadata_props if entry.key != "onnxport.manifest"]
        fresh = [onnx.StringStringEntryProto.FromString(e.SerializeToString()) for e in kept]
        del made.metadata_props[:]
        made.metadata_props.extend(fresh)

    path = rewrite(iris, forget)
    assert examine(path)[0].code == "manifest"
    report = adopt(path, iris.with_name("anew.onnx"))
    assert report.signature.task == "tensor"  # nothing tells what its codes stood for
