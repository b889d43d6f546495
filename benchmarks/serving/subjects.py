"""The models that are asked, fitted anew, each with thousands of different rows to ask about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from onnxport.export.iris import train_iris

Row = dict[str, Any]

ROWS = 4000
TREES = 300
CITIES = ("Berlin", "Lagos", "Lima", "Mumbai", "Osaka", "Paris", "Quito", "Turin")
LEVELS = ("low", "middle", "high")


@dataclass(frozen=True)
class Subject:
    """A fitted estimator, its training table, and rows to ask about."""

    estimator: Any
    X: pd.DataFrame
    y: Any
    rows: list[Row]


def iris() -> Subject:
    """A forest of 100 trees on four lengths."""
    known = train_iris()
    return Subject(known.estimator, known.X, known.y, _uniform(known.X, digits=1))


def cancer() -> Subject:
    """A forest of 100 trees on 30 numbers, as measured on images of cells."""
    data = load_breast_cancer(as_frame=True)
    X, y = (
        data.data.rename(columns=lambda name: name.replace(" ", "_")),
        data.target_names[data.target],
    )
    forest = RandomForestClassifier(n_estimators=100, random_state=0).fit(X, y)
    return Subject(forest, X, y, _uniform(X, digits=4))


def mixed() -> Subject:
    """A pipeline of 300 trees on 30 columns: 20 numbers with gaps, 10 texts with gaps, imputed, scaled, one-hot."""
    X = _customers(3000, seed=0)
    y = _bought(X)
    return Subject(_mixed_pipeline(X).fit(X, y), X, y, _records(_customers(ROWS, seed=1)))


def _mixed_pipeline(X: pd.DataFrame) -> Pipeline:
    numbers = [name for name in map(str, X) if name.startswith("n")]
    texts = [name for name in map(str, X) if name.startswith("t")]
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
            ),
            texts,
        ),
    )
    return make_pipeline(prepared, GradientBoostingClassifier(n_estimators=TREES, random_state=0))


def _customers(count: int, seed: int) -> pd.DataFrame:
    """Rows of 20 numbers and 10 texts; one value in 20 is missing."""
    chance = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        f"n{i}": np.round(chance.normal(i, 1 + i, count), 3) for i in range(20)
    }
    for i in range(10):
        columns[f"t{i}"] = chance.choice(CITIES if i < 5 else LEVELS, count).astype(object)
    table = pd.DataFrame(columns)
    return table.mask(chance.random(table.shape) < 0.05)


def _bought(X: pd.DataFrame) -> Any:
    score = (
        X["n0"].fillna(0) + (X["n5"].fillna(5) - 5) / 6 + (X["t0"] == "Lima") - (X["t7"] == "low")
    )
    return np.where(score > 0, "yes", "no")


def _uniform(X: pd.DataFrame, digits: int) -> list[Row]:
    """Rows drawn from each column's range on its own."""
    chance = np.random.default_rng(1)
    drawn = np.round(chance.uniform(X.min(), X.max(), (ROWS, X.shape[1])), digits)
    return _records(pd.DataFrame(drawn, columns=X.columns))


def _records(X: pd.DataFrame) -> list[Row]:
    records = X.astype(object).where(X.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]


SUBJECTS: dict[str, Callable[[], Subject]] = {"iris": iris, "cancer": cancer, "mixed": mixed}


def write_plain(subject: Subject, path: Path) -> None:
    """What the tutorial's application opens: an ONNX file by skl2onnx, or the pipeline by joblib."""
    if isinstance(subject.estimator, Pipeline):
        joblib.dump(subject.estimator, path)
        return
    converted = convert_sklearn(
        subject.estimator,
        initial_types=[("X", FloatTensorType([None, subject.X.shape[1]]))],
        options={"zipmap": False},
        target_opset=17,
    )
    path.write_bytes(converted.SerializeToString())
