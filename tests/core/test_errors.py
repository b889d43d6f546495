"""Every error crosses a process boundary: a pool that can't unpickle one waits for ever."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from onnxport import errors
from onnxport.client.bodies import list_rows
from onnxport.errors import Detail, OnnxportError

DETAILS = [
    Detail("unknown_feature", (3, "amont"), "no feature 'amont'", {"did_you_mean": "amount"}),
    Detail("missing", (3, "city"), "row 3 lacks the feature 'city'; send it"),
]
PLAIN = (
    errors.OnnxportError,
    errors.ExportError,
    errors.ModelFileError,
    errors.InferenceError,
    errors.OverloadedError,
    errors.ClientError,
    errors.ConnectionFailed,
    errors.SettingsError,
)
OF_ROWS = (
    errors.RequestError,
    errors.DecodingError,
    errors.ValidationError,
    errors.TooLarge,
    errors.NonFiniteOutput,
)
EVERY = [
    *(kind("what went wrong") for kind in PLAIN),
    *(kind(DETAILS * 2) for kind in OF_ROWS),
    errors.UnsupportedModel(
        step="clf", estimator="SVC", reason="unknown", nearest="take another", parameter="kernel"
    ),
    errors.ParityError(
        "they differ", row={"x": 1.5}, row_set="heldout", column="x", expected=[1.0], got=[2.0]
    ),
    errors.ServerError(500, DETAILS, "r7"),
    errors.RejectedRows(422, DETAILS, "r8"),
    errors.ServerBusy(503, DETAILS, "r9", retry_after=2.0),
    errors.BuildError("no engine", command=("docker", "load"), output="refused"),
    errors.DeployError(
        "is busy", step="swap", said="Must be Ready.", remedy="try again later", resumable=True
    ),
]


def test_none_is_left_out() -> None:
    defined = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, OnnxportError)
    }
    assert {type(error) for error in EVERY} == defined


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_it_is_the_same_on_the_other_side(error: OnnxportError, protocol: int) -> None:
    there = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # written one call before
    for twin in (there, copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert (str(twin), twin.args) == (str(error), error.args)
        assert vars(twin) == vars(error)


def test_hints_and_notes_survive() -> None:
    error = errors.ValidationError(DETAILS)
    error.add_note("in fold 3")
    there = pickle.loads(pickle.dumps(error))  # noqa: S301  # written one call before
    assert there.details[0].hint == {"did_you_mean": "amount"}
    assert there.__notes__ == ["in fold 3"]


def test_a_pool_of_processes_hands_it_on() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        caught = pool.submit(list_rows, "no rows").exception(timeout=60)
        assert isinstance(caught, errors.ValidationError)
        assert caught.details[0].code == "wrong_type"
        assert pool.submit(list_rows, []).result(timeout=60) == []
