"""What a client may get wrong, sent over real HTTP: the status, the code and the place of every answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.server import models

GOOD = {
    "amount": 1.5,
    "small": 2.5,
    "visits": 3,
    "flag": True,
    "grade": 5,
    "city": "Paris",
    "note": "a",
}
LONG = "z" * 5000


@pytest.fixture(scope="module")
def url(running: Callable[..., str]) -> str:
    return running(models.every_kind())


def post(url: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """One POST /predict of exactly these bytes and headers, and nothing that a client would add."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", "/predict", body, sent)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def raw(**values: str) -> bytes:
    """The good row with some values replaced by JSON text, legal or not."""
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in GOOD.items()} | values
    return ("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


BODIES: dict[str, tuple[bytes, int, str, list[Any]]] = {
    # 400: no JSON document
    "not JSON": (b"amount=1", 400, "invalid_json", ["body"]),
    "truncated": (raw()[:-5], 400, "invalid_json", ["body"]),
    "two documents": (raw() + raw(), 400, "invalid_json", ["body"]),
    "empty": (b"", 400, "empty_body", ["body"]),
    "blank": (b" \n", 400, "empty_body", ["body"]),
    "UTF-16": (raw().decode().encode("utf-16"), 400, "invalid_encoding", ["body"]),
    "UTF-16 without a mark": (
        raw().decode().encode("utf-16-le"),
        400,
        "invalid_encoding",
        ["body"],
    ),
    "UTF-32": (raw().decode().encode("utf-32"), 400, "invalid_encoding", ["body"]),
    "byte order mark": (b"\xef\xbb\xbf" + raw(), 400, "invalid_encoding", ["body"]),
    "Latin-1": (raw(note='"é"').decode().encode("latin-1"), 400, "invalid_encoding", ["body"]),
    "depth 1,000": (b"[" * 1000 + b"]" * 1000, 400, "too_deep", ["body"]),
    "depth 100,000": (b"[" * 100_000 + b"]" * 100_000, 400, "too_deep", ["body"]),
    "depth in a value": (raw(amount="[" * 500 + "]" * 500), 400, "too_deep", ["body"]),
    # 422: the shape
    "a number": (b"3", 422, "wrong_type", ["body"]),
    "null for a row": (b"null", 422, "wrong_type", ["body"]),
    "a list of numbers": (b"[1]", 422, "wrong_type", ["body", 0]),
    "missing": (json.dumps(without("city")).encode(), 422, "missing", ["body", "city"]),
    "unknown": (raw(colour='"red"'), 422, "unknown_feature", ["body", "colour"]),
    "twice": (raw()[:-1] + b',"amount":2}', 422, "duplicate_key", ["body", "amount"]),
    # 422: the values
    "string for a number": (raw(amount='"1.5"'), 422, "wrong_type", ["body", "amount"]),
    "bool for a number": (raw(amount="true"), 422, "wrong_type", ["body", "amount"]),
    "number for a string": (raw(note="1"), 422, "wrong_type", ["body", "note"]),
    "number for a boolean": (raw(flag="1"), 422, "wrong_type", ["body", "flag"]),
    "object": (raw(amount='{"a":1}'), 422, "wrong_type", ["body", "amount"]),
    "list": (raw(amount="[1]"), 422, "wrong_type", ["body", "amount"]),
    "object for a string": (raw(city="{}"), 422, "wrong_type", ["body", "city"]),
    "fraction for an integer": (raw(visits="5.5"), 422, "wrong_type", ["body", "visits"]),
    "NaN": (raw(amount="NaN"), 422, "non_finite", ["body", "amount"]),
    "Infinity": (raw(amount="Infinity"), 422, "non_finite", ["body", "amount"]),
    "-Infinity": (raw(visits="-Infinity"), 422, "non_finite", ["body", "visits"]),
    "1e999": (raw(amount="1e999"), 422, "non_finite", ["body", "amount"]),
    "beyond float32": (raw(small="3.5e38"), 422, "non_finite", ["body", "small"]),
    "2^63": (raw(visits=str(2**63)), 422, "out_of_range_integer", ["body", "visits"]),
    "-2^63-1": (raw(visits=str(-(2**63) - 1)), 422, "out_of_range_integer", ["body", "visits"]),
    "2^53+1 as a float": (
        raw(amount=str(2**53 + 1)),
        422,
        "out_of_range_integer",
        ["body", "amount"],
    ),
    "5,000 digits": (raw(amount="9" * 5000), 422, "out_of_range_integer", ["body", "amount"]),
    "5,000 digits for an integer": (
        raw(visits="9" * 5000),
        422,
        "out_of_range_integer",
        ["body", "visits"],
    ),
    "lone surrogate": (raw(note='"\\ud800"'), 422, "invalid_string", ["body", "note"]),
    "lone surrogate, strict": (raw(city='"\\ud800"'), 422, "invalid_string", ["body", "city"]),
    "lone surrogate in a key": (raw(**{"\\ud800": "1"}), 422, "unknown_feature", ["body", "?"]),
    "NUL": (raw(note='"a\\u0000b"'), 422, "invalid_string", ["body", "note"]),
    "null": (raw(amount="null"), 422, "null_not_allowed", ["body", "amount"]),
    "unknown category": (raw(city='"Rome"'), 422, "unknown_category", ["body", "city"]),
    "unknown number category": (raw(grade="3"), 422, "unknown_category", ["body", "grade"]),
    "a long text": (raw(city=f'"{LONG}"'), 422, "unknown_category", ["body", "city"]),
    "a long key": (raw(**{LONG: "1"}), 422, "unknown_feature", ["body", "z" * 63 + "…"]),
}


@pytest.mark.parametrize("name", BODIES)
def test_each_fault_has_its_status_code_and_place(url: str, name: str) -> None:
    body, status, code, loc = BODIES[name]
    got, answer = post(url, body)
    first = answer["detail"][0]
    assert (got, first["type"], first["loc"]) == (status, code, loc)
    assert set(answer) == {"detail", "request_id"}


@pytest.mark.parametrize("name", BODIES)
def test_no_fault_echoes_more_than_64_characters_a_path_or_a_stack(url: str, name: str) -> None:
    _, answer = post(url, BODIES[name][0])
    told = json.dumps(answer, ensure_ascii=False)
    assert "z" * 65 not in told
    assert "9" * 65 not in told
    assert not any(word in told for word in ("Traceback", "/src/", ".py", "onnxruntime", "ONNX"))


GOOD_BODIES: dict[str, bytes] = {
    "no Content-Type": raw(),
    "null where nullable": raw(flag="null", city="null"),
    "5.0 for an integer": raw(visits="5.0"),
    "2^53 as a float": raw(amount=str(2**53)),
    "2^63-1 for an integer": raw(visits=str(2**63 - 1)),
    "outside the training range": raw(amount="-1e300"),
    "a category that is documentation": raw(note='"never seen"'),
    "an escape pair": raw(note='"\\ud83d\\ude00"'),
    "a coded category as a float": raw(grade="5.0"),
}


@pytest.mark.parametrize("name", GOOD_BODIES)
def test_what_is_legal_is_answered(url: str, name: str) -> None:
    status, answer = post(url, GOOD_BODIES[name])
    assert status == 200
    assert list(answer) == ["prediction"]


def test_an_empty_list_gets_an_empty_list(url: str) -> None:
    assert post(url, b"[]") == (200, [])


def test_rows_are_named_by_their_index_and_all_faults_come_at_once(url: str) -> None:
    rows = [GOOD, without("city"), GOOD | {"amount": None, "visits": "x"}]
    status, answer = post(url, json.dumps(rows).encode())
    assert status == 422
    assert [(d["type"], d["loc"]) for d in answer["detail"]] == [
        ("missing", ["body", 1, "city"]),
        ("null_not_allowed", ["body", 2, "amount"]),
        ("wrong_type", ["body", 2, "visits"]),
    ]


def test_at_most_100_faults_are_told(url: str) -> None:
    _, answer = post(url, json.dumps([GOOD | {"amount": "x"}] * 500).encode())
    assert len(answer["detail"]) == 100


def test_a_near_miss_gets_a_suggestion(running: Callable[..., str]) -> None:
    row = {"sepal_lenght": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    status, answer = post(running(models.iris()), json.dumps(row).encode())
    assert status == 422
    unknown = next(d for d in answer["detail"] if d["type"] == "unknown_feature")
    assert unknown["loc"] == ["body", "sepal_lenght"]
    assert unknown["did_you_mean"] == "sepal_length"
    assert "did you mean 'sepal_length'?" in unknown["msg"]


def test_an_unknown_category_names_the_allowed_ones(url: str) -> None:
    _, answer = post(url, raw(city='"Rome"'))
    assert answer["detail"][0]["allowed"] == ["Paris", "東京"]


MEDIA: dict[str, tuple[dict[str, str], int]] = {
    "JSON": ({"Content_Type": "application/json"}, 200),
    "JSON in capitals, with a charset": (
        {"Content_Type": 'Application/JSON; charset="UTF-8"'},
        200,
    ),
    "a +json type": ({"Content_Type": "application/vnd.acme.v1+json"}, 200),
    "identity": ({"Content_Encoding": "identity"}, 200),
    "text": ({"Content_Type": "text/plain"}, 415),
    "a form": ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    "almost JSON": ({"Content_Type": "application/jsonx"}, 415),
    "another charset": ({"Content_Type": "application/json; charset=latin-1"}, 415),
    "gzip": ({"Content_Encoding": "gzip"}, 415),
    "a long type": ({"Content_Type": LONG}, 415),
}


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("Content-Encoding", ("identity", "gzip")),
        ("Content-Type", ("application/json", "text/plain")),
    ],
)
def test_a_second_header_counts_too(url: str, header: str, values: tuple[str, str]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.putrequest("POST", "/predict")
    for value in values:
        connection.putheader(header, value)
    connection.putheader("Content-Length", str(len(raw())))
    connection.endheaders(raw())
    assert connection.getresponse().status == 415
    connection.close()


@pytest.mark.parametrize("levels", [16, 17])
@pytest.mark.parametrize("wrap", [b"%b", b"[%b]"], ids=["one row", "a list"])
def test_16_levels_are_read(url: str, wrap: bytes, levels: int) -> None:
    lists = levels - 1 - wrap.count(b"[")
    status, answer = post(url, wrap % raw(amount="[" * lists + "]" * lists))
    expected = (422, "wrong_type") if levels == 16 else (400, "too_deep")
    assert (status, answer["detail"][0]["type"]) == expected


@pytest.mark.parametrize("name", MEDIA)
def test_media_types(url: str, name: str) -> None:
    headers, status = MEDIA[name]
    got, answer = post(url, raw(), **headers)
    assert got == status
    if status == 415:
        assert answer["detail"][0]["type"] == "unsupported_media_type"
        assert answer["detail"][0]["loc"] == [
            "header",
            next(iter(headers)).lower().replace("_", "-"),
        ]
        assert "z" * 65 not in answer["detail"][0]["msg"]


def test_an_infinite_answer_is_refused_with_its_row(running: Callable[..., str]) -> None:
    url = running(models.reciprocal())
    status, answer = post(url, b'[{"x":1},{"x":0}]')
    assert status == 422
    assert [(d["type"], d["loc"]) for d in answer["detail"]] == [("non_finite_output", ["body", 1])]
    assert post(url, b'{"x":0}')[1]["detail"][0]["loc"] == ["body"]


def test_more_rows_than_the_limit(running: Callable[..., str]) -> None:
    url = running(models.reciprocal(), "--max-rows", "3")
    assert post(url, b'[{"x":1},{"x":1},{"x":1}]')[0] == 200
    status, answer = post(url, b'[{"x":1},{"x":1},{"x":1},{"x":1}]')
    assert status == 413
    assert answer["detail"][0]["type"] == "too_many_rows"


def test_a_body_over_the_limit_declared_or_streamed(running: Callable[..., str]) -> None:
    url = running(models.reciprocal(), "--max-body", "1000")
    assert post(url, b'{"x":1}'.ljust(1000))[0] == 200
    status, answer = post(url, b'{"x":1}'.ljust(1001))
    assert (status, answer["detail"][0]["type"]) == (413, "too_large")

    def chunks() -> Iterator[bytes]:
        yield b'{"x":1}'
        yield b" " * 600
        yield b" " * 600

    streamed = requests.post(f"{url}/predict", data=chunks(), timeout=20)
    assert streamed.status_code == 413
    assert streamed.json()["detail"][0]["type"] == "too_large"


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/predict", 405, "method_not_allowed", "POST"),
        ("DELETE", "/predict", 405, "method_not_allowed", "POST"),
        ("POST", "/model", 405, "method_not_allowed", "GET, HEAD"),
        ("PUT", "/docs", 405, "method_not_allowed", "GET, HEAD"),
        ("GET", "/nowhere", 404, "not_found", None),
        ("POST", "/predict/", 404, "not_found", None),
        ("GET", "/docs/assets/../../etc/passwd", 404, "not_found", None),
        ("GET", "/docs/assets/core.py", 404, "not_found", None),
    ],
)
def test_wrong_paths_and_methods_are_told_in_json(
    url: str, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    assert (answer.status, told["detail"][0]["type"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Allow"] == allow
