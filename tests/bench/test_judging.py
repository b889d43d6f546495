"""Which answers are the expected ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxport.bench.judging import Elements, Exactly, difference
from onnxport.compare import relative_difference, worst

LABELLED = {"prediction": Exactly("a"), "probabilities": {"a": 0.75, "b": 0.25}}
GRID = {"grid": Elements((2, 3), 1, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0))}


@pytest.mark.parametrize(
    ("expected", "got", "told"),
    [
        (LABELLED, {"prediction": "a", "probabilities": {"a": 0.7500001, "b": 0.25}}, ""),
        (LABELLED, {"prediction": "b", "probabilities": {"a": 0.75, "b": 0.25}}, "prediction is b instead of a"),
        (
            LABELLED,
            {"prediction": "a", "probabilities": {"a": 0.76, "b": 0.25}},
            "probabilities.a is 0.76 instead of 0.75",
        ),
        (LABELLED, {"prediction": "a"}, "the answer is ['prediction'] instead of ['prediction', 'probabilities']"),
        (
            LABELLED,
            {"prediction": "a", "probabilities": {"b": 0.25, "a": 0.75}},
            "probabilities is ['b', 'a'] instead of ['a', 'b']",
        ),
        (LABELLED, [], "the answer is [] instead of ['prediction', 'probabilities']"),
        (LABELLED, None, "the answer is None instead of ['prediction', 'probabilities']"),
        ({"prediction": Exactly(1)}, {"prediction": 1.0000001}, "prediction is 1.0000001 instead of 1"),
        ({"prediction": Exactly(1)}, {"prediction": True}, "prediction is True instead of 1"),
        ({"prediction": 1e9}, {"prediction": 1e9 + 100}, ""),
        ({"prediction": 1e9}, {"prediction": 1e9 + 2000}, "prediction is 1000002000.0 instead of 1000000000.0"),
        ({"prediction": 0.0}, {"prediction": False}, "prediction is False instead of 0.0"),
        ({"prediction": 0.0}, {"prediction": None}, "prediction is None instead of 0.0"),
        ({"prediction": 0.0}, {"prediction": "0"}, "prediction is 0 instead of 0.0"),
        ([{"prediction": 1.0}] * 2, [{"prediction": 1.0}], "the answer is 1 items instead of 2 items"),
        ([{"prediction": 1.0}] * 2, [{"prediction": 1.0}, {"prediction": 2.0}], "[1].prediction is 2.0 instead of 1.0"),
        (GRID, {"grid": [[1, 2, 3], [4, 5, 6]]}, ""),
        (GRID, {"grid": [[1, 2, 3], [4, 5, 7]]}, "grid is 7 instead of 6.0"),
        (GRID, {"grid": [[1, 2, 3]]}, "grid has not the shape [2, 3]"),
        (GRID, {"grid": [[1, 2, 3], [4, 5]]}, "grid has not the shape [2, 3]"),
        (GRID, {"grid": [[1, 2, 3], [4, 5, [6]]]}, "grid has not the shape [2, 3]"),
        (GRID, {"grid": [1, 2, 3, 4, 5, 6]}, "grid has not the shape [2, 3]"),
        ({"n": Elements((), 1, (3.0,))}, {"n": 3}, ""),
        ({"n": Elements((), 1, (3.0,))}, {"n": [3]}, "n has not the shape []"),
        ({"n": Elements((5,), 2, (0.0, 2.0, 4.0))}, {"n": [0, 9, 2, 9, 4]}, ""),
        ({"n": Elements((5,), 2, (0.0, 2.0, 4.0))}, {"n": [0, 9, 2, 9, 5]}, "n is 5 instead of 4.0"),
        ({"n": Elements((2,), 1, ("a", "b"))}, {"n": ["a", "c"]}, "n is c instead of b"),
        ({"n": Elements((0, 3), 1, ())}, {"n": []}, ""),
    ],
)  # fmt: skip
def test_an_answer(expected: Any, got: Any, told: str) -> None:
    assert difference(expected, got, 1e-6) == told


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from([0.0, 1e-9, 1e-3, 1.0]))
def test_numbers_are_compared_as_everywhere(expected: float, got: float, tolerance: float) -> None:
    """The oracle is the comparison of the parity gate."""
    allowed = worst(relative_difference(np.array([expected]), np.array([got]))) <= tolerance
    assert (difference(expected, got, tolerance) == "") == allowed
