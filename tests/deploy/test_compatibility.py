"""What callers must change for another model, as GET /model tells of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import onnxport
from onnxport.deploy.compatibility import breaks
from onnxport.predictor import load
from onnxport.server.facts import model_facts

ROWS = pd.DataFrame(
    {
        "age": [20.0, 31.0, 45.0, 52.0, 38.0, 29.0] * 5,
        "city": ["Bern", "Basel", "Chur", "Bern", "Basel", "Chur"] * 5,
    }
)
ANSWERS = ["no", "yes", "no", "yes", "yes", "no"] * 5


def facts(folder: Path, X: pd.DataFrame, y: list[Any], last: Any = None) -> dict[str, Any]:
    """Of a model that is trained on the rows, and saved."""
    texts = [name for name in X if not pd.api.types.is_numeric_dtype(X[name])]
    first = make_column_transformer((OneHotEncoder(), texts), remainder="passthrough")
    model = make_pipeline(first, last or LogisticRegression(max_iter=1000)).fit(X, y)
    onnxport.save(model, folder / "m.onnx", X, y, name="visits")
    return model_facts(load(folder / "m.onnx"))


@pytest.fixture
def old(tmp_path: Path) -> dict[str, Any]:
    return facts(tmp_path, ROWS, ANSWERS)


def test_a_retrain_on_the_same_columns_breaks_nothing(tmp_path: Path, old: dict[str, Any]) -> None:
    assert breaks(old, old) == ()
    assert breaks(old, facts(tmp_path, ROWS[:24], ANSWERS[:24])) == ()


def test_other_columns_are_named(tmp_path: Path, old: dict[str, Any]) -> None:
    renamed = facts(tmp_path, ROWS.rename(columns={"age": "age (years)"}), ANSWERS)
    assert breaks(old, renamed) == ("no longer taken: 'age'", "wanted now: 'age (years)'")


def test_another_type_and_a_category_that_is_gone(tmp_path: Path, old: dict[str, Any]) -> None:
    as_text = facts(tmp_path, ROWS.assign(age=ROWS.age.astype(str)), ANSWERS)
    assert any(one.startswith("'age' is string instead of number") for one in breaks(old, as_text))
    fewer = ROWS[ROWS.city != "Chur"]
    found = breaks(old, facts(tmp_path, fewer, ["no", "yes"] * (len(fewer) // 2)))
    assert "'city' no longer takes 'Chur'" in found


def test_answers_that_mean_something_else(tmp_path: Path, old: dict[str, Any]) -> None:
    other = facts(tmp_path, ROWS, [{"no": "n", "yes": "y"}[one] for one in ANSWERS])
    assert breaks(old, other) == ("classes are 'n', 'y' instead of 'no', 'yes'",)
    number = facts(tmp_path, ROWS, [1.5, 2.5, 0.5] * 10, LinearRegression())
    assert breaks(old, number) == ("its task is regression instead of binary classification",)
