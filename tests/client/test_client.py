"""The client against real servers: what goes in, what comes out, and errors that mirror `Model.predict`'s."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import onnxport
from onnxport import Client
from onnxport.errors import OnnxportError, RejectedRows, RequestError, ServerError, ValidationError
from tests.server import models
from tests.serving import ServerProcess

Running = Callable[[models.Made], str]

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
ROW = {
    "amount": 1.5,
    "small": 2.5,
    "visits": 3,
    "flag": True,
    "grade": 5,
    "city": "東京",
    "note": "a",
}


def identity() -> models.Made:
    """Answers its only number as it is."""
    nodes = [helper.make_node("Identity", ["num"], ["value"])]
    return models.regressor("identity", [models.number("x")], nodes, rows=[{"x": 1.0}])


def many_labels() -> models.Made:
    """Labels at the edges of 64 bits."""
    labels = (-(2**63), 2**53 + 1, 2**63 - 1)
    return models.classifier("many labels", [models.number("x")], labels, [{"x": 0.5}])


def opened(made: models.Made) -> onnxport.Model:
    return onnxport.load(models.write(made))


def test_one_row_and_many(running: Running) -> None:
    model = opened(models.iris())
    rows = [{**IRIS, "petal_length": i / 2} for i in range(10)]
    with Client(running(models.iris())) as client:
        assert client.predict(IRIS) == model.predict(IRIS)
        assert client.predict(rows) == model.predict(rows)
        assert client.predict(tuple(rows)) == model.predict(rows)
        assert client.predict([]) == []
        assert list(client.predict(IRIS)["probabilities"]) == ["setosa", "versicolor", "virginica"]


def test_a_long_list_goes_out_in_parts(running: Running) -> None:
    rows = [{"x": float(i)} for i in range(23)]
    expected = [{"prediction": float(i)} for i in range(23)]
    with Client(running(identity()), chunk_rows=5) as client:
        assert client.predict(rows) == expected


def test_more_rows_and_bytes_than_a_server_takes_at_once(running: Running) -> None:
    rows = [{**ROW, "note": "n" * 1000}] * 6000 + [{**ROW, "note": "n"}] * 6000
    with Client(running(models.every_kind())) as client:
        assert len(client.predict(rows)) == 12_000


def test_a_fault_is_counted_over_the_whole_list(running: Running) -> None:
    rows: list[dict[str, Any]] = [{"x": float(i)} for i in range(23)]
    rows[12] = {"x": "twelve"}
    with Client(running(identity()), chunk_rows=5) as client, pytest.raises(RejectedRows) as caught:
        client.predict(rows)
    assert caught.value.details[0].loc == (12, "x")
    assert str(caught.value) == (
        "422 wrong_type: row 12, feature 'x' takes a number, and got a string"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"amount": None},
        {"amount": "1"},
        {"visits": 2**63},
        {"city": "Atlantis"},
        {"note": "\ud800"},
        {"note": "a\0b"},
        {"amount": [1.0]},
        {"amont": 1.0},
    ],
)
def test_errors_mirror_the_models(running: Running, change: dict[str, Any]) -> None:
    row = {**ROW, **change}
    with pytest.raises(RequestError) as here:
        opened(models.every_kind()).predict([ROW, row])
    with Client(running(models.every_kind())) as client, pytest.raises(RejectedRows) as there:
        client.predict([ROW, row])
    assert there.value.details == here.value.details
    assert there.value.status == 422
    assert there.value.request_id
    assert isinstance(there.value, RequestError)
    assert isinstance(there.value, ServerError)
    assert isinstance(there.value, OnnxportError)


def test_infinity_is_refused_by_the_server(running: Running) -> None:
    with Client(running(identity())) as client, pytest.raises(RejectedRows) as caught:
        client.predict([{"x": 1.0}, {"x": float("inf")}])
    assert [(d.code, d.loc) for d in caught.value.details] == [("non_finite", (1, "x"))]


def test_an_infinite_answer(running: Running) -> None:
    with Client(running(models.reciprocal())) as client, pytest.raises(RejectedRows) as caught:
        client.predict({"x": 0})
    assert caught.value.code == "non_finite_output"


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=200, deadline=None)
def test_floats_arrive_with_every_digit(value: float) -> None:
    got = shared_identity().predict({"x": value})["prediction"]
    assert got == value
    assert np.signbit(got) == np.signbit(value)


@given(st.integers(-(2**53), 2**53))
@settings(max_examples=100, deadline=None)
def test_integers_arrive_with_every_digit(value: int) -> None:
    assert shared_identity().predict({"x": value}) == {"prediction": value}


_shared: list[Client] = []


def shared_identity() -> Client:
    return _shared[0]


@pytest.fixture(autouse=True, scope="module")
def _share(running: Running) -> Any:
    with Client(running(identity())) as client:
        _shared.append(client)
        yield
        _shared.clear()


def test_labels_of_64_bits(running: Running) -> None:
    made = many_labels()
    rows = [{"x": float(x)} for x in (-3, 0, 3)]
    expected = opened(made).predict(rows)
    with Client(running(made)) as client:
        assert client.predict(rows) == expected
    assert {row["prediction"] for row in expected} <= set(made.signature.classes)


def test_names_of_any_alphabet(running: Running) -> None:
    made = models.odd_names()
    row = dict.fromkeys(made.signature.names, 0.25)
    with Client(running(made)) as client:
        assert client.predict(row) == opened(made).predict(row)


def test_numpys_and_pandas_values(running: Running) -> None:
    plain = {**ROW, "flag": None, "city": None}
    spelled = {
        "amount": np.float32(1.5),
        "small": np.float64(2.5),
        "visits": np.int64(3),
        "flag": pd.NA,
        "grade": np.array(5),
        "city": float("nan"),
        "note": np.str_("a"),
    }
    with Client(running(models.every_kind())) as client:
        expected = client.predict(plain)
        assert client.predict(spelled) == expected
        assert client.predict({**spelled, "flag": pd.NaT, "city": np.float32("nan")}) == expected
        assert client.predict({**ROW, "flag": np.True_}) == client.predict(ROW)


def test_a_dataframe(running: Running) -> None:
    frame = pd.DataFrame(
        {
            "note": pd.Series(["a", "b"], dtype="category"),
            "city": pd.Series(["東京", None], dtype="str"),
            "grade": pd.Series([5, 1], dtype="int8"),
            "flag": pd.Series([True, pd.NA], dtype="boolean"),
            "visits": pd.Series([3, 4], dtype="Int64"),
            "small": pd.Series([2.5, 0.1], dtype="float32"),
            "amount": [1.5, 2.0],
        }
    )
    frame.index = pd.Index([7, 7])
    model = opened(models.every_kind())
    with Client(running(models.every_kind())) as client:
        assert client.predict(frame) == model.predict(frame)
        assert client.predict(frame.iloc[:0]) == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([[1.0, 2.0]], "neither a row {feature: value}, nor a list of rows, nor a DataFrame"),
        (np.ones((2, 1)), "pass a DataFrame: an array has no names"),
        (
            [{"y": 10**700, "x": 10**5000}],
            "row 0, feature 'x': an integer of so many digits can't be sent as JSON",
        ),
        ("x", "neither a row {feature: value}, nor a list of rows, nor a DataFrame"),
        (
            pd.DataFrame([[1.0, 2.0]], columns=["x", "x"]),
            "two columns of the DataFrame share a name; rename one",
        ),
        ([{"x": 1.0}, {"x": 1j}], "row 1, feature 'x': a complex can't be sent as JSON"),
        ({"x": {1, 2}}, "the feature 'x': a set can't be sent as JSON"),
    ],
)
def test_data_that_is_no_rows(running: Running, data: Any, told: str) -> None:
    with Client(running(identity())) as client, pytest.raises(ValidationError) as caught:
        client.predict(data)
    assert str(caught.value) == told


def test_what_the_server_says_of_itself(running: Running) -> None:
    with Client(running(models.iris())) as client:
        assert client.ready() is True
        assert client.live() is True
        assert client.model()["name"] == "iris"
        assert client.model()["digest"] == opened(models.iris()).file.digest
        assert "/predict" in client.openapi()["paths"]
        assert repr(client) == f"Client({running(models.iris())!r})"


def test_a_wrong_path_prefix(running: Running) -> None:
    with (
        Client(running(models.iris()) + "/nowhere") as client,
        pytest.raises(ServerError) as caught,
    ):
        client.predict(IRIS)
    assert (caught.value.status, caught.value.code) == (404, "not_found")


def test_threads_share_a_client(running: Running) -> None:
    with Client(running(identity())) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(client.predict, [{"x": float(i)} for i in range(400)]))
    assert answers == [{"prediction": float(i)} for i in range(400)]


def test_a_server_that_was_started_anew_is_found_again(
    serve: Callable[..., str], tmp_path: Path
) -> None:
    """The pool's old connection is dead; the next call opens another."""
    path = models.write_to(tmp_path, identity())
    with ServerProcess("serve", path, "--port", "0") as first:
        url = first.url
        client = Client(url)
        assert client.predict({"x": 1.0}) == {"prediction": 1.0}
    assert client.ready() is False
    assert serve(path, "--port", url.rpartition(":")[2]) == url
    with client:
        assert client.predict({"x": 2.0}) == {"prediction": 2.0}


def test_a_closed_client(running: Running) -> None:
    client = Client(running(identity()))
    client.close()
    with pytest.raises(ValueError, match="the client is closed; make a new one"):
        client.predict({"x": 1.0})
    client.close()


FORKS = """
import os, sys
from onnxport import Client

client = Client(sys.argv[1])
client.predict({"x": 0.5})  # opens the connection that the children inherit
children = []
for child in range(2):
    pid = os.fork()
    if not pid:
        sent = [1000.0 * child + i for i in range(100)]
        got = [client.predict({"x": x})["prediction"] for x in sent]
        client.close()
        os._exit(got != sent)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
assert codes == [0, 0], codes
assert client.predict({"x": 7.0}) == {"prediction": 7.0}
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX forks")
def test_forked_processes_get_their_own_answers(running: Running) -> None:
    """In a process of its own: this one has threads, which no fork takes along."""
    command = [sys.executable, "-c", FORKS, running(identity())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_rows_without_features_are_refused(running: Running) -> None:
    frame = pd.DataFrame(index=range(3))
    with Client(running(identity())) as client, pytest.raises(RejectedRows) as caught:
        client.predict(frame)
    assert [(d.code, d.loc) for d in caught.value.details] == [
        ("missing", (i, "x")) for i in range(3)
    ]
