"""Data sets of the matrix that are made from those of tests.export.data."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from tests.export import data
from tests.export.data import Data

NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]


@cache
def lilies() -> Data:
    """Irises of two kinds only."""
    X, y = data.iris()
    return X[50:].reset_index(drop=True), y[50:]


@cache
def seattle() -> Data:
    """400 days of the weather."""
    X, y = data.weather()
    return X[:400], y[:400]


@cache
def large_diabetes() -> Data:
    """Numbers around 1e5, a target above zero."""
    X, y = data.diabetes()
    return X * 1e6 + 3e5, y


@cache
def heavy_cars() -> Data:
    """Cars without a missing number; the target is the consumption."""
    X, _ = data.cars()
    X = X.dropna().reset_index(drop=True)
    return X.drop(columns=["Name", "Miles_per_Gallon"]), X["Miles_per_Gallon"].to_numpy()


@cache
def distant_iris() -> Data:
    """Irises a thousand kilometres long."""
    X, y = data.iris()
    return X + 1e6, y


@cache
def distant_wine() -> Data:
    X, y = data.wine()
    return X + 1e6, y


@cache
def numeric_cars() -> Data:
    """Cars with missing consumptions and horsepowers."""
    X, y = data.cars()
    return X.drop(columns="Name"), y


@cache
def numeric_penguins() -> Data:
    """Measures with missing values."""
    X, y = data.penguins()
    return X[NUMBERS], y


@cache
def whole_penguins() -> Data:
    """Measures without missing values, and the island."""
    X, y = data.penguins()
    known = X.notna().all(axis=1)
    return X[known].reset_index(drop=True), y[known]


@cache
def measured_penguins() -> Data:
    X, y = whole_penguins()
    return X[NUMBERS], y


@cache
def category_penguins() -> Data:
    """The island as a pandas category, missing here and there."""
    X, y = data.penguins()
    island = X["island"].astype(object).where(np.arange(len(X)) % 9 > 0, None)
    return X.assign(island=pd.Categorical(island)), y


@cache
def category_cars() -> Data:
    """The number of cylinders as a pandas category; the target is the consumption."""
    X, y = heavy_cars()
    return X.assign(Cylinders=pd.Categorical(X["Cylinders"].astype(str))), y


@cache
def coded_cars() -> Data:
    """The number of cylinders as a code, the first column."""
    X, y = heavy_cars()
    return X.assign(Cylinders=X["Cylinders"].rank(method="dense") - 1.0), y


@cache
def times() -> Data:
    """Ids and times; the target counts."""
    X, y = data.ids()
    return X, y * 5.0 + (X["time"] % 7).to_numpy() + 1.0


@cache
def dated_cars() -> Data:
    """Cars with ids beyond 2^24; the target is the consumption."""
    X, y = heavy_cars()
    return X.assign(id=10**9 + 7 * np.arange(len(X))), y


@cache
def two_targets() -> Data:
    """Tumours: malign, and larger than most."""
    X, y = data.cancer()
    return X.iloc[:, :8], np.column_stack([y, X["worst area"] > 700]).astype(int)


@cache
def two_measures() -> Data:
    X, y = data.diabetes()
    return X, np.column_stack([y, y**0.5])


@cache
def mixed_penguins() -> Data:
    """Integers, floats, booleans and strings, each with missing values; None in the strings."""
    X, y = data.penguins()
    island = X["island"].astype(object).where(np.arange(len(X)) % 11 > 0, None)
    return X.assign(island=island, heavy=X["body_mass_g"] > 4000), y


@cache
def mixed_airports() -> Data:
    """States with missing strings; the target is the longitude."""
    X, y = data.airports()
    X = X.assign(state=X["state"].astype(object).where(X["state"].notna(), None))
    return X[["state", "country", "latitude"]], y


@cache
def mixed_people() -> Data:
    """People, with cities unknown."""
    X, y = data.mixed()
    city = X["city"].astype(object).where(np.arange(len(X)) % 7 > 0, None)
    return X.assign(city=city), y


@cache
def airport_strings() -> Data:
    """Where an airport is, in strings; the target is the longitude."""
    X, y = data.airports()
    X = X.assign(state=X["state"].astype(object).where(X["state"].notna(), "none"))
    return X[["state", "country"]], y


@cache
def penguin_islands() -> Data:
    X, y = whole_penguins()
    return X[["island", "year", "body_mass_g"]], y


@cache
def makes() -> Data:
    """The name of a car; the target is its region."""
    X, y = data.cars()
    return X[["Name"]], y


@cache
def airport_names() -> Data:
    """The name of an airport, some with an accent or a slash; is it in the west?"""
    X, y = data.airports()
    return X[["name"]], y < -98


@cache
def scripts() -> Data:
    """Short texts in several scripts, with emoji, empty ones, and marks."""
    words = [
        "Straße",
        "naïve",
        "東京",
        "кошка",
        "dog",
        "Dog's",
        "e\N{COMBINING ACUTE ACCENT}t",
        "x2",
    ]
    signs = ["", " ", "\N{PARTY POPPER}", "—", "a b", "ÜBER", "İstanbul", "don't", "  two  spaces "]
    rng = np.random.default_rng(8)
    texts = [" ".join(rng.choice(words + signs, rng.integers(0, 7))) for _ in range(240)]
    y = np.array(["cat" if "кошка" in text or "東京" in text else "other" for text in texts])
    return pd.DataFrame({"text": texts}), y.astype(object)


@cache
def described_cars() -> Data:
    """The name beside numbers; the target is the region."""
    X, y = data.cars()
    known = X.notna().all(axis=1)
    return X[known].reset_index(drop=True), y[known]


@cache
def described_airports() -> Data:
    X, y = data.airports()
    return X[["name", "latitude"]], y < -98


@cache
def described_scripts() -> Data:
    X, y = scripts()
    return X.assign(length=X["text"].str.len().astype(float)), y


@cache
def car_regions() -> Data:
    """Cars without a missing number; the target is the region."""
    X, y = described_cars()
    return X.drop(columns="Name"), y


@cache
def airport_west() -> Data:
    """Where an airport is, in numbers; is it in the west?"""
    X, y = data.airports()
    latitude = X["latitude"]
    return pd.DataFrame({"latitude": latitude, "squared": latitude**2}), y < -98


@cache
def odd_penguins() -> Data:
    """Measures with missing values under names that some formats can't hold; coded species."""
    X, y = numeric_penguins()
    names = ["bill (mm)", "bill, depth", "Flügel {mm}", 'mass "g"', "f0"]
    return X.set_axis(names, axis=1), np.unique(y, return_inverse=True)[1]


@cache
def marked_penguins() -> Data:
    """-999 where nothing was measured; coded species."""
    X, y = odd_penguins()
    return X.fillna(-999.0), y


@cache
def coded_category_penguins() -> Data:
    """The island as a pandas category, missing here and there; coded species."""
    X, y = category_penguins()
    return X, np.unique(y, return_inverse=True)[1]


@cache
def measured_two() -> Data:
    """Diabetes in ten years and its square root."""
    X, y = two_measures()
    return X, y.astype(np.float64)


@cache
def coded_seattle() -> Data:
    X, y = seattle()
    return X, np.unique(y, return_inverse=True)[1]


@cache
def string_cars() -> Data:
    """The number of cylinders and the year as strings; the target is the consumption."""
    X, y = heavy_cars()
    return X.assign(Cylinders=X["Cylinders"].astype(str).astype(object)), y


@cache
def string_penguins() -> Data:
    """The island in strings, beside measures with missing values."""
    X, y = data.penguins()
    return X.assign(island=X["island"].astype(object)), y
