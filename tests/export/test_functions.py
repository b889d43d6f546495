"""FunctionTransformer: functions of numpy's and scipy's, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor

import onnxport
from onnxport.errors import RequestError, UnsupportedModel
from onnxport.export.emitters.numpy_functions import FUNCTIONS

UNIT = {np.arcsin, np.arccos, np.arctanh, special.logit}  # of numbers between 0 and 1
EXPONENTIAL = {np.exp, np.exp2, np.expm1, np.sinh, np.cosh, np.tan, special.expm1, special.exp2}
ALL = sorted(FUNCTIONS, key=lambda f: f.__name__)


def _numbers(*, unit: bool) -> pd.DataFrame:
    """Tiny and large numbers, a number and its neighbours, and integers in between."""
    rng = np.random.default_rng(4)
    tiny = rng.choice([1e-12, 3e-9, 0.01], 300) * rng.random(300)
    size = rng.random(300) if unit else 1 + rng.lognormal(0, 1.2, 300)
    return pd.DataFrame({"tiny": tiny if unit else 1 + tiny, "size": size})


def _saved(model: Any, X: Any, y: Any, folder: Path) -> tuple[onnxport.Model, Any]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model.fit(X, y)
        onnxport.save(model, folder / "m.onnx", X)
        expected = model.predict(X)
    loaded = onnxport.load(folder / "m.onnx")
    found = np.array([answer["prediction"] for answer in loaded.predict(X)])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    return loaded, expected


def _lines(functions: list[Any]) -> Pipeline:
    """Many functions side by side, each column scaled, so that every one of them tells."""
    union = FeatureUnion([(f"{i}", FunctionTransformer(f)) for i, f in enumerate(functions)])
    return make_pipeline(union, StandardScaler())


@pytest.mark.parametrize("part", range(6))
def test_every_function_before_a_line(part: int, tmp_path: Path) -> None:
    usual = [f for f in ALL if f not in UNIT and f not in EXPONENTIAL]
    y = np.random.default_rng(0).normal(size=300)
    chosen = usual[part::6]
    _saved(make_pipeline(_lines(chosen), LinearRegression()), _numbers(unit=False), y, tmp_path)


@pytest.mark.parametrize("functions", [UNIT, EXPONENTIAL], ids=["unit", "exponential"])
def test_functions_of_small_numbers(functions: set[Any], tmp_path: Path) -> None:
    chosen = sorted(functions, key=lambda f: f.__name__)
    y = np.random.default_rng(0).normal(size=300)
    X = _numbers(unit=True) * 0.9 + 0.05
    _saved(make_pipeline(_lines(chosen), LinearRegression()), X, y, tmp_path)


@pytest.mark.parametrize("func", [np.log1p, np.expm1, special.log1p], ids=lambda f: f.__name__)
def test_what_is_tiny_keeps_its_digits(func: Any, tmp_path: Path) -> None:
    """1e-12 is nothing beside 1: a naive log(1 + x) loses all but four digits of it."""
    X = _numbers(unit=True)[["tiny"]]
    model = make_pipeline(FunctionTransformer(func), StandardScaler(), LinearRegression())
    _saved(model, X[X["tiny"] < 1e-8].head(90), np.arange(90.0), tmp_path)


EXACT = [
    FunctionTransformer(np.sqrt),
    FunctionTransformer(np.square),
    FunctionTransformer(np.reciprocal),
    FunctionTransformer(np.round, kw_args={"decimals": 1}),
    FunctionTransformer(np.round, kw_args={"decimals": -1}),
    FunctionTransformer(np.clip, kw_args={"a_min": 0.3, "a_max": 2.7}),
    FunctionTransformer(np.clip, kw_args={"min": 1, "max": None}),
    FunctionTransformer(np.floor, validate=True),
    FunctionTransformer(np.isnan),
    FunctionTransformer(np.nan_to_num, kw_args={"nan": -1.5}),
    FunctionTransformer(np.negative),
    FunctionTransformer(np.rad2deg),
]


@pytest.mark.parametrize("transformer", EXACT, ids=lambda t: t.func.__name__)
def test_exact_to_the_last_bit_before_a_tree(transformer: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    X = np.abs(rng.normal(3, 2, (300, 2))) + 0.1
    if transformer.func in (np.isnan, np.nan_to_num):
        X[rng.random(X.shape) < 0.2] = np.nan
    y = np.nan_to_num(X[:, 0]) + np.isnan(X[:, 1])
    model = make_pipeline(transformer, HistGradientBoostingRegressor(max_iter=8))
    _saved(model, X, y, tmp_path)


def test_columns_of_several_dtypes_keep_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    X = pd.DataFrame(
        {
            "id": rng.integers(1, 4_000_000_000, 300),
            "short": rng.integers(1, 70_000, 300).astype(np.int32),
            "real": rng.normal(size=300),
        }
    )
    y = X["real"] + X["id"] / 1e9
    square = FunctionTransformer(np.square)  # wraps around, in 64 bits and in 32
    _saved(make_pipeline(square, GradientBoostingRegressor(n_estimators=5)), X, y, tmp_path)
    steps = ColumnTransformer([("a", FunctionTransformer(np.abs), ["id", "real"])])
    _saved(make_pipeline(steps, DecisionTreeRegressor(max_depth=6)), X, y, tmp_path)


def test_float32_is_computed_as_float32(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    X = rng.lognormal(size=(300, 2)).astype(np.float32)
    for func in (np.sqrt, np.log1p, np.reciprocal):
        model = make_pipeline(FunctionTransformer(func), DecisionTreeRegressor(max_depth=5))
        model.fit(X, X[:, 0])
        report = onnxport.save(model, tmp_path / "m.onnx", X)
        assert report.parity.max_abs <= 1e-5


def test_rows_that_the_next_step_refuses(tmp_path: Path) -> None:
    X = pd.DataFrame({"x": np.linspace(0.5, 9, 50)})
    for step in (StandardScaler(), FunctionTransformer(validate=True)):
        model = make_pipeline(FunctionTransformer(np.log), step, LinearRegression())
        loaded, _ = _saved(model, X, X["x"], tmp_path)
        for bad in (0.0, -1.0):
            with pytest.raises(RequestError):
                loaded.predict({"x": bad})
            with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"infinity|NaN"):
                model.predict(pd.DataFrame({"x": [bad]}))


def test_rows_that_a_scaler_refuses_and_a_tree_would_take(tmp_path: Path) -> None:
    X = pd.DataFrame({"x": np.linspace(0.5, 9, 50)})
    last = HistGradientBoostingRegressor(max_iter=5)
    model = make_pipeline(FunctionTransformer(np.reciprocal), StandardScaler(), last)
    loaded, _ = _saved(model, X, X["x"], tmp_path)
    with pytest.raises(RequestError):
        loaded.predict({"x": 0.0})


def test_polynomials_before_a_tree_are_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    X = rng.normal(size=(300, 4))
    for dtype in (np.float64, np.float32):
        model = make_pipeline(PolynomialFeatures(4), HistGradientBoostingRegressor(max_iter=8))
        _saved(model, X.astype(dtype), X[:, 0] * X[:, 1] * X[:, 2], tmp_path)


def _shifted(X: Any) -> Any:
    return X + 1


@pytest.mark.parametrize(
    ("transformer", "parameter", "said"),
    [
        (FunctionTransformer(_shifted), "func", "the function '_shifted'"),
        (FunctionTransformer(lambda X: X), "func", "the function '<lambda>'"),
        (FunctionTransformer(np.cumsum, kw_args={"axis": 1}), "func", "'cumsum'"),
        (FunctionTransformer(np.log1p, kw_args={"dtype": "f4"}), "kw_args", "without arguments"),
        (
            FunctionTransformer(np.clip, kw_args={"a_min": [0, 1], "a_max": 2}),
            "kw_args",
            "don't convert",
        ),
    ],
    ids=["own", "lambda", "cumsum", "dtype", "array"],
)
def test_what_is_refused(transformer: Any, parameter: str, said: str, tmp_path: Path) -> None:
    X = np.abs(np.random.default_rng(1).normal(size=(60, 2)))
    model = make_pipeline(transformer, LinearRegression()).fit(X, X[:, 0])
    with pytest.raises(UnsupportedModel, match=said) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X)
    assert caught.value.parameter == parameter


def test_a_boolean_column_would_become_float16(tmp_path: Path) -> None:
    X = pd.DataFrame({"flag": [True, False] * 30, "x": np.arange(60.0)})
    model = make_pipeline(FunctionTransformer(np.log1p), LinearRegression()).fit(X, X["x"])
    with pytest.raises(UnsupportedModel, match=r"float16.*astype\('float64'\)"):
        onnxport.save(model, tmp_path / "m.onnx", X)
