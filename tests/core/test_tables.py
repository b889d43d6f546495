"""The quick reader takes nothing but what the strict reader takes, and reads it as the same numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onnxport.codec import (
    Batch,
    Limits,
    RowEncoder,
    TableReader,
    Unsure,
    answer_rows,
    encode_answers,
    parse_json,
    read_rows,
    read_tensors,
    refuse_large,
)
from onnxport.errors import OnnxportError, TooLarge
from onnxport.signature import NULL_TOKEN, Feature, Output, Signature, Tensor
from onnxport.tensors import Arrays, pack
from tests.server import models

TABLES = {
    "numbers": models.iris().signature,
    "odd names": models.odd_names().signature,
    "every kind": models.every_kind().signature,
    "colons": models.classifier(
        "c", [models.number("a:b"), models.number("b", 1)], ("x", "y"), []
    ).signature,
    "unread columns": Signature(
        task="regression",
        features=(models.number("a"), models.number("b", 1, nullable=True)),
        tensors=(Tensor("num", "FP32", (2,)),),
        outputs=(Output("value", "value", 1),),
        targets=("y",),
        columns=("a", "unread", "b", "neither"),
    ),
    "limits": Signature(
        task="regression",
        features=(Feature("n", "integer", "int64", "num", limits=(-3, 300)),),
        tensors=(Tensor("num", "INT64", (1,)),),
        outputs=(Output("value", "value", 1),),
        targets=("y",),
    ),
}
READERS = {name: TableReader(signature) for name, signature in TABLES.items()}

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-400, 400).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        [
            "-0",
            "0",
            "-0.0",
            "1e5",
            "1E+5",
            "1e-400",
            "2e308",
            "1.0",
            "5.5",
            "9007199254740992",
            "9007199254740991",
            "9007199254740993",
            "-9007199254740992.0",
            "1e16",
            "18446744073709551616",
            "3.4028235677973366e38",
            "01",
            "+1",
            "1.",
            ".5",
            "NaN",
            "Infinity",
        ]
    ),
    st.from_regex(r"-?[0-9]{1,25}\.[0-9]{1,40}(e[+-]?[0-9]{1,3})?", fullmatch=True),
)
TEXTS = st.one_of(
    st.sampled_from(["Paris", "東京", "a", "a:b", 'a"b', "a\\", "\0", NULL_TOKEN, "", "é\n"]),
    st.text(max_size=8),
).map(json.dumps)
RAW = st.sampled_from(
    ['"\\ud800"', '"\\u0041"', '"\ud83d"', '"\t"', '"x', "{}", "[]", "[1]", '{"a":1}']
)
VALUES = st.one_of(NUMBERS, NUMBERS, TEXTS, RAW, st.sampled_from(["true", "false", "null", "1 "]))


@st.composite
def rows(draw: st.DrawFn, names: tuple[str, ...], ignored: tuple[str, ...]) -> str:
    """An object of the features, now and then with one too few, too many, or twice."""
    keys = [json.dumps(name, ensure_ascii=draw(st.booleans())) for name in names]
    keys += (
        [json.dumps(name) for name in draw(st.lists(st.sampled_from(ignored)))] if ignored else []
    )
    change = draw(st.integers(0, 12))
    if change == 0:
        keys.append(draw(st.sampled_from(keys)))
    elif change == 1:
        keys.append('"more"')
    elif change == 2:
        keys.remove(draw(st.sampled_from(keys)))
    elif change == 3:
        keys[0] = f'"\\u{ord(names[0][0]):04x}{json.dumps(names[0][1:])[1:]}'
    elif change == 4:
        keys = draw(st.permutations(keys))
    space = draw(st.sampled_from(["", " ", "\n\t", "\x0b", "\ufeff"][: 3 + 2 * (change == 5)]))
    return "{" + ",".join(f"{key}{space}:{space}{draw(VALUES)}" for key in keys) + "}"


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    table = draw(st.sampled_from(sorted(TABLES)))
    signature = TABLES[table]
    some = draw(st.lists(rows(signature.names, signature.ignored), min_size=1, max_size=3))
    text = some[0] if draw(st.booleans()) else f"[{','.join(some)}]"
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    if draw(st.integers(0, 5)) == 0:
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return table, bytes(body)


def strict(signature: Signature, body: bytes) -> Arrays:
    batch = read_rows(signature, parse_json(body))
    return pack(signature, batch.columns, batch.rows)


def same(found: Arrays, wanted: Arrays) -> bool:
    """To the bit, signs of zeros included."""
    return found.keys() == wanted.keys() and all(
        found[name].dtype == array.dtype
        and found[name].shape == array.shape
        and (
            found[name].tolist() == array.tolist()
            if array.dtype == object
            else found[name].tobytes() == array.tobytes()
        )
        for name, array in wanted.items()
    )


@settings(max_examples=500, deadline=None)
@given(bodies())
@example(
    (
        "numbers",
        b'{"sepal_length":1,"sepal_length":2,"sepal_width":1,"petal_length":1,"petal_width":1}',
    )
)
def test_what_is_read_quickly_is_read_alike(given: tuple[str, bytes]) -> None:
    table, body = given
    try:
        batch = READERS[table].read_batch(body, limits=Limits())
    except Unsure:
        return
    assert batch.feeds is not None
    assert batch.single == isinstance(json.loads(body), dict)
    assert same(batch.feeds, strict(TABLES[table], body))


@pytest.mark.parametrize("table", sorted(TABLES))
def test_usual_rows_are_read_quickly(table: str) -> None:
    signature, reader = TABLES[table], READERS[table]
    usual = {
        "amount": 1.5, "small": -2.5, "visits": 3, "flag": True, "grade": 5, "city": "東京", "note": "a: b",
    }  # fmt: skip
    row = {name: usual.get(name, 0.5 if table != "limits" else 3) for name in signature.names}
    for ignored in ({}, dict.fromkeys(signature.ignored, 1.5)):
        bodies = [
            json.dumps(row | ignored, ensure_ascii=False).encode(),
            orjson.dumps(ignored | row),
        ]
        feeds = reader.read(bodies)
        wanted = [strict(signature, body) for body in bodies]
        assert same(feeds, {k: np.concatenate([each[k] for each in wanted]) for k in wanted[0]})


def test_many_features_are_read_quickly_in_any_order() -> None:
    """By name: msgspec would look for each among all."""
    features = [models.number(f"f{i}", i, nullable=i % 7 == 0) for i in range(600)]
    signature = models.classifier("wide", features, ("x", "y"), []).signature
    reader = TableReader(signature)
    row: dict[str, Any] = {f"f{i}": None if i % 70 == 0 else i / 8 for i in range(600)}
    backwards = dict(reversed(row.items()))
    bodies = [json.dumps(each).encode() for each in (row, backwards)]
    feeds = reader.read(bodies)
    assert same(feeds, {"num": np.concatenate([strict(signature, bodies[0])["num"]] * 2)})
    batch = reader.read_batch(json.dumps([row, backwards]).encode(), limits=Limits())
    assert batch.feeds is not None
    assert same(batch.feeds, feeds)
    for wrong in ({"f1": None}, {"f1": True}, {"f1": "1"}, {"f1": 2**53}, {"g": 1}):
        with pytest.raises(Unsure):
            reader.read([json.dumps(row | wrong).encode()])
    with pytest.raises(Unsure):
        reader.read([json.dumps(row).encode().replace(b'"f1":', b'"f1":1,"f1":')])


def test_what_nests_too_deep_is_left_to_the_strict_reader() -> None:
    deep = "[" * 3000 + "]" * 3000
    with pytest.raises(Unsure):
        READERS["unread columns"].read([f'{{"a":1,"b":1,"unread":{deep}}}'.encode()])


def test_too_large_a_body_is_refused_before_it_is_read_strictly() -> None:
    signature, limits = TABLES["numbers"], Limits(rows=10)
    for body in (
        b"[" + b"[]," * 40_000 + b"[]]",
        json.dumps(dict.fromkeys(map(str, range(9000)))).encode(),
    ):
        with pytest.raises(TooLarge, match=r"40001 rows|9000 keys"):
            refuse_large(signature, body, limits)
    refuse_large(signature, b"[" * 90_000, limits)
    refuse_large(signature, b"[]" + b" " * 90_000, limits)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2,"b":1}',
        b'{"a":1,"b":1,"b":null}',
        b'{"a":1,"b":1,"unread":1,"unread":2}',
        b'{"a":1,"b":1,"unread":1,"neither":{"x":1}}',
        b'{"a":100000000000000000000,"b":1}',
        b'{"a":9007199254740993,"b":1}',
        b'{"a":true,"b":1}',
        b'{"a":"1","b":1}',
        b'{"a":NaN,"b":1}',
        b'{"a":1e999,"b":1}',
        b'{"a":null,"b":1}',
        b'{"a":1}',
        b'{"a":1,"b":1,"c":1}',
        b"[]",
        b"",
        b'\xef\xbb\xbf{"a":1,"b":1}',
    ],
)
def test_what_is_not_certain_is_left_to_the_strict_reader(body: bytes) -> None:
    with pytest.raises(Unsure):
        READERS["unread columns"].read_batch(body, limits=Limits())


@pytest.mark.parametrize("limits", [Limits(rows=1), Limits(cells=13), Limits(string=1)])
def test_what_is_over_the_limits_is_refused_in_both_ways(limits: Limits) -> None:
    row = {
        "amount": 1,
        "small": 1,
        "visits": 1,
        "flag": None,
        "grade": 1,
        "city": "Paris",
        "note": "ab",
    }
    body = json.dumps([row, row]).encode()
    signature = TABLES["every kind"]
    with pytest.raises(Unsure):
        READERS["every kind"].read_batch(body, limits=limits)
    with pytest.raises(OnnxportError, match=r"at most|longer than"):
        read_rows(signature, parse_json(body), limits=limits)
    at_the_limit = Limits(rows=2, cells=14, string=5)
    assert READERS["every kind"].read_batch(body, limits=at_the_limit).rows == 2
    assert read_rows(signature, parse_json(body), limits=at_the_limit).rows == 2


IMAGE = Signature(
    task="tensor",
    features=(Feature("x", "tensor", "FP32", "x", shape=(2, 2)),),
    tensors=(Tensor("x", "FP32", (2, 2)),),
    outputs=(Output("y", "tensor", shape=(1,), datatype="FP32"),),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, min_size=4, max_size=4), st.booleans())
def test_whole_tensors_too(values: list[str], twice: bool) -> None:
    text = '{{"x":[[{},{}],[{},{}]]{}}}'.format(*values, ',"x":[[1,2],[3,4]]' * twice)
    body = text.encode("utf-8", "surrogatepass")
    try:
        batch = read_tensors(IMAGE, body, limits=Limits())
    except Unsure:
        return
    assert not twice
    assert same(packed(batch), strict(IMAGE, body))


def test_a_usual_tensor_is_read_quickly() -> None:
    assert read_tensors(IMAGE, b'[{"x":[[1,2.5],[-3,4]]}]', limits=Limits()).rows == 1


def packed(batch: Batch) -> Arrays:
    return pack(IMAGE, batch.columns, batch.rows)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
LABELS = st.one_of(st.text(max_size=6), st.integers(-5, 2**60), st.booleans(), FINITE)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_answers_are_encoded_as_orjson_encodes_them(data: st.DataObject) -> None:
    rows, width = data.draw(st.integers(0, 5)), data.draw(st.integers(2, 4))
    matrix = np.array(data.draw(st.lists(FINITE, min_size=rows * width, max_size=rows * width)))
    matrix = matrix.reshape(rows, width)
    labels = tuple(data.draw(st.lists(LABELS, min_size=width, max_size=width, unique_by=repr)))
    codes = np.array(
        data.draw(st.lists(st.integers(0, width - 1), min_size=rows, max_size=rows)), dtype=np.int64
    )
    score = matrix[:, :1]
    for signature, outputs in answering(labels, width, codes, matrix, score):
        rendered = RowEncoder(signature).encode(outputs)
        answers: list[Any] = answer_rows(signature, outputs)
        assert rendered == [encode_answers(answer) for answer in answers]


def answering(
    labels: tuple[Any, ...], width: int, codes: Any, matrix: Any, score: Any
) -> list[tuple[Signature, Arrays]]:
    """Signatures of every form of answer, and outputs for each."""
    code, proba = Output("c", "label_code"), Output("p", "probabilities", width)
    names = tuple(f"t{i}" for i in range(width))

    def signature(task: Any, outputs: tuple[Output, ...], **more: Any) -> Signature:
        return Signature(task=task, features=(), tensors=(), outputs=outputs, **more)

    return [
        (signature("multiclass_classification", (code, proba), classes=labels), {"c": codes, "p": matrix}),
        (signature("clustering", (code,), classes=labels), {"c": codes}),
        (
            signature("outlier_detection", (code, Output("s", "score", 1)), classes=labels),
            {"c": codes, "s": score},
        ),
        (signature("regression", (Output("v", "value", 1),), targets=("y",)), {"v": score}),
        (signature("regression", (Output("v", "value", width),), targets=names), {"v": matrix}),
        (
            signature("regression", (Output("v", "value", 1),), targets=("y",)),
            {"v": np.clip(score, -1e38, 1e38).astype(np.float32)},
        ),
        (signature("transformation", (Output("o", "output", width),)), {"o": matrix}),
    ]  # fmt: skip
