"""Gaussian processes: the posterior mean, and for classes its way through the logistic function.

Source: `sklearn/gaussian_process/_gpr.py`, `_gpc.py` (algorithm 3.2 of Rasmussen and Williams,
Gaussian Processes for Machine Learning, MIT Press 2006); `sklearn/multiclass.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor

from onnxport.export.covariances import covariance, unknown_kernel, variance
from onnxport.export.decisions import code_from_raw, code_from_sign, normalized, pair
from onnxport.export.graph import Array, Columns, Graph
from onnxport.export.registry import (
    ROUGH_BAR,
    TOLERANT_BAR,
    Classified,
    Emission,
    Refusal,
    Valued,
    emits,
    finite_only,
    numbers_only,
)
from onnxport.export.special import erf

# The logistic function as a sum of error functions (Williams and Barber, 1998, appendix A).
_LAMBDAS = np.array([0.41, 0.4, 0.37, 0.44, 0.39])
_COEFFICIENTS = np.array([-1854.8214151, 3516.89893646, 221.29346712, 128.12323805, -2010.49422654])
_LARGE = 1e5  # weights, times the kernel's size, that multiply rounding beyond the exact bar


def _kernel_check(kernel: Any) -> Refusal | None:
    if unknown_kernel(kernel) is not None:
        return Refusal(
            "kernel",
            "it has a part that doesn't convert",
            "Use RBF, Matern (nu of 0.5, 1.5, 2.5 or inf), RationalQuadratic, ExpSineSquared, "
            "DotProduct, ConstantKernel, WhiteKernel, and their sums, products and powers.",
        )
    return None


def _regressor_check(estimator: Any) -> Refusal | None:
    return _kernel_check(estimator.kernel_)


def _prepared(emission: Emission, estimator: Any, columns: Columns, rows: Array) -> str:
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    emission.widen(4 * len(rows))
    if columns.single or rows.dtype == np.float32:
        emission.relax(TOLERANT_BAR)
    return emission.graph.matrix(columns)


@emits(GaussianProcessRegressor, check=_regressor_check)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """std · k(x, training rows) · weights + mean."""
    graph, rows = emission.graph, np.asarray(estimator.X_train_)
    x = _prepared(emission, estimator, columns, rows)
    weights = estimator.alpha_.reshape(len(rows), -1)
    largest = max(1.0, float(estimator.kernel_.diag(rows).max()))
    if largest * np.abs(weights).sum(axis=0).max() > _LARGE:
        emission.relax(ROUGH_BAR)
    mean = graph.node(
        "MatMul", _between(graph, estimator.kernel_, x, rows), graph.constant(weights)
    )
    scaled = graph.node("Mul", mean, graph.constant(np.atleast_1d(estimator._y_train_std)))
    return Valued(graph.node("Add", scaled, graph.constant(np.atleast_1d(estimator._y_train_mean))))


def _between(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    """k(x, rows) in full, double [N, rows]."""
    count = graph.node("Shape", x, end=1)
    size = graph.node("Concat", count, graph.integers([len(rows)]), axis=0)
    return graph.node("Expand", covariance(graph, kernel, x, rows), size)


def _classifier_check(estimator: Any) -> Refusal | None:
    if estimator.n_classes_ > 2 and estimator.multi_class == "one_vs_one":
        return Refusal("multi_class", "it has no probabilities", "Set multi_class='one_vs_rest'.")
    for member in _members(estimator):
        refusal = _kernel_check(member.kernel_)
        if refusal is not None:
            return refusal
    return None


def _members(estimator: Any) -> list[Any]:
    """The binary classifiers."""
    base = estimator.base_estimator_
    return [base] if estimator.n_classes_ == 2 else list(base.estimators_)


@emits(GaussianProcessClassifier, check=_classifier_check)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Two classes: the sign of the latent mean. More: the first with the largest probability against
    the rest.
    """
    graph, members = emission.graph, _members(estimator)
    x = _prepared(emission, estimator, columns, np.asarray(members[0].X_train_))
    latent = [_latent(graph, member, x) for member in members]
    positive = [_averaged(graph, mean, spread) for mean, spread in latent]
    if len(members) == 1:
        return Classified(code_from_sign(graph, latent[0][0]), pair(graph, positive[0]))
    proba = graph.node("Concat", *positive, axis=1)
    return Classified(code_from_raw(graph, proba), normalized(graph, proba))


def _latent(graph: Graph, member: Any, x: str) -> tuple[str, str]:
    """Mean and variance of the latent function, double [N, 1] each."""
    rows = np.asarray(member.X_train_)
    between = _between(graph, member.kernel_, x, rows)
    weights = (member.y_train_ - member.pi_).reshape(-1, 1)
    mean = graph.node("MatMul", between, graph.constant(weights))
    solver = np.linalg.solve(member.L_, np.diag(member.W_sr_)).T
    explained = graph.node("MatMul", between, graph.constant(solver))
    explained = graph.node("ReduceSumSquare", explained, graph.integers([1]), keepdims=1)
    return mean, graph.node("Sub", variance(graph, member.kernel_, x), explained)


def _averaged(graph: Graph, mean: str, spread: str) -> str:
    """The logistic function averaged over the latent distribution, double [N, 1]."""
    alpha = graph.node("Div", graph.constant(1.0), graph.node("Mul", spread, graph.constant(2.0)))
    gamma = graph.node("Mul", mean, graph.constant(_LAMBDAS))
    wider = graph.node("Add", alpha, graph.constant(_LAMBDAS**2))
    inner = graph.node("Mul", gamma, graph.node("Sqrt", graph.node("Div", alpha, wider)))
    height = graph.node("Sqrt", graph.node("Div", graph.constant(np.pi), alpha))
    width = graph.node("Mul", graph.node("Mul", spread, graph.constant(2.0)), graph.constant(np.pi))
    width = graph.node("Mul", graph.node("Sqrt", width), graph.constant(2.0))
    integrals = graph.node("Div", graph.node("Mul", height, erf(graph, inner)), width)
    terms = graph.node("Mul", integrals, graph.constant(_COEFFICIENTS))
    total = graph.node("ReduceSum", terms, graph.integers([1]), keepdims=1)
    return graph.node("Add", total, graph.constant(0.5 * float(_COEFFICIENTS.sum())))
