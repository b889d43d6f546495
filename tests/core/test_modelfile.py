"""The model file: what any ONNX tool still reads, and every way in which a file is refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxport
from onnxport.errors import ModelFileError
from onnxport.manifest import CAPS, DIGEST_KEY, FORMAT_KEY, MANIFEST_KEY, SELFTEST_KEY
from onnxport.modelfile import BLANK_DIGEST, parse_model_file, read_metadata, seal


@pytest.fixture(scope="module")
def fixture(root: Path) -> Path:
    """A file of format 1.0, kept since it was frozen."""
    return root / "tests" / "fixtures" / "format-1.0.onnx"


def _edited(path: Path, **changes: str | None) -> bytes:
    """The file with metadata replaced (None: removed) and sealed again, as its author could have."""
    model = onnx.load(path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    entries |= {f"onnxport.{key}": value for key, value in changes.items() if value is not None}
    for key, value in changes.items():
        if value is None:
            del entries[f"onnxport.{key}"]
    if DIGEST_KEY in entries:
        entries[DIGEST_KEY] = BLANK_DIGEST
    del model.metadata_props[:]
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString()
    return seal(content) if DIGEST_KEY in entries else content


def _manifest(path: Path) -> dict[str, Any]:
    return dict(json.loads(read_metadata(path.read_bytes())[MANIFEST_KEY]))


def test_the_first_format_opens_for_ever(fixture: Path) -> None:
    model = onnxport.load(fixture)
    cases = json.loads(fixture.with_suffix(".json").read_text("utf-8"))
    for case in cases:
        answer = model.predict(case["row"])
        assert answer["prediction"] == case["answer"]["prediction"]
        assert answer["probabilities"] == pytest.approx(case["answer"]["probabilities"], abs=1e-9)
    assert model.manifest["format"] == "1.0"
    assert model.manifest["model"]["name"] == "returns"


def test_texts_open_for_ever(fixture: Path) -> None:
    text = fixture.with_name("format-1.1-text.onnx")
    model = onnxport.load(text)
    for case in json.loads(text.with_suffix(".json").read_text("utf-8")):
        assert model.predict(case["row"]) == case["answer"]
    assert [tensor.name for tensor in model.signature.tensors] == ["num", "t0", "t1"]


def test_later_formats_open_for_ever(fixture: Path) -> None:
    second = fixture.with_name("format-1.1.onnx")
    model = onnxport.load(second)
    for case in json.loads(second.with_suffix(".json").read_text("utf-8")):
        assert model.predict(case["row"]) == case["answer"]
    assert model.manifest["format"] == "1.1"
    assert model.signature.targets == ("back", "member")


def test_tensors_open_for_ever(fixture: Path) -> None:
    third = fixture.with_name("format-1.2.onnx")
    model = onnxport.load(third)
    for case in json.loads(third.with_suffix(".json").read_text("utf-8")):
        assert model.predict(case["row"]) == case["answer"]
    assert [f.kind for f in model.signature.features] == ["tensor"] * 3
    assert "pattern" in model.file.selftest.inputs["image"][0]


def test_a_reader_of_the_first_format_refuses_what_came_later(fixture: Path) -> None:
    """It knows neither these tasks nor these roles, so that it can't answer wrongly."""
    manifest = _manifest(fixture.with_name("format-1.1.onnx"))
    known = ("binary_classification", "multiclass_classification", "regression")
    assert manifest["model"]["task"] not in known
    assert "classes" not in manifest


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: m["texts"].pop(), "the features don't fill the tensors"),
        (lambda m: m.pop("texts"), "the features don't fill the tensors"),
        (lambda m: m["texts"][0].update(tensor="num"), "share a name or a place"),
        (lambda m: m["texts"][0].update(tensor="t1"), "share a name or a place"),
        (lambda m: m["texts"][0].update(feature="visits"), "'visits' and the text tensors"),
        (lambda m: m["texts"][0].update(feature="other"), "fits no feature"),
        (lambda m: m["inputs"][0].update(kind="categorical"), "'review' and the text tensors"),
        (lambda m: m["inputs"][0].update(nullable=True), "the text 'review' may be null"),
        (lambda m: m["inputs"][0].update(dtype="float64"), "or is no string"),
        (lambda m: m["inputs"][1].update(tensor="", column=0), "the features don't fill"),
        (lambda m: m["texts"][0].update(analyzer="line"), "unknown analyzer 'line'"),
        (lambda m: m["texts"][0].update(analyzer=["word"]), "values of wrong types"),
        (lambda m: m["texts"][0].update(lowercase=1), "values of wrong types"),
        (lambda m: m["texts"][0].update(stop_words=[1]), "values of wrong types"),
        (lambda m: m["texts"][0].update(strip_accents="all"), "unknown strip_accents"),
        (lambda m: m["texts"][0].update(ngram_range=[1]), "onnxport.manifest"),
        (lambda m: m["texts"][0].update(ngram_range=[1, 10**9]), "doesn't lie within 1 to 32"),
        (lambda m: m["texts"][0].update(ngram_range=[1.0, 2.0]), "values of wrong types"),
        (lambda m: m["texts"][0].update(token_pattern="(a"), "no regular expression"),
        (lambda m: m["texts"][0].update(token_pattern="a" * 513), "over 512 characters"),
        (lambda m: m["texts"][0].pop("token_pattern"), "belongs to the analyzer 'word'"),
        (lambda m: m["texts"][1].update(token_pattern="a"), "belongs to the analyzer 'word'"),
    ],
    ids=range(22),
)
def test_declarations_of_text_that_do_not_fit(edit: Any, said: str, fixture: Path) -> None:
    text = fixture.with_name("format-1.1-text.onnx")
    manifest = _manifest(text)
    edit(manifest)
    with pytest.raises(ModelFileError) as caught:
        onnxport.load(_edited(text, manifest=json.dumps(manifest)))
    assert said in str(caught.value)


def test_a_file_of_another_unicode_version_is_told_of(
    fixture: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = fixture.with_name("format-1.1-text.onnx")
    manifest = _manifest(text)
    manifest["runtime"]["unicode"] = "1.1.5"
    onnxport.load(_edited(text, manifest=json.dumps(manifest)))
    assert "saved under Unicode 1.1.5" in caplog.text


@pytest.mark.parametrize("values", [[None] * 32, [5] * 32, [["a"]] * 32])
def test_a_self_test_without_texts_is_refused(values: list[Any], fixture: Path) -> None:
    text = fixture.with_name("format-1.1-text.onnx")
    selftest = json.loads(read_metadata(text.read_bytes())[SELFTEST_KEY])
    selftest["inputs"]["review"] = values
    with pytest.raises(ModelFileError, match=r"self-test failed|values of other types"):
        onnxport.load(_edited(text, selftest=json.dumps(selftest)))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: m["target_classes"].pop(), "the classes don't fit the targets"),
        (lambda m: m.pop("target_classes"), "the classes don't fit the task"),
        (lambda m: m.update(classes=m["target_classes"][0]), "the classes don't fit the task"),
        (lambda m: m["target_classes"][1].update(values=["a", "a"]), "two have one label"),
        (lambda m: m["target_classes"][1].update(values=[]), "the classes are fewer than two"),
        (
            lambda m: m["target_classes"][1].update(values=["a"]),
            "the outputs don't fit the classes",
        ),
        (lambda m: m["target_classes"][1].update(values=[None, 1]), "a label is no string"),
        (lambda m: m["targets"].pop(), "the classes don't fit the targets"),
        (lambda m: m["outputs"][0].update(shape=[None]), "the classes don't fit the targets"),
        (lambda m: m["outputs"][1].update(role="score"), "the outputs don't fit the task"),
        (lambda m: m["model"].update(task="outlier_detection"), "the outputs don't fit the task"),
        (lambda m: m["model"].update(task="clustering"), "the classes don't fit the task"),
        (lambda m: m["model"].update(task="transformation"), "the outputs don't fit the task"),
    ],
    ids=range(13),
)
def test_manifests_of_several_targets_that_do_not_fit(edit: Any, said: str, fixture: Path) -> None:
    second = fixture.with_name("format-1.1.onnx")
    manifest = _manifest(second)
    edit(manifest)
    with pytest.raises(ModelFileError) as caught:
        onnxport.load(_edited(second, manifest=json.dumps(manifest)))
    assert said in str(caught.value)


@pytest.mark.parametrize("codes", [[0, 0], [[0]] * 32, [[0, 9]] * 32, [[True, 0]] * 32, [1] * 32])
def test_expected_codes_that_do_not_fit(codes: Any, fixture: Path) -> None:
    second = fixture.with_name("format-1.1.onnx")
    selftest = json.loads(read_metadata(second.read_bytes())[SELFTEST_KEY])
    selftest["expect"]["code"] = codes
    with pytest.raises(ModelFileError, match=r"onnxport\.selftest: it "):
        onnxport.load(_edited(second, selftest=json.dumps(selftest)))


def test_other_tools_read_it(fixture: Path) -> None:
    onnx.checker.check_model(str(fixture), full_check=True)
    model = onnx.load(fixture)
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert props["model_author"] == "onnxport"
    assert props["model_license"] == "Apache-2.0"
    assert "Will the visitor come back?" in model.doc_string
    assert {o.domain: o.version for o in model.opset_import} == {"": 21, "ai.onnx.ml": 5}
    assert model.ir_version == 10
    session = onnxruntime.InferenceSession(str(fixture))
    code, proba = session.run(
        ["code", "proba"],
        {
            "num": np.array([[7.25, 3.0, 1.0]]),
            "s0": np.array([["Paris"]], dtype=object),
            "s1": np.array([["first"]], dtype=object),
        },
    )
    row = {"fare price (€)": 7.25, "visits": 3, "member": True, "city": "Paris", "class": "first"}
    answer = onnxport.load(fixture).predict(row)
    assert answer["prediction"] == ["maybe", "no", "yes"][code[0]]
    assert list(answer["probabilities"].values()) == proba[0].tolist()


def test_canonical_json(fixture: Path) -> None:
    for key, text in read_metadata(fixture.read_bytes()).items():
        if key in CAPS and key != FORMAT_KEY:
            again = json.dumps(
                json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False
            )
            assert again == text
            assert len(text.encode()) <= CAPS[key]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "2.0"}, "the file has format 2.0, and this onnxport reads format 1.2"),
        ({"format": "one"}, "'one', which is no version number"),
        ({"format": None}, "an ONNX file without onnxport's metadata"),
        ({"manifest": None}, "onnxport.manifest is missing"),
        ({"selftest": None}, "onnxport.selftest is missing"),
        ({"baseline": None}, "onnxport.baseline is missing"),
        ({"digest": None}, "onnxport.digest is missing"),
        ({"manifest": "{"}, "onnxport.manifest is not the JSON that onnxport writes"),
        ({"manifest": "[]"}, "onnxport.manifest is not a JSON object"),
        ({"manifest": '{"a":1,"a":2}'}, "a key stands twice in one object"),
        ({"manifest": '{"a":NaN}'}, "NaN is not JSON"),
        ({"manifest": "{}"}, "'model' is missing"),
        ({"selftest": "{}"}, "'tolerance' is missing"),
        ({"selftest": '{"inputs":[1],"expect":{},"tolerance":0}'}, "are not lists by name"),
        ({"baseline": " " * (512 * 1024 + 1)}, "larger than the 524288 bytes allowed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_metadata_that_is_refused(changes: dict[str, str], said: str, fixture: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        onnxport.load(_edited(fixture, **changes))
    assert said in str(caught.value)


def test_a_newer_minor_format_is_read(fixture: Path) -> None:
    manifest = _manifest(fixture) | {"invented_later": {"a": 1}}
    model = onnxport.load(_edited(fixture, format="1.7", manifest=json.dumps(manifest)))
    assert model.manifest["invented_later"] == {"a": 1}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: m["inputs"].append(m["inputs"][0]), "two features share a name or a place"),
        (lambda m: m["inputs"].pop(), "the features don't fill the tensors"),
        (lambda m: m["inputs"][0].update(kind="vector"), "unknown kind 'vector'"),
        (lambda m: m["inputs"][0].update(column=9), "no column 9 in tensor 'num'"),
        (lambda m: m["outputs"][0].update(role="guess"), "unknown output role 'guess'"),
        (lambda m: m["model"].update(task="magic"), "unknown task 'magic'"),
        (lambda m: m["tensors"][0].update(datatype="FP8"), "unknown datatype 'FP8'"),
        (lambda m: m["tensors"][0].update(datatype="FP32"), "inputs are not the graph's"),
        (lambda m: m["outputs"][1].update(tensor="nowhere"), "features and outputs"),
        (lambda m: m["classes"]["values"].pop(), "the outputs don't fit the classes"),
        (lambda m: m["classes"].update(values=["a", "a", "b"]), "two have one label"),
        (lambda m: m.update(classes=[]), "classes is no object"),
        (lambda m: m.pop("classes"), "the classes don't fit the task"),
        (lambda m: m["outputs"][0].update(role="value"), "the outputs don't fit the task"),
        (lambda m: m.update(outputs=[]), "the outputs don't fit the task"),
        (lambda m: m["model"].pop("name"), "model.name is missing"),
        (lambda m: m["model"].update(version=7), "model.version is no string"),
        (lambda m: m.update(parity="proven"), "parity is no object"),
        (lambda m: m.update(parity={}), "parity.rows is missing"),
        (lambda m: m.update(source="x"), "source is no object"),
        (lambda m: m.update(runtime=[]), "runtime is no object"),
        (lambda m: m["runtime"].update(rows_per_run="all"), "rows_per_run is no integer"),
        (lambda m: m["outputs"].pop(1), "features and outputs"),
        (lambda m: m["outputs"][1].update(tensor={}), "outputs.1.tensor is no string"),
        (lambda m: m["classes"]["values"].__setitem__(0, 10**30), "a label is beyond 64 bits"),
        (lambda m: m["inputs"][0].update(min="low"), "inputs.0.min is no number"),
        (lambda m: m["inputs"][0].update(name="\ud800"), "surrogates not allowed"),
        (lambda m: m["inputs"][0].update(nullable=1), "inputs.0.nullable is no boolean"),
        (lambda m: m["inputs"][4].update(categories=[{}]), "is no string, number or boolean"),
        (lambda m: m["parity"].update(rows="many"), "parity.rows is no integer"),
        (lambda m: m["parity"].update(rows=True), "parity.rows is no integer"),
        (lambda m: m["parity"].update(row_sets=[1]), "parity.row_sets.0 is no string"),
        (lambda m: m["parity"].update(rows_by_set={"a": "b"}), "parity.rows_by_set.a is no"),
        (lambda m: m["source"].update(versions=[]), "source.versions is no object"),
        (lambda m: m.update(tensors=[{"name": "num"}]), "'datatype' is missing"),
    ],
    ids=range(35),
)
def test_manifests_that_do_not_fit(edit: Any, said: str, fixture: Path) -> None:
    manifest = _manifest(fixture)
    edit(manifest)
    with pytest.raises(ModelFileError) as caught:
        onnxport.load(_edited(fixture, manifest=json.dumps(manifest)))
    assert said in str(caught.value)


def test_a_failed_self_test_is_refused(fixture: Path) -> None:
    selftest = json.loads(read_metadata(fixture.read_bytes())[SELFTEST_KEY])
    selftest["expect"]["proba"][0][0] += 1e-4
    with pytest.raises(
        ModelFileError, match=r"the self-test failed on ONNX Runtime .*'proba' differs"
    ):
        onnxport.load(_edited(fixture, selftest=json.dumps(selftest)))
    selftest["expect"]["proba"][0][0] -= 1e-4
    selftest["expect"]["code"][0] = (selftest["expect"]["code"][0] + 1) % 3
    with pytest.raises(ModelFileError, match="'code' differs"):
        onnxport.load(_edited(fixture, selftest=json.dumps(selftest)))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda s: s.update(tolerance=1e308), "tolerance is not between 0 and 0.001"),
        (lambda s: s["expect"].pop("proba"), "features and outputs"),
        (lambda s: s["inputs"].pop("city"), "features and outputs"),
        (lambda s: s["inputs"]["city"].pop(), "columns of different lengths"),
        (lambda s: s["expect"]["code"].__setitem__(0, 3), "a label that doesn't exist"),
        (lambda s: s["expect"].update(more=s["expect"]["code"]), "features and outputs"),
        (lambda s: s["expect"]["proba"][0].__setitem__(0, {}), "the stored rows can't be run"),
        (lambda s: s["inputs"]["city"].__setitem__(0, 5), "values of other types"),
        (lambda s: s["inputs"]["visits"].__setitem__(0, {}), "values of other types"),
        (lambda s: s["inputs"]["visits"].__setitem__(0, 10**400), "the stored rows can't be run"),
        (
            lambda s: [
                column.clear() for part in ("inputs", "expect") for column in s[part].values()
            ],
            "no rows",
        ),
    ],
    ids=range(11),
)
def test_self_tests_that_prove_nothing(edit: Any, said: str, fixture: Path) -> None:
    selftest = json.loads(read_metadata(fixture.read_bytes())[SELFTEST_KEY])
    edit(selftest)
    with pytest.raises(ModelFileError) as caught:
        onnxport.load(_edited(fixture, selftest=json.dumps(selftest)))
    assert said in str(caught.value)


def test_duplicate_metadata_keys_are_refused(fixture: Path) -> None:
    model = onnx.load(fixture)
    model.metadata_props.add(key=MANIFEST_KEY, value="{}")
    onnxruntime.InferenceSession(model.SerializeToString())  # which takes the last without a word
    with pytest.raises(ModelFileError, match=r"'onnxport\.manifest' stands twice in the file"):
        onnxport.load(model.SerializeToString())


def test_damaged_bytes_are_refused(fixture: Path) -> None:
    """Every truncation and every flipped byte: each gets a ModelFileError, never another error."""
    content = fixture.read_bytes()
    rng = random.Random(4)
    for end in rng.sample(range(len(content)), 150):
        with pytest.raises(ModelFileError):
            parse_model_file(content[:end])
    for at in rng.sample(range(len(content)), 400):
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.randrange(8)
        with pytest.raises(ModelFileError):
            parse_model_file(bytes(flipped))


@pytest.mark.long
def test_every_damaged_byte_is_refused(fixture: Path) -> None:
    """Every length that the file could be cut to, and every byte with every single bit flipped."""
    content = fixture.read_bytes()
    for end in range(len(content)):
        with pytest.raises(ModelFileError):
            parse_model_file(content[:end])
    for at in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[at] ^= 1 << bit
            with pytest.raises(ModelFileError):
                parse_model_file(bytes(flipped))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 64, b"PK\x03\x04" * 20, b"{}"])
def test_files_that_are_no_models(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"^other\.onnx: ") as caught:
        onnxport.load(path)
    assert str(tmp_path) not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.onnx: No such file"):
        onnxport.load(tmp_path / "none.onnx")
    with pytest.raises(ModelFileError, match="Is a directory"):
        onnxport.load(tmp_path)


def test_external_data_is_refused(fixture: Path) -> None:
    model = onnx.load(fixture)
    tensor = numpy_helper.from_array(np.zeros(64), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    model.graph.initializer.append(tensor)
    with pytest.raises(ModelFileError, match="external data"):
        onnxport.load(_resealed(model))
    inside = onnx.load(fixture)
    inside.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=tensor))
    with pytest.raises(ModelFileError, match="external data"):
        onnxport.load(_resealed(inside))


def test_foreign_operators_are_refused(fixture: Path) -> None:
    model = onnx.load(fixture)
    model.graph.node.append(helper.make_node("Shell", ["num"], ["x"], domain="com.example"))
    with pytest.raises(ModelFileError, match=r"domain 'com\.example', which is not allowed"):
        onnxport.load(_resealed(model))


def _resealed(model: onnx.ModelProto) -> bytes:
    for entry in model.metadata_props:
        if entry.key == DIGEST_KEY:
            entry.value = BLANK_DIGEST
    return seal(model.SerializeToString())


def test_the_digest_covers_the_graph(fixture: Path) -> None:
    content = fixture.read_bytes()
    digest = read_metadata(content)[DIGEST_KEY]
    assert onnxport.load(content).file.digest == digest
    model = onnx.load(fixture)
    model.graph.name = "another"
    with pytest.raises(ModelFileError, match="the digest doesn't match"):
        onnxport.load(model.SerializeToString())


def test_telemetry_is_off_before_the_runtime_is_imported() -> None:
    """Whatever the caller's environment says, and whichever way the runtime comes in."""
    program = (
        "import os, sys\n"
        "import onnxport\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "onnxport.load\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
    )
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "0"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
