"""Nested lists as tensors: what is taken arrives unchanged, and each fault is named where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxport.codec import parse_json, read_rows
from onnxport.errors import RequestError
from onnxport.signature import Dimension, Feature, Output, Shape, Signature, Tensor
from onnxport.stored import restore, restore_some, store, store_pattern, store_some
from onnxport.tensors import groups, pack


def signature(datatype: str, shape: Shape, *, limits: tuple[int, int] | None = None) -> Signature:
    feature = Feature("x", "tensor", datatype, "x", shape=shape, limits=limits)
    answer = Output("y", "tensor", shape=(), datatype="FP32")
    return Signature("tensor", (feature,), (Tensor("x", datatype, shape),), (answer,))


def faults(known: Signature, body: str) -> list[tuple[str, tuple[Any, ...]]]:
    with pytest.raises(RequestError) as caught:
        read_rows(known, parse_json(body.encode()))
    return [(detail.code, detail.loc) for detail in caught.value.details]


def message(known: Signature, body: str) -> str:
    with pytest.raises(RequestError) as caught:
        read_rows(known, parse_json(body.encode()))
    return str(caught.value)


@given(
    st.lists(
        st.lists(
            st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3
        ),
        min_size=1,
        max_size=4,
    )
)
def test_numbers_arrive_as_they_were_sent(rows: list[list[float]]) -> None:
    known = signature("FP32", (3,))
    batch = read_rows(known, [{"x": row} for row in rows])
    got = pack(known, batch.columns, batch.rows)["x"]
    assert got.dtype == np.float32
    assert got.tolist() == rows


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BOOL", [[True, False]]),
        ("UINT8", [[0, 255]]),
        ("INT8", [[-128, 127]]),
        ("INT32", [[-(2**31), 2**31 - 1]]),
        ("INT64", [[-(2**63), 2**63 - 1]]),
        ("UINT64", [[0, 2**64 - 1]]),
        ("FP16", [[0.5, 65504.0]]),
        ("FP64", [[0.1, 1e300]]),
        ("BYTES", [["Straße", ""]]),
    ],
)
def test_each_datatype_holds_its_extremes(datatype: str, value: Any) -> None:
    known = signature(datatype, (1, 2))
    batch = read_rows(known, {"x": value})
    assert pack(known, batch.columns, 1)["x"].tolist() == [value]
    batch = read_rows(known, {"x": batch.columns["x"][0]}, wire=False)
    assert pack(known, batch.columns, 1)["x"].tolist() == [value]


@pytest.mark.parametrize(
    ("datatype", "shape", "value", "code", "place"),
    [
        ("FP32", (2, 2), "[[1, 2], [3]]", "wrong_shape", (1,)),
        ("FP32", (2, 2), "[[1, 2], 3]", "wrong_shape", (1,)),
        ("FP32", (2, 2), "[[1, 2]]", "wrong_shape", ()),
        ("FP32", (None,), "[]", "wrong_shape", ()),
        ("FP32", (), "[1]", "wrong_type", ()),
        ("FP32", (2,), "[1, [2]]", "wrong_type", (1,)),
        ("FP32", (2,), "{}", "wrong_shape", ()),
        ("FP32", (2,), "null", "null_not_allowed", ()),
        ("FP32", (2,), "[1, null]", "null_not_allowed", (1,)),
        ("FP32", (2,), "[1, true]", "wrong_type", (1,)),
        ("FP32", (2,), '[1, "2"]', "wrong_type", (1,)),
        ("FP32", (2,), "[1, NaN]", "non_finite", (1,)),
        ("FP32", (2,), "[1, 1e39]", "non_finite", (1,)),
        ("FP32", (2,), "[1, 9007199254740993]", "out_of_range_integer", (1,)),
        ("FP32", (2,), "[1.5, 9007199254740993]", "out_of_range_integer", (1,)),
        ("FP16", (2,), "[1, 65520]", "non_finite", (1,)),
        ("INT64", (2,), "[1, 2.5]", "wrong_type", (1,)),
        ("INT64", (2,), "[1, 9223372036854775808]", "out_of_range_integer", (1,)),
        ("INT64", (2,), "[1.0, 9007199254740993]", "out_of_range_integer", (1,)),
        ("UINT8", (2,), "[1, 256]", "out_of_range_integer", (1,)),
        ("UINT8", (2,), "[-1, 2]", "out_of_range_integer", (0,)),
        ("BOOL", (2,), "[true, 1]", "wrong_type", (1,)),
        ("BYTES", (2,), '["a", 1]', "wrong_type", (1,)),
        ("BYTES", (2,), '["a", "\\ud800"]', "invalid_string", (1,)),
    ],
)
def test_each_fault_has_its_code_and_place(
    datatype: str, shape: Shape, value: str, code: str, place: tuple[int, ...]
) -> None:
    known = signature(datatype, shape)
    assert faults(known, f'{{"x": {value}}}') == [(code, ("x", *place))]
    assert faults(known, f'[{{"x": {value}}}]') == [(code, (0, "x", *place))]


def test_integers_beyond_what_is_answered() -> None:
    known = signature("INT64", (None,), limits=(0, 9))
    assert faults(known, '{"x": [3, -1]}') == [("out_of_range_integer", ("x", 1))]
    assert faults(known, '{"x": [10]}') == [("out_of_range_integer", ("x", 0))]
    assert read_rows(known, {"x": [0, 9.0]}).columns["x"][0].tolist() == [0, 9]


def test_dynamic_dimensions_have_sizes_and_names() -> None:
    time = Dimension("time", 2, 4)
    features = tuple(
        Feature(name, "tensor", "FP32", name, shape=(None,), dimensions=(time,))
        for name in ("left", "right")
    )
    tensors = tuple(Tensor(name, "FP32", (None,)) for name in ("left", "right"))
    known = Signature("tensor", features, tensors, signature("FP32", (1,)).outputs)
    assert read_rows(known, {"left": [1, 2], "right": [3, 4]}).rows == 1
    assert message(known, '{"left": [1], "right": [1, 2]}') == (
        "the feature 'left' takes nested lists of shape [time 2…4], and has the shape [1]"
    )
    assert faults(known, '{"left": [1, 2], "right": [1, 2, 3, 4, 5]}') == [
        ("wrong_shape", ("right",))
    ]
    assert message(known, '[{"left": [1, 2], "right": [1, 2, 3]}]') == (
        "row 0: time is 2 in 'left' and 3 in 'right'; send equal sizes"
    )


def test_messages_say_what_is_wanted() -> None:
    assert message(signature("FP32", (2, None)), '{"x": [[1, 2]]}') == (
        "the feature 'x' takes nested lists of shape [2, ?], and has the shape [1, 2]"
    )
    assert message(signature("INT64", (2,)), '[{"x": [1, "a"]}]') == (
        "row 0, feature 'x' at [1] takes integers, and got a string"
    )


@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("FP32", np.array([1.0, np.nan])),
        ("FP32", np.array([True, False])),
        ("FP32", np.array(["a", "b"])),
        ("INT64", np.array([1.0, 2.5])),
        ("INT64", np.array([1, 2**64 - 1], dtype=np.uint64)),
        ("BOOL", np.array([0, 1])),
        ("FP32", np.array([[1.0, 2.0]])),
    ],
)
def test_arrays_are_judged_like_lists(datatype: str, array: Any) -> None:
    with pytest.raises(RequestError):
        read_rows(signature(datatype, (2,)), {"x": array}, wire=False)


def test_rows_of_equal_sizes_go_together() -> None:
    known = signature("FP32", (None,))
    batch = read_rows(known, [{"x": [1]}, {"x": [1, 2]}, {"x": [3]}])
    assert [places.tolist() for places in groups(known, batch.columns, 3)] == [[0, 2], [1]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_what_is_stored_comes_back(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(size, 2)).astype(np.float32)
    assert np.array_equal(restore(store(array, "FP32")), array)
    shape, every, some = restore_some(store_some(array, "FP32", 50))
    assert (shape, len(some) <= 50) == (array.shape, True)
    assert np.array_equal(some, array.ravel()[::every])


def _share(place: int, seed: int) -> float:
    """The finalizer of MurmurHash3 (fmix32), a number at a time, as its author wrote it."""
    h = (place * 2654435761 + seed) % 2**32
    h = (h ^ (h >> 16)) * 0x85EBCA6B % 2**32
    h = (h ^ (h >> 13)) * 0xC2B2AE35 % 2**32
    return (h ^ (h >> 16)) / 2**32


def test_a_pattern_is_the_same_on_every_machine() -> None:
    floats = restore(store_pattern((2, 3), "FP64", 7, -1.0, 1.0))
    assert floats.ravel().tolist() == [2 * _share(i, 7) - 1 for i in range(6)]
    codes = restore(store_pattern((1000,), "INT64", 0, 3, 9))
    assert set(codes.tolist()) == set(range(3, 10))


@pytest.mark.parametrize(
    "entry",
    [
        {"datatype": "FP32", "shape": [2], "base64": "AAA="},
        {"datatype": "FP32", "shape": [2], "base64": "!"},
        {"datatype": "FP32", "shape": [-1], "base64": ""},
        {"datatype": "FP32", "shape": [2**40], "pattern": 1, "low": 0, "high": 1},
        {"datatype": "FP99", "shape": [1], "base64": "AAAAAA=="},
        {"datatype": "BYTES", "shape": [1], "values": [1]},
        {"datatype": "FP32", "shape": [4], "every": 2, "base64": "AAAAAA=="},
        {"datatype": "FP32", "shape": [4], "every": 0, "base64": "AAAAAA=="},
    ],
)
def test_entries_that_are_none(entry: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        restore_some(entry)
