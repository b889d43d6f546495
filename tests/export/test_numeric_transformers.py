"""Transformers of numbers in front of a model: bins, powers, quantiles, splines, projections,
kernels.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    kernel_approximation,
    neighbors,
    preprocessing,
    random_projection,
)
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

import onnxport
from onnxport.errors import RequestError, UnsupportedModel
from tests.export import data

Bins = preprocessing.KBinsDiscretizer
Splines = preprocessing.SplineTransformer
Quantiles = preprocessing.QuantileTransformer


@cache
def hard() -> data.Data:
    """Positive numbers of many sizes: counts with many zeros, repeated prices, tiny and large ones."""
    rng = np.random.default_rng(11)
    X = pd.DataFrame(
        {
            "count": rng.poisson(1.5, 400),
            "price": rng.choice([0.1, 0.3, 1.1, 2.7, 9.99], 400),
            "tiny": rng.lognormal(-12, 1, 400),
            "large": rng.lognormal(12, 1, 400),
            "plain": rng.normal(3, 1, 400),
        }
    )
    y = np.log(X["large"]) * X["price"] - X["count"] + np.sin(X["plain"])
    return X, y.to_numpy()


def prove(
    model: Any, X: Any, y: Any, folder: Path, *, bar: float = 1e-9
) -> tuple[onnxport.Report, onnxport.Model]:
    """Fits, saves, and compares with the model itself on the rows it was fitted on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        expected = np.asarray(model.predict(X), dtype=np.float64)
    report = onnxport.save(model, folder / "m.onnx", X)
    loaded = onnxport.load(folder / "m.onnx")
    found = np.array([answer["prediction"] for answer in loaded.predict(X)], dtype=np.float64)
    expected = expected.reshape(found.shape)
    assert np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))) <= bar
    assert report.parity.rows > 2000
    return report, loaded


EXACT = [
    Bins(4, encode="ordinal", strategy="uniform"),
    Bins(6, encode="ordinal", strategy="kmeans", random_state=0),
    Bins(3, encode="ordinal", strategy="uniform", dtype=np.float32),
    Quantiles(n_quantiles=100),
    Quantiles(n_quantiles=7),
    Splines(),
    Splines(5, degree=2, knots="quantile", include_bias=False),
    Splines(4, extrapolation="continue"),
    Splines(4, extrapolation="periodic"),
    Splines(4, degree=1, extrapolation="linear"),
    Splines(4, degree=0, extrapolation="linear"),
    preprocessing.Binarizer(threshold=1.1),
]
ROUNDED = [
    Bins(4, strategy="uniform"),
    Bins(4, encode="onehot-dense", strategy="uniform"),
    preprocessing.PowerTransformer(),
    preprocessing.PowerTransformer(standardize=False),
    Quantiles(n_quantiles=50, output_distribution="normal"),
    Splines(4, sparse_output=True),
    Splines(4, extrapolation="linear"),
    decomposition.IncrementalPCA(3),
    decomposition.IncrementalPCA(3, whiten=True),
    decomposition.FactorAnalysis(3),
    decomposition.FastICA(3, random_state=0),
    decomposition.FastICA(whiten=False, random_state=0),
    random_projection.GaussianRandomProjection(3, random_state=0),
    random_projection.SparseRandomProjection(3, random_state=0),
    kernel_approximation.RBFSampler(n_components=20, random_state=0),
    kernel_approximation.PolynomialCountSketch(n_components=30, degree=3, random_state=0),
    kernel_approximation.PolynomialCountSketch(coef0=1, gamma=0.1, random_state=0),
    *(
        kernel_approximation.Nystroem(kernel, n_components=4, random_state=0)
        for kernel in ("rbf", "poly", "sigmoid", "linear", "cosine", "laplacian")
    ),
    kernel_approximation.Nystroem(gamma=0.2, n_components=20, random_state=0),
    *(
        decomposition.KernelPCA(3, kernel=kernel, random_state=0)
        for kernel in ("rbf", "poly", "sigmoid", "linear", "cosine")
    ),
]
POSITIVE = [
    preprocessing.PowerTransformer("box-cox"),
    kernel_approximation.SkewedChi2Sampler(n_components=20, random_state=0),
    kernel_approximation.AdditiveChi2Sampler(),
    kernel_approximation.AdditiveChi2Sampler(sample_steps=1),
    kernel_approximation.Nystroem("chi2", n_components=20, random_state=0),
    kernel_approximation.Nystroem("additive_chi2", n_components=20, random_state=0),
]


def _name(case: Any) -> str:
    return type(case).__name__


@pytest.mark.parametrize("transformer", EXACT, ids=_name)
def test_exact_to_the_last_bit_before_a_tree(transformer: Any, tmp_path: Path) -> None:
    model = make_pipeline(transformer, HistGradientBoostingRegressor(max_iter=8))
    prove(model, *hard(), tmp_path)


@pytest.mark.parametrize(
    "transformer", [Splines(4, extrapolation="error"), Splines(3, degree=0)], ids=["error", "steps"]
)
def test_splines_that_refuse_rows(transformer: Any, tmp_path: Path) -> None:
    """The library refuses what lies beyond the knots; of steps, what lies above them."""
    X, y = hard()
    model = make_pipeline(transformer, HistGradientBoostingRegressor(max_iter=8))
    _, loaded = prove(model, X[["plain"]], y, tmp_path)
    with pytest.raises(RequestError):
        loaded.predict({"plain": 1e3})
    with pytest.raises(ValueError, match=r"knots|broadcast"):
        model.predict(pd.DataFrame({"plain": [1e3]}))


@pytest.mark.parametrize("transformer", ROUNDED, ids=_name)
def test_before_a_line(transformer: Any, tmp_path: Path) -> None:
    X, y = hard()
    model = make_pipeline(transformer, Ridge(1e-3))
    if type(transformer) not in (Bins, Quantiles, Splines):
        model = make_pipeline(preprocessing.StandardScaler(), transformer, Ridge(1e-3))
    prove(model, X, y, tmp_path)


@pytest.mark.parametrize("transformer", POSITIVE, ids=_name)
def test_of_positive_numbers(transformer: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    X = pd.DataFrame(
        {"a": rng.uniform(1, 2, 200), "b": rng.uniform(50, 90, 200), "c": [3, 7] * 100}
    )
    model = make_pipeline(preprocessing.MaxAbsScaler(), transformer, Ridge(1e-3))
    _, loaded = prove(model, X, np.log(X["a"]) * X["c"] + X["b"], tmp_path)
    row = X.iloc[0].to_dict() | {"b": -3e3}
    with pytest.raises(RequestError):
        loaded.predict(row)
    with pytest.raises(ValueError, match=r"egative|positive|skewedness"):
        model.predict(pd.DataFrame([row]))


def test_a_negative_power_is_refused_before_a_tree_that_would_take_nan(tmp_path: Path) -> None:
    X = pd.DataFrame({"a": np.linspace(5, 9, 100), "b": np.linspace(80, 60, 100) ** 2})
    power = preprocessing.PowerTransformer("box-cox")
    model = make_pipeline(power, DecisionTreeRegressor(max_depth=3))
    _, loaded = prove(model, X, X["a"] ** 2, tmp_path)
    with pytest.raises(RequestError):
        loaded.predict({"a": -1.0, "b": 4000.0})


@pytest.mark.parametrize(
    "transformer",
    [
        neighbors.NeighborhoodComponentsAnalysis(2, max_iter=5, random_state=0),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        discriminant_analysis.LinearDiscriminantAnalysis(solver="eigen", n_components=1),
    ],
    ids=_name,
)
def test_supervised_projections(transformer: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    codes = np.searchsorted(np.unique(y), y)
    scaler = preprocessing.StandardScaler()
    prove(make_pipeline(scaler, transformer, LinearRegression()), X, codes, tmp_path)


@pytest.mark.parametrize(
    "transformer",
    [
        preprocessing.StandardScaler(),
        preprocessing.StandardScaler(with_mean=False),
        preprocessing.MinMaxScaler(),
        preprocessing.MinMaxScaler((-1, 3), clip=True),
        preprocessing.MaxAbsScaler(),
        preprocessing.RobustScaler(),
        preprocessing.RobustScaler(with_centering=False, unit_variance=True),
        preprocessing.Binarizer(threshold=0.3),
        Bins(4, encode="ordinal", strategy="uniform"),
        Quantiles(n_quantiles=20),
        Splines(4),
        preprocessing.PowerTransformer(),
        kernel_approximation.Nystroem(n_components=10, random_state=0),
        decomposition.PCA(2),
    ],
    ids=_name,
)
def test_of_float32(transformer: Any, tmp_path: Path) -> None:
    X, y = hard()
    narrow = X[["price", "plain", "count"]].to_numpy(np.float32)
    model = make_pipeline(transformer, DecisionTreeRegressor(max_depth=5, random_state=0))
    prove(model, narrow, y.astype(np.float32), tmp_path, bar=1e-5)


def test_missing_numbers_pass_through(tmp_path: Path) -> None:
    X, y = hard()
    rng = np.random.default_rng(0)
    holes = X.astype(float).mask(rng.random(X.shape) < 0.1)
    for transformer in (Quantiles(n_quantiles=30), preprocessing.RobustScaler()):
        model = make_pipeline(transformer, HistGradientBoostingRegressor(max_iter=8))
        prove(model, holes, y, tmp_path)
    power = make_pipeline(preprocessing.PowerTransformer(), DecisionTreeRegressor(max_depth=4))
    prove(power, holes, y, tmp_path)


def test_splines_of_missing_numbers(tmp_path: Path) -> None:
    X, y = hard()
    rng = np.random.default_rng(0)
    holes = X.astype(float).mask(rng.random(X.shape) < 0.1)
    prove(make_pipeline(Splines(4, handle_missing="zeros"), Ridge()), holes, y, tmp_path)


def test_a_kernel_that_was_computed_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4))
    kernel, y = rows @ rows[:20].T, rows[:, 0]
    centred = preprocessing.KernelCenterer().fit(kernel[:20])
    model = make_pipeline(centred, Ridge())
    prove(model, kernel[:20], y[:20], tmp_path)


@pytest.mark.parametrize("transformer", [Bins(4, encode="ordinal"), Quantiles(n_quantiles=99)])
def test_edges_that_another_last_bit_would_miss(transformer: Any, tmp_path: Path) -> None:
    X, y = hard()
    log = preprocessing.FunctionTransformer(np.log1p)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(log, transformer, Ridge()).fit(X[["price", "count"]], y)
    with pytest.raises(UnsupportedModel, match="its edges may equal values"):
        onnxport.save(model, tmp_path / "m.onnx", X[["price", "count"]])


@pytest.mark.parametrize(
    ("transformer", "said"),
    [
        (decomposition.NMF(2, random_state=0), "or TruncatedSVD"),
        (decomposition.DictionaryLearning(2, max_iter=3, random_state=0), "or TruncatedSVD"),
        (decomposition.SparsePCA(2, random_state=0), "TruncatedSVD"),
        (decomposition.KernelPCA(2, kernel=np.dot), "Use a kernel by its name"),
        (
            kernel_approximation.PolynomialCountSketch(n_components=1500, random_state=0),
            "Set n_components to 1024",
        ),
    ],
    ids=_name,
)
def test_what_is_refused(transformer: Any, said: str, tmp_path: Path) -> None:
    X, y = data.iris()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(transformer, LogisticRegression()).fit(X, y)
    with pytest.raises(UnsupportedModel, match=said):
        onnxport.save(model, tmp_path / "m.onnx", X)


@pytest.mark.parametrize("kind", ["PLSRegression", "PLSCanonical", "CCA", "PLSSVD"])
def test_latent_structures(kind: str, tmp_path: Path) -> None:
    """Their `fit_transform` gives a pair, so a pipeline is put together of fitted steps."""
    X, y = data.diabetes()
    targets = np.column_stack([y, X.to_numpy()[:, 0] * 300 + y])
    latent = getattr(cross_decomposition, kind)(n_components=2).fit(X, targets)
    line = LinearRegression().fit(latent.transform(X), y)
    model = make_pipeline(latent, line)
    report = onnxport.save(model, tmp_path / "m.onnx", X)
    assert report.parity.max_abs <= 1e-9
