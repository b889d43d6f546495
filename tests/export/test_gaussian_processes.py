"""Gaussian processes with every kernel that converts, and other models that keep their rows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

import onnxport
from onnxport.errors import UnsupportedModel
from tests.export import data

_NOISE = kernels.WhiteKernel(1.0)
_ONE_OF_EACH = (
    kernels.ConstantKernel(2.0) * kernels.RBF(np.linspace(0.5, 2.0, 10))
    + kernels.Matern(nu=0.5)
    + kernels.Matern(nu=1.5)
    + kernels.Matern(nu=2.5)
    + kernels.Matern(nu=np.inf)
    + kernels.RationalQuadratic(alpha=0.7)
    + kernels.ExpSineSquared(0.5, 1.3)
    + kernels.DotProduct(0.3) ** 2
    + _NOISE
)


def _regressor(kernel: Any, **options: Any) -> Any:
    return GaussianProcessRegressor(kernel, optimizer=None, **options)


@pytest.mark.parametrize(
    "estimator",
    [
        _regressor(None),
        _regressor(_ONE_OF_EACH, normalize_y=True),
        KernelRidge(),
        KernelRidge(kernel="rbf", gamma=0.1),
        KernelRidge(kernel="laplacian"),
        make_pipeline(MinMaxScaler(clip=True), KernelRidge(kernel="chi2", gamma=0.5)),
    ],
)
def test_regressors(estimator: Any, tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = make_pipeline(StandardScaler(), estimator).fit(X.iloc[::3], y.iloc[::3])
    onnxport.save(model, tmp_path / "m.onnx", X)
    found = [answer["prediction"] for answer in onnxport.load(tmp_path / "m.onnx").predict(X)]
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-9)


def test_a_kernel_of_large_numbers(tmp_path: Path) -> None:
    """Its sums round in a digit that shows."""
    X, y = data.diabetes()
    model = make_pipeline(StandardScaler(), _regressor(kernels.DotProduct(1000.0) + _NOISE))
    report = onnxport.save(model.fit(X[::3], y[::3]), tmp_path / "m.onnx", X)
    assert report.parity.max_abs < 1e-6


def test_two_targets(tmp_path: Path) -> None:
    X, y = data.diabetes()
    both = np.column_stack([y, y**0.5])
    model = GaussianProcessRegressor(kernels.RBF() + _NOISE, normalize_y=True, optimizer=None)
    onnxport.save(model.fit(X[::3], both[::3]), tmp_path / "m.onnx", X)
    found = [answer["prediction"] for answer in onnxport.load(tmp_path / "m.onnx").predict(X)]
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "rows"),
    [
        (GaussianProcessClassifier(optimizer=None), slice(0, None, 2)),
        (GaussianProcessClassifier(kernels.RBF() + _NOISE, optimizer=None), slice(50, None)),
        (GaussianProcessClassifier(kernels.DotProduct() ** 2, optimizer=None), slice(50, None)),
        (LabelSpreading(kernel="knn"), slice(None)),
        (LabelPropagation(gamma=5), slice(None)),
    ],
)
def test_classifiers(estimator: Any, rows: slice, tmp_path: Path) -> None:
    X, y = data.iris()
    codes = np.unique(y, return_inverse=True)[1]
    if isinstance(estimator, (LabelSpreading, LabelPropagation)):
        codes[::3] = -1  # unlabelled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make_pipeline(StandardScaler(), estimator).fit(X[rows], codes[rows])
    onnxport.save(model, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    assert [answer["prediction"] for answer in answers] == model.predict(X).tolist()
    proba = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "parameter"),
    [
        (_regressor(kernels.Matern(nu=0.8) + _NOISE), "kernel"),
        (GaussianProcessClassifier(multi_class="one_vs_one", optimizer=None), "multi_class"),
        (KernelRidge(kernel=lambda a, b: float(a @ b)), "kernel"),
        (LabelSpreading(kernel=lambda a, b: a @ b.T), "kernel"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_refused(estimator: Any, parameter: str, tmp_path: Path) -> None:
    X, y = data.iris()
    estimator.fit(X, np.unique(y, return_inverse=True)[1])
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(estimator, tmp_path / "m.onnx", X)
    assert caught.value.parameter == parameter
