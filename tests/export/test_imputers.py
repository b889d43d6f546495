"""Imputers and indicators of missing values, against the estimator itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.random import default_rng
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

import onnxport
from onnxport.errors import UnsupportedModel, ValidationError
from tests.export import data
from tests.export.answering import agree

RNG = default_rng(22)
ROWS = 300
HOLES = RNG.random((ROWS, 3)) < 0.15
NUMBERS = pd.DataFrame(
    {
        "a": np.where(HOLES[:, 0], np.nan, RNG.normal(size=ROWS).round(1)),
        "b": np.where(HOLES[:, 1], np.nan, RNG.integers(0, 5, ROWS)),
        "full": RNG.normal(size=ROWS),
    }
)
Y = NUMBERS["full"] + NUMBERS["a"].fillna(3.0)


def _objects(values: Any) -> Any:
    return pd.Series(values, dtype=object)


TEXTS = pd.DataFrame(
    {
        "w": _objects(RNG.choice(["x", "y", "z "], ROWS)).mask(HOLES[:, 2], None),
        "v": _objects(RNG.choice(["missing", "?", "None"], ROWS)),
    }
)


def _away(one: Any, other: Any, **_: Any) -> float:
    """A distance of one's own."""
    return float(np.nansum(np.abs(one - other)))


def _saved(estimator: Any, X: Any, y: Any, folder: Path) -> onnxport.Model:
    estimator.fit(X, y)
    onnxport.save(estimator, folder / "m.onnx", X)
    return onnxport.load(folder / "m.onnx")


@pytest.mark.parametrize("add_indicator", [False, True])
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant", np.max])
def test_numbers(strategy: Any, add_indicator: bool, tmp_path: Path) -> None:
    imputer = SimpleImputer(strategy=strategy, add_indicator=add_indicator)
    estimator = make_pipeline(imputer, DecisionTreeRegressor(max_depth=5))
    model = _saved(estimator, NUMBERS, Y, tmp_path)
    agree(model, estimator, NUMBERS)
    agree(model, estimator, NUMBERS.assign(full=np.nan))


@pytest.mark.parametrize(
    ("value", "X"),
    [
        (-999, NUMBERS.fillna(-999)),
        (-999.1, NUMBERS.fillna(-999.1).astype(np.float32)),
        (0, NUMBERS[["b"]].fillna(0).astype(int)),
        (None, NUMBERS[["a", "b"]].astype(object).mask(HOLES[:, :2], None)),
        (pd.NA, NUMBERS.convert_dtypes()),
    ],
    ids=["whole", "float32", "integers", "objects", "NA"],
)
def test_other_spellings_of_missing(value: Any, X: Any, tmp_path: Path) -> None:
    imputer = SimpleImputer(missing_values=value, strategy="most_frequent", add_indicator=True)
    estimator = make_pipeline(imputer, Ridge())
    model = _saved(estimator, X, Y, tmp_path)
    agree(model, estimator, X, rtol=1e-5 if str(value) == "-999.1" else 1e-9)


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("strategy", ["mean", "most_frequent", "constant"])
def test_a_column_that_is_all_missing(strategy: str, keep: bool, tmp_path: Path) -> None:
    X = NUMBERS.assign(empty=np.nan)
    imputer = SimpleImputer(strategy=strategy, keep_empty_features=keep, add_indicator=True)
    estimator = make_pipeline(imputer, Ridge())
    model = _saved(estimator, X, Y, tmp_path)
    agree(model, estimator, X)
    agree(model, estimator, X.assign(empty=1.5))


def _strings(imputer: Any, **options: Any) -> Any:
    encoded = make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore", **options))
    return make_pipeline(ColumnTransformer([("e", encoded, ["w", "v"])]), Ridge())


@pytest.mark.parametrize(
    "imputer",
    [
        SimpleImputer(missing_values=None, strategy="most_frequent"),
        SimpleImputer(missing_values=None, strategy="constant", fill_value="missing"),
        SimpleImputer(missing_values=None, strategy="constant", add_indicator=True),
        SimpleImputer(missing_values="?", strategy="most_frequent"),
        SimpleImputer(strategy="most_frequent"),  # None isn't NaN: it stays
        SimpleImputer(missing_values=pd.NA, strategy="most_frequent"),
    ],
    ids=["most_frequent", "constant", "indicator", "a string", "another null", "NA"],
)
def test_strings(imputer: Any, tmp_path: Path) -> None:
    estimator = _strings(imputer)
    model = _saved(estimator, TEXTS, Y, tmp_path)
    agree(model, estimator, TEXTS)
    agree(model, estimator, TEXTS.assign(w=None))
    agree(model, estimator, TEXTS.assign(w="Rom"))


@pytest.mark.parametrize("dtype", ["str", "category", "string"])
def test_strings_of_pandas_own_types(dtype: Any, tmp_path: Path) -> None:
    X = TEXTS.astype(dtype)
    null = pd.NA if dtype == "string" else np.nan
    estimator = _strings(SimpleImputer(missing_values=null, strategy="most_frequent"))
    agree(_saved(estimator, X, Y, tmp_path), estimator, X)


@pytest.mark.filterwarnings("ignore:Skipping features")
@pytest.mark.parametrize("dtype", ["str", object])
def test_strings_that_are_all_missing(dtype: Any, tmp_path: Path) -> None:
    empty = pd.Series([None] * ROWS, dtype=dtype)
    X = TEXTS.astype(dtype).assign(w=empty)
    null = np.nan if dtype == "str" else None
    for keep in (False, True):
        imputer = SimpleImputer(
            missing_values=null, strategy="constant", fill_value="?", keep_empty_features=keep
        )
        estimator = _strings(imputer)
        agree(_saved(estimator, X, Y, tmp_path), estimator, X)


def test_strings_in_numbers_are_refused(tmp_path: Path) -> None:
    X = TEXTS.assign(v=NUMBERS["b"])
    imputer = SimpleImputer(strategy="constant", fill_value="?", missing_values=pd.NA)
    estimator = make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore"), Ridge())
    with pytest.raises(UnsupportedModel, match="separate steps of a ColumnTransformer"):
        _saved(estimator, X.assign(v=X["v"].fillna(1.0)), Y, tmp_path)


@pytest.mark.parametrize("features", ["all", "missing-only"])
def test_indicators_alone(features: str, tmp_path: Path) -> None:
    parts = [("i", SimpleImputer()), ("m", MissingIndicator(features=features))]
    estimator = make_pipeline(FeatureUnion(parts), StandardScaler(), Ridge())
    model = _saved(estimator, NUMBERS, Y, tmp_path)
    agree(model, estimator, NUMBERS)
    hole = NUMBERS.head(1).assign(full=np.nan)
    if features == "all":
        agree(model, estimator, hole)
    else:
        with pytest.raises(ValidationError, match="takes no missing value here"):
            model.predict(hole)


def test_an_indicator_of_strings(tmp_path: Path) -> None:
    indicator = MissingIndicator(missing_values=None, features="all")
    encoded = ColumnTransformer([("m", indicator, ["w", "v"]), ("n", "passthrough", ["full"])])
    X = TEXTS.assign(full=NUMBERS["full"])
    estimator = make_pipeline(encoded, Ridge())
    agree(_saved(estimator, X, Y, tmp_path), estimator, X)


def test_real_holes_before_a_closed_encoder(tmp_path: Path) -> None:
    X, y = data.airports()
    texts = make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), OneHotEncoder())
    columns = ColumnTransformer(
        [("t", texts, ["state"])], remainder="drop", verbose_feature_names_out=False
    )
    estimator = make_pipeline(columns, Ridge())
    assert X["state"].isna().any()
    model = _saved(estimator, X, y, tmp_path)
    agree(model, estimator, X)
    with pytest.raises(ValidationError, match="no known category"):
        model.predict({"state": "Wien"})


def test_penguins(tmp_path: Path) -> None:
    X, y = data.penguins()
    numbers = SimpleImputer(strategy="median", add_indicator=True)
    columns = ColumnTransformer([("i", OneHotEncoder(), ["island"])], remainder=numbers)
    estimator = make_pipeline(columns, StandardScaler(), LogisticRegression(max_iter=500))
    agree(_saved(estimator, X, y, tmp_path), estimator, X)


def _iterative(**options: Any) -> Any:
    return IterativeImputer(random_state=0, **{"max_iter": 4, "tol": 0.1, **options})


ITERATIVE: dict[str, Any] = {
    "usual": _iterative(),
    "limits, indicator": _iterative(min_value=-1, max_value=[1, 2, 3], add_indicator=True),
    "any order": _iterative(imputation_order="random", initial_strategy="median"),
    "nearest": _iterative(n_nearest_features=2, skip_complete=True),
    "tree": _iterative(estimator=DecisionTreeRegressor(max_depth=4), max_iter=2, tol=1e-9),
    "no rounds": _iterative(max_iter=0),
}


@pytest.mark.filterwarnings("ignore:.*Early stopping criterion not reached")
@pytest.mark.parametrize("imputer", ITERATIVE)
def test_columns_from_each_other(imputer: str, tmp_path: Path) -> None:
    estimator = make_pipeline(ITERATIVE[imputer], Ridge())
    model = _saved(estimator, NUMBERS, Y, tmp_path)
    agree(model, estimator, NUMBERS)
    agree(model, estimator, NUMBERS.assign(full=np.nan))
    nothing = NUMBERS.head(2).assign(a=np.nan, b=np.nan, full=np.nan)
    agree(model, estimator, nothing)
    agree(model, estimator, pd.concat([nothing, NUMBERS.head(1)]))


@pytest.mark.filterwarnings("ignore:.*Early stopping", "ignore:Skipping features")
def test_columns_from_each_other_of_another_kind(tmp_path: Path) -> None:
    estimator = make_pipeline(_iterative(missing_values=-9), Ridge())
    X = NUMBERS.fillna(-9)
    agree(_saved(estimator, X, Y, tmp_path), estimator, X)
    estimator = make_pipeline(_iterative(), Ridge())
    single = NUMBERS.astype(np.float32)
    agree(_saved(estimator, single, Y, tmp_path), estimator, single, rtol=1e-5)
    empty = NUMBERS.assign(empty=np.nan)
    agree(_saved(estimator, empty, Y, tmp_path), estimator, empty)


@pytest.mark.filterwarnings("ignore:.*Early stopping")
@pytest.mark.parametrize(
    ("imputer", "said"),
    [
        (_iterative(sample_posterior=True), "Set sample_posterior=False"),
        (KNNImputer(metric=_away), "Use the default, metric='nan_euclidean'"),
        (KNNImputer(weights=np.sqrt), "Use weights='uniform' or 'distance'"),
    ],
    ids=["posterior", "metric", "weights"],
)
def test_imputers_whose_answers_are_not_theirs_alone(
    imputer: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModel, match=said):
        _saved(make_pipeline(imputer, Ridge()), NUMBERS, Y, tmp_path)
    assert not (tmp_path / "m.onnx").exists()


def test_cars_from_each_other(tmp_path: Path) -> None:
    X, y = data.cars()
    numbers = make_column_selector(dtype_include="number")
    columns = ColumnTransformer([("n", _iterative(add_indicator=True), numbers)])
    estimator = make_pipeline(columns, StandardScaler(), LogisticRegression(max_iter=2000))
    assert X["Horsepower"].isna().any()
    agree(_saved(estimator, X, y, tmp_path), estimator, X)


CLOUD = pd.DataFrame(default_rng(9).normal(size=(ROWS, 3)), columns=["a", "b", "full"])
CLOUD = CLOUD.mask(HOLES & [True, True, False])


@pytest.mark.parametrize(
    "imputer",
    [
        KNNImputer(),
        KNNImputer(n_neighbors=1000),
        KNNImputer(n_neighbors=1, add_indicator=True),
        KNNImputer(weights="distance"),
        make_pipeline(StandardScaler(), KNNImputer(n_neighbors=3)),
    ],
    ids=["5", "all", "indicator", "distance", "scaled"],
)
@pytest.mark.parametrize("last", [Ridge(), DecisionTreeRegressor(random_state=0)])
def test_columns_from_the_nearest_rows(imputer: Any, last: Any, tmp_path: Path) -> None:
    estimator = make_pipeline(imputer, last)
    model = _saved(estimator, CLOUD, Y, tmp_path)
    agree(model, estimator, CLOUD, rtol=1e-6 if "distance" in str(imputer) else 1e-9)
    nothing = CLOUD.head(1) * np.nan
    agree(model, estimator, pd.concat([nothing, CLOUD.head(3), nothing]))
    agree(model, estimator, NUMBERS[CLOUD.notna().all(axis=1)].head(2))


@pytest.mark.parametrize("options", [{}, {"keep_empty_features": True}, {"missing_values": -9}])
def test_columns_from_the_nearest_rows_of_another_kind(
    options: dict[str, Any], tmp_path: Path
) -> None:
    X = CLOUD.fillna(-9) if "missing_values" in options else CLOUD.assign(empty=np.nan)
    estimator = KNNImputer(**options)
    model = _saved(estimator, X, None, tmp_path)
    found = [answer["output"] for answer in model.predict(X)]
    np.testing.assert_allclose(found, estimator.transform(X), rtol=1e-9)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (NUMBERS[["a", "b"]], "several training rows are equally near"),
        (pd.concat([CLOUD, CLOUD.assign(a=9.0)]), "several training rows are equally near"),
        (CLOUD.astype(np.float32), "Fit on X.astype"),
    ],
    ids=["tied", "twice", "single"],
)
def test_nearest_rows_that_rounding_decides(X: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=said):
        _saved(KNNImputer(), X, None, tmp_path)
    assert not (tmp_path / "m.onnx").exists()


def test_a_row_between_two_nearest_rows_is_declined(tmp_path: Path) -> None:
    X = CLOUD[["full"]].assign(b=RNG.normal(size=ROWS))
    estimator = KNNImputer(n_neighbors=1)
    model = _saved(estimator, X, None, tmp_path)
    known = np.sort(X["full"])
    left, right = known[9], known[10]
    rows = pd.DataFrame({"full": left + (right - left) * np.array([0.4, 0.6]), "b": np.nan})
    found = [answer["output"] for answer in model.predict(rows)]
    np.testing.assert_allclose(found, estimator.transform(rows), rtol=1e-12)
    assert found[0][1] != found[1][1]
    between = pd.DataFrame({"full": (known[100:119] + known[101:120]) / 2, "b": np.nan})
    with pytest.raises(ValidationError, match=r"row 0: .*equally near") as caught:
        model.predict(between)  # in all of them, whatever the last bits of the distances say
    assert len(caught.value.details) == len(between)
