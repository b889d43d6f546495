"""The data that the exporter's tests train on: real sets, and small ones shaped to hurt."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from palmerpenguins import load_penguins
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

Data = tuple[Any, Any]


@cache
def iris() -> Data:
    """150 flowers, string labels."""
    bunch = load_iris(as_frame=True)
    X = bunch.data.set_axis(["sepal_length", "sepal_width", "petal_length", "petal_width"], axis=1)
    return X, bunch.target_names[bunch.target].astype(object)


@cache
def wine() -> Data:
    """178 wines, three classes called a, b, c, 13 numbers of very different sizes."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    return X, np.array(["a", "b", "c"], dtype=object)[y]


@cache
def cancer() -> Data:
    """569 tumours, boolean labels, names with spaces."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return X, y.to_numpy(bool)


@cache
def diabetes() -> Data:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return X, y


@cache
def digits() -> Data:
    """A bare array of 64 pixels, integer labels."""
    X, y = load_digits(return_X_y=True)
    return X, y


@cache
def penguins() -> Data:
    """344 penguins: numbers with missing values, the island filled in, and three species."""
    frame = load_penguins()
    X = frame.drop(columns=["species", "sex"])
    return X, frame["species"].to_numpy(object)


@cache
def cars() -> Data:
    """406 cars of 1970 to 1982: a free-text name, whole and broken numbers with missing values; the
    origin is one of three regions.
    """
    frame = pd.DataFrame(json.loads(_vega("cars.json")))
    return frame.drop(columns=["Origin", "Year"]), frame["Origin"].to_numpy(object)


@cache
def weather() -> Data:
    """1,461 days in Seattle: four numbers; the weather is one of five, unevenly often."""
    frame = pd.read_csv(_vega_path("seattle-weather.csv"))
    return frame.drop(columns=["date", "weather"]), frame["weather"].to_numpy(object)


@cache
def airports() -> Data:
    """About every fifth of 3,376 airports: names as free text, state and country with missing
    strings; the target is the longitude.
    """
    frame = pd.read_csv(_vega_path("airports.csv"))
    frame = frame[frame["state"].isna() | (frame.index % 5 == 0)].reset_index(drop=True)
    return frame[["name", "state", "country", "latitude"]], frame["longitude"].to_numpy()


def _vega_path(name: str) -> Any:
    return files("vega_datasets") / "_data" / name


def _vega(name: str) -> str:
    return str(_vega_path(name).read_text("utf-8"))


@cache
def holes() -> Data:
    """Tumours with every tenth number missing."""
    X, y = cancer()
    rng = np.random.default_rng(0)
    return X.mask(rng.random(X.shape) < 0.1), y


@cache
def ids() -> Data:
    """Ids beyond 2^24 and unix times, which float32 can't tell apart."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame(
        {
            "id": rng.integers(10**8, 10**9, 400),
            "time": 1_700_000_000 + rng.integers(0, 10**7, 400),
        }
    )
    return X, ((X["id"] // 1000) % 2).to_numpy()


@cache
def mixed() -> Data:
    """Integers, floats, strings and booleans, in columns with odd names."""
    rng = np.random.default_rng(2)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 90, 300),
            "income (k€)": rng.normal(50, 20, 300).round(2),
            "city": rng.choice(["Graz", "Paris", "東京"], 300),
            "2nd": rng.random(300) < 0.3,
            "class": rng.choice(["x", "y"], 300),
        }
    )
    score = X["age"] + X["income (k€)"] + 20 * (X["city"] == "Paris")
    return X, np.where(score > 95, "yes", "no").astype(object)
