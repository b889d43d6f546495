"""JSON to rows and answers back: the quick look at whole columns and the slow look at values always agree."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxport.codec import answer_rows, encode_answers, parse_json, read_rows
from onnxport.errors import DecodingError, RequestError
from onnxport.signature import NULL_TOKEN, Feature, Output, Signature, Tensor
from onnxport.tensors import pack

SIGNATURE = Signature(
    task="binary_classification",
    features=(
        Feature("x", "numeric", "float64", "num", 0, nullable=True, overflow="float32"),
        Feature("n", "integer", "int64", "num", 1),
        Feature("flag", "boolean", "bool", "num", 2),
        Feature("city", "categorical", "string", "s0", nullable=True),
        Feature(
            "class", "categorical", "string", "s1", categories=("a", "b"), refuses_unknown=True
        ),
    ),
    tensors=(Tensor("num", "FP64", (3,)), Tensor("s0", "BYTES", (1,)), Tensor("s1", "BYTES", (1,))),
    outputs=(Output("code", "label_code"), Output("proba", "probabilities", 2)),
    classes=(False, True),
)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
legal_rows = st.fixed_dictionaries(
    {
        "x": st.none() | st.floats(-1e38, 1e38),
        "n": st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**50), 2**50).map(float),
        "flag": st.booleans(),
        "city": st.none() | text.filter(lambda s: s != NULL_TOKEN),
        "class": st.sampled_from(["a", "b"]),
    }
)
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([1])


@given(st.lists(legal_rows, max_size=5))
@settings(max_examples=300, deadline=None)
def test_legal_rows_reach_the_tensors_unchanged(rows: list[dict[str, Any]]) -> None:
    batch = read_rows(SIGNATURE, parse_json(json.dumps(rows).encode()))
    feeds = pack(SIGNATURE, batch.columns, batch.rows)
    assert feeds["num"].shape == (len(rows), 3)
    for i, row in enumerate(rows):
        x, n, flag = feeds["num"][i].tolist()
        assert math.isnan(x) if row["x"] is None else x == row["x"]
        assert (n, flag) == (float(row["n"]), float(row["flag"]))
        assert feeds["s0"][i, 0] == (NULL_TOKEN if row["city"] is None else row["city"])
        assert feeds["s1"][i, 0] == row["class"]


@given(st.fixed_dictionaries(dict.fromkeys(SIGNATURE.names, anything)), st.booleans())
@settings(max_examples=600, deadline=None)
def test_a_row_is_judged_alone_as_in_company(row: dict[str, Any], wire: bool) -> None:
    """The same faults whether a row comes alone or between good ones, and never another error."""
    good = {"x": 1.0, "n": 1, "flag": True, "city": "Graz", "class": "a"}
    alone = _faults(row, wire=wire)
    company = _faults([good, row, good], wire=wire)
    assert [(code, loc[1:]) for code, loc in company] == alone
    assert all(loc[0] == 1 for _, loc in company)


def _faults(document: Any, *, wire: bool) -> list[tuple[str, tuple[str | int, ...]]]:
    try:
        read_rows(SIGNATURE, document, wire=wire)
    except RequestError as err:
        found = err.details
    else:
        return []
    assert all(len(detail.message) < 400 for detail in found)
    return [(detail.code, detail.loc) for detail in found]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        read_rows(SIGNATURE, parse_json(body))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \n", "empty_body"),
        (b"\xef\xbb\xbf{}", "invalid_encoding"),
        ('{"a": 1}'.encode("utf-16"), "invalid_encoding"),
        ('{"a": 1}'.encode("utf-16-le"), "invalid_encoding"),
        (b'{"a": "\xff"}', "invalid_encoding"),
        (b'{"a": 1', "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"[" * 100_000, "too_deep"),
    ],
    ids=range(10),
)
def test_bytes_that_are_no_json(body: bytes, code: str) -> None:
    with pytest.raises(DecodingError) as caught:
        parse_json(body)
    assert caught.value.details[0].code == code


def _row(**changes: str) -> bytes:
    members = {"x": "1.5", "n": "1", "flag": "true", "city": '"Graz"', "class": '"a"'} | changes
    return ("{" + ",".join(f'"{k}":{v}' for k, v in members.items()) + "}").encode()


@pytest.mark.parametrize(
    ("changes", "code", "where"),
    [
        ({"x": "NaN"}, "non_finite", "x"),
        ({"x": "-Infinity"}, "non_finite", "x"),
        ({"x": "1e999"}, "non_finite", "x"),
        ({"x": "3.5e38"}, "non_finite", "x"),
        ({"x": str(2**53 + 1)}, "out_of_range_integer", "x"),
        ({"x": "9" * 5000}, "out_of_range_integer", "x"),
        ({"x": "true"}, "wrong_type", "x"),
        ({"x": '"1.5"'}, "wrong_type", "x"),
        ({"x": "{}"}, "wrong_type", "x"),
        ({"n": "null"}, "null_not_allowed", "n"),
        ({"n": "5.5"}, "wrong_type", "n"),
        ({"n": str(2**63)}, "out_of_range_integer", "n"),
        ({"n": "1e19"}, "out_of_range_integer", "n"),
        ({"flag": "1"}, "wrong_type", "flag"),
        ({"city": "5"}, "wrong_type", "city"),
        ({"city": r'"\ud800"'}, "invalid_string", "city"),
        ({"city": r'"a\u0000b"'}, "invalid_string", "city"),
        ({"city": r'"\ue000null"'}, "invalid_string", "city"),
        ({"class": '"c"'}, "unknown_category", "class"),
        ({"class": "null"}, "null_not_allowed", "class"),
        ({"x": "[" * 20 + "]" * 20}, "too_deep", None),
    ],
    ids=range(21),
)
def test_values_that_are_refused(changes: dict[str, str], code: str, where: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        read_rows(SIGNATURE, parse_json(_row(**changes)))
    (detail,) = caught.value.details
    assert detail.code == code
    assert detail.loc == (() if where is None else (where,))


def test_values_that_are_taken() -> None:
    for changes in ({"n": "5.0"}, {"x": "null"}, {"x": str(2**53)}, {"n": str(2**63 - 1)}):
        read_rows(SIGNATURE, parse_json(_row(**changes)))


def test_a_key_that_stands_twice() -> None:
    body = _row()[:-1] + b',"x":2}'
    with pytest.raises(RequestError) as caught:
        read_rows(SIGNATURE, parse_json(body))
    assert [(d.code, d.loc) for d in caught.value.details] == [("duplicate_key", ("x",))]


def test_all_faults_at_once_and_at_most_a_hundred() -> None:
    row = {"x": "a", "n": 1.5, "flag": 1, "citty": "Graz", "class": "a"}
    found = dict(_faults_of(row))
    assert found == {
        "x": "wrong_type",
        "n": "wrong_type",
        "flag": "wrong_type",
        "city": "missing",
        "citty": "unknown_feature",
    }
    with pytest.raises(RequestError) as caught:
        read_rows(SIGNATURE, [row] * 1000)
    assert len(caught.value.details) == 100


def _faults_of(row: dict[str, Any]) -> list[tuple[str | int, str]]:
    return [(loc[-1], code) for code, loc in _faults(row, wire=True)]


def test_answers_are_encoded_with_every_digit() -> None:
    proba = np.array([[0.1 + 0.2, 0.7], [5e-324, 1 - 1e-16]])
    answers = answer_rows(SIGNATURE, {"code": np.array([0, 1]), "proba": proba})
    decoded = json.loads(encode_answers(answers))
    assert decoded == [
        {"prediction": False, "probabilities": {"false": 0.1 + 0.2, "true": 0.7}},
        {"prediction": True, "probabilities": {"false": 5e-324, "true": 1 - 1e-16}},
    ]
