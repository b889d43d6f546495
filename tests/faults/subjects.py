"""The models of the fault tests that have an oracle: their files, what they take, and rows for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import helper

from tests.faults import oracle
from tests.faults.oracle import Oracle
from tests.server import models


@dataclass(frozen=True)
class Subject:
    """made: the model. oracle: what it takes and answers. row: draws a right row."""

    made: models.Made
    oracle: Oracle
    row: Callable[[random.Random], dict[str, Any]]

    def __str__(self) -> str:
        return self.made.name.replace(" ", "-")


def _every_kind(draw: random.Random) -> dict[str, Any]:
    return {
        "amount": round(draw.uniform(-9, 9), draw.randint(0, 9)),
        "small": draw.choice([1, 2.5, -0.0, 1e-300, 3e38, draw.random()]),
        "visits": draw.randint(-5, 5),
        "flag": draw.choice([True, False, None]),
        "grade": draw.choice([1, 2, 5, 5.0]),
        "city": draw.choice(["Paris", "東京", None]),
        "note": draw.choice(["a", "b", "", "x: y", 'say "hi"', "é" * 9, "\U0001f600", "\\"]),
    }


EVERY_KIND = Subject(
    models.every_kind(),
    Oracle(
        {
            "amount": oracle.number,
            "small": oracle.small,
            "visits": oracle.integer,
            "flag": oracle.nullable(oracle.boolean),
            "grade": oracle.one_of_numbers(1, 2, 5),
            "city": oracle.nullable(oracle.one_of_texts("Paris", "東京")),
            "note": oracle.text,
        },
        oracle.mean("amount", "small", "visits", "flag", "grade"),
    ),
    _every_kind,
)


def _columns() -> models.Made:
    """Names with colons, and columns that are never read."""
    features = [
        models.number("a:b", 0),
        models.number("c", 1, nullable=True),
        models.text("say", "s0"),
    ]
    nodes = [
        helper.make_node("IsNaN", ["num"], ["empty"]),
        helper.make_node("Where", ["empty", "zero", "num"], ["filled"]),
        helper.make_node("ReduceMean", ["filled", "axis"], ["value"], keepdims=1),
    ]
    constants = {"zero": np.array(0.0), "axis": np.array([1])}
    rows = [{"a:b": 1.0, "c": 2.0, "say": "x"}]
    made = models.regressor("columns", features, nodes, rows=rows, constants=constants)
    columns = ("a:b", "c", "say", "id", "more: of it")
    return replace(made, signature=replace(made.signature, columns=columns))


def _columns_row(draw: random.Random) -> dict[str, Any]:
    row = {
        "a:b": round(draw.uniform(-9, 9), 3),
        "c": draw.choice([None, 1, 0.5]),
        "say": draw.choice(["", "a:b", '"', "é"]),
    }
    ignored: list[Any] = [1, None, "a", "a:b", [1, [2]], {"a": 1}, {"a:b": '"'}, True, [], ""]
    if draw.random() < 0.6:
        row["id"] = draw.choice(ignored)
    if draw.random() < 0.3:
        row["more: of it"] = draw.choice(ignored)
    return row


COLUMNS = Subject(
    _columns(),
    Oracle(
        {"a:b": oracle.number, "c": oracle.nullable(oracle.number), "say": oracle.text},
        oracle.mean("a:b", "c"),
        frozenset({"id", "more: of it"}),
    ),
    _columns_row,
)

SUBJECTS = [EVERY_KIND, COLUMNS]
