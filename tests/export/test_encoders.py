"""Encoders on every kind of column, with every kind of null, against the estimator itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.random import default_rng
from palmerpenguins import load_penguins
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import UnsupportedModel, ValidationError
from tests.export import data
from tests.export.answering import agree

RNG = default_rng(21)
ROWS = 300
HARD = ["Graz", "Paris", "Paris ", "東京", "", "nan", "None", "rare", "rarer"]
WORDS = np.array(RNG.choice(HARD, ROWS, p=[0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.06, 0.04]), object)
HOLES = RNG.random(ROWS) < 0.2


def _holey(values: Any) -> Any:
    """As Python objects, None in the holes."""
    return pd.Series(values, dtype=object).mask(HOLES, None)


SIZE = RNG.normal(size=ROWS)
COUNT = RNG.integers(0, 5, ROWS)
Y = SIZE + 2.0 * (WORDS == "Paris") - (WORDS == "nan") + HOLES

NULLS: dict[str, Any] = {
    "None": _holey(WORDS),
    "NaN": _holey(WORDS).mask(HOLES, np.nan),
    "str": _holey(WORDS).astype("str"),
    "category": pd.Series(pd.Categorical(_holey(WORDS))),
}
ENCODERS: dict[str, Any] = {
    "ignore": OneHotEncoder(handle_unknown="ignore"),
    "error": OneHotEncoder(sparse_output=False),
    "drop first": OneHotEncoder(handle_unknown="ignore", drop="first"),
    "infrequent": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.1),
    "warn, drop": OneHotEncoder(handle_unknown="warn", max_categories=4, drop="first"),
    "ordinal": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    ),
    "ordinal, infrequent": OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=99,
        encoded_missing_value=-2,
        max_categories=4,
        dtype=np.int8,
    ),
    "target": TargetEncoder(),
}


def _saved(estimator: Any, X: Any, y: Any, folder: Path) -> onnxport.Model:
    estimator.fit(X, y)
    onnxport.save(estimator, folder / "m.onnx", X)
    return onnxport.load(folder / "m.onnx")


def _before_ridge(encoder: Any, *columns: str) -> Any:
    encoded = ColumnTransformer([("e", encoder, list(columns))], remainder="passthrough")
    return make_pipeline(encoded, Ridge())


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize(
    ("encoder", "null"),
    [(encoder, null) for null in ("None", "str") for encoder in ENCODERS]
    + [(encoder, null) for null in ("NaN", "category") for encoder in ("error", "ordinal")],
)
def test_strings_with_nulls(encoder: str, null: str, tmp_path: Path) -> None:
    X = pd.DataFrame({"word": NULLS[null], "size": SIZE})
    estimator = _before_ridge(ENCODERS[encoder], "word")
    model = _saved(estimator, X, Y, tmp_path)
    agree(model, estimator, X)
    feature = model.signature.by_name["word"]
    assert (feature.nullable, feature.refuses_unknown) == (True, encoder == "error")
    if encoder == "error":
        with pytest.raises(ValidationError, match="no known category"):
            model.predict({"word": "Rom", "size": 0.0})
    elif null != "category":
        agree(model, estimator, X.assign(word="Rom"))


NUMBERS = pd.DataFrame(
    {
        "whole": COUNT,
        "floats": np.where(HOLES, np.nan, COUNT / 2),
        "flag": COUNT > 2,
        "objects": _holey(COUNT),
        "object flags": _holey(COUNT > 2),
        "Int64": pd.array(_holey(COUNT), dtype="Int64"),
        "boolean": pd.array(_holey(COUNT > 2), dtype="boolean"),
        "numbers": pd.Categorical(_holey(COUNT)),
        "flags": pd.Categorical(_holey(COUNT > 2).tolist()),
        "ordered": pd.Categorical(RNG.choice(list("abc"), ROWS), list("cbad"), ordered=True),
        "digits": pd.Series(COUNT.astype(str), dtype=object),
    }
)


@pytest.mark.parametrize("encoder", ["ignore", "error", "ordinal", "target"])
def test_numbers_and_flags_as_categories(encoder: str, tmp_path: Path) -> None:
    estimator = make_pipeline(ENCODERS[encoder], Ridge())
    model = _saved(estimator, NUMBERS, Y, tmp_path)
    agree(model, estimator, NUMBERS)
    nullable = [feature.name for feature in model.signature.features if feature.nullable]
    holes = [name for name in NUMBERS if NUMBERS[name].isna().any()]
    assert nullable == holes if encoder == "error" else set(holes) <= set(nullable)


@pytest.mark.parametrize("drop", ["if_binary", ["a", 1, True]], ids=str)
def test_dropped_categories_of_mixed_types(drop: Any, tmp_path: Path) -> None:
    X = pd.DataFrame({"w": RNG.choice(["a", "b"], ROWS), "n": COUNT, "f": COUNT > 1})
    estimator = make_pipeline(OneHotEncoder(drop=drop, dtype=np.int8), Ridge())
    agree(_saved(estimator, X, Y, tmp_path), estimator, X)


def test_target_encoder_of_several_classes(tmp_path: Path) -> None:
    X = pd.DataFrame({"word": NULLS["None"], "count": COUNT})
    estimator = make_pipeline(TargetEncoder(), LogisticRegression())
    model = _saved(estimator, X, RNG.choice(list("uvw"), ROWS), tmp_path)
    agree(model, estimator, pd.concat([X, X.head(2).assign(word="Rom", count=77)]))
    flagged = make_pipeline(TargetEncoder(smooth=3.0), DecisionTreeClassifier(max_depth=4))
    agree(_saved(flagged, X, Y > 1, tmp_path), flagged, X)


def test_none_and_nan_are_one_null(tmp_path: Path) -> None:
    word = _holey(WORDS)
    word[::7] = np.nan
    X = pd.DataFrame({"word": word, "size": SIZE})
    with pytest.raises(UnsupportedModel, match="None and NaN as two categories"):
        _saved(_before_ridge(OneHotEncoder(), "word"), X, Y, tmp_path)
    imputed = make_pipeline(
        SimpleImputer(missing_values=pd.NA, strategy="most_frequent"), OneHotEncoder()
    )
    estimator = _before_ridge(imputed, "word")
    agree(_saved(estimator, X, Y, tmp_path), estimator, X)


def test_the_null_of_training_where_the_sample_has_none(tmp_path: Path) -> None:
    X = pd.DataFrame({"word": NULLS["NaN"], "size": SIZE})
    estimator = _before_ridge(OneHotEncoder(handle_unknown="ignore"), "word").fit(X, Y)
    onnxport.save(estimator, tmp_path / "m.onnx", X[~HOLES])
    agree(onnxport.load(tmp_path / "m.onnx"), estimator, X)
    onnxport.save(estimator, tmp_path / "n.onnx")
    agree(onnxport.load(tmp_path / "n.onnx"), estimator, X)


def test_a_flag_that_never_varied(tmp_path: Path) -> None:
    X = pd.DataFrame({"flag": np.ones(ROWS, bool), "size": SIZE})
    estimator = _before_ridge(OneHotEncoder(), "flag")
    model = _saved(estimator, X, Y, tmp_path)
    agree(model, estimator, X)
    with pytest.raises(ValueError, match="unknown categories"):
        estimator.predict(X.assign(flag=False))
    with pytest.raises(ValidationError, match="allowed are True"):
        model.predict({"flag": False, "size": 0.0})


def _steps(*, pandas: bool) -> Any:
    """Columns through two transformers, by name, by dtype, by index and by slice."""
    first = ColumnTransformer(
        [("kept", "passthrough", ["word", "flag"]), ("gone", "drop", ["digits"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    by_name = [
        ("e", encoder, ["word", "flag"]),
        ("n", numbers, make_column_selector("size|floats")),
    ]
    by_place = [("e", encoder, slice(0, 2)), ("n", numbers, [-1, -2])]
    second = ColumnTransformer(by_name if pandas else by_place, remainder=MinMaxScaler())
    steps = make_pipeline(first, second, Ridge())
    return steps.set_output(transform="pandas") if pandas else steps


@pytest.mark.parametrize("pandas", [True, False])
def test_columns_of_many_types_through_many_steps(pandas: bool, tmp_path: Path) -> None:
    X = NUMBERS[["whole", "digits", "floats", "flag"]].assign(
        word=NULLS["None"].replace("None", "no"), size=SIZE.astype(np.float32)
    )
    estimator = _steps(pandas=pandas)
    model = _saved(estimator, X, Y, tmp_path)
    agree(model, estimator, X)
    assert model.signature.ignored == ("digits",)


def test_a_bare_array_of_objects(tmp_path: Path) -> None:
    X = pd.DataFrame({"w": NULLS["None"], "n": COUNT, "f": COUNT > 1, "x": SIZE}).to_numpy(object)
    encoded = ColumnTransformer(
        [("e", OneHotEncoder(handle_unknown="ignore"), [0, 1, 2])], remainder="passthrough"
    )
    estimator = make_pipeline(encoded, Ridge())
    agree(_saved(estimator, X, Y, tmp_path), estimator, X)


def test_penguins_with_missing_sex(tmp_path: Path) -> None:
    X, y = data.penguins()
    X = X.assign(sex=load_penguins()["sex"])
    encoder = ColumnTransformer(
        [("e", OneHotEncoder(), ["island", "sex"])], remainder=SimpleImputer(add_indicator=True)
    )
    estimator = make_pipeline(encoder, StandardScaler(), LogisticRegression(max_iter=500))
    assert X["sex"].isna().any()
    agree(_saved(estimator, X, y, tmp_path), estimator, X)


def test_airports_with_missing_states(tmp_path: Path) -> None:
    X, y = data.airports()
    infrequent = OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist")
    columns = ColumnTransformer(
        [("o", infrequent, ["state", "country"]), ("t", TargetEncoder(), ["state"])]
    )
    estimator = make_pipeline(columns, Ridge())
    assert X["state"].isna().any()
    model = _saved(estimator, X, y, tmp_path)
    agree(model, estimator, X)
    agree(
        model,
        estimator,
        X.head(3).assign(state=X["state"].mask(X["state"].notna()), country="Austria"),
    )
