"""Gaussian mixtures: the likeliest component, and how likely each is.

Source: `sklearn/mixture/_gaussian_mixture.py` (`_estimate_log_gaussian_prob`), `_base.py`,
`_bayesian_mixture.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import digamma
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from onnxport.export.decisions import code_from_raw
from onnxport.export.graph import Array, Columns, Graph
from onnxport.export.registry import (
    ROUGH_BAR,
    TOLERANT_BAR,
    Emission,
    Grouped,
    emits,
    finite_only,
    numbers_only,
)


@emits(GaussianMixture)
def emit_mixture(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    with np.errstate(divide="ignore"):
        return _grouped(emission, estimator, columns, np.log(estimator.weights_))


@emits(BayesianGaussianMixture)
def emit_bayesian_mixture(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    """The expected log likelihood under the variational posterior: constants beside the density."""
    width = estimator.means_.shape[1]
    freedom = estimator.degrees_of_freedom_
    halves = 0.5 * (freedom - np.arange(width)[:, None])
    spread = width * np.log(2.0) + digamma(halves).sum(axis=0)
    precision = 0.5 * (spread - width / estimator.mean_precision_) - 0.5 * width * np.log(freedom)
    return _grouped(emission, estimator, columns, precision + estimator._estimate_log_weights())


def _grouped(emission: Emission, estimator: Any, columns: Columns, offset: Array) -> Grouped:
    """From log density + offset, [components]: the first largest, and their softmax."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    # Far from all components the log densities are so large that their rounding shows.
    emission.relax(TOLERANT_BAR if columns.single else ROUGH_BAR)
    graph = emission.graph
    x = graph.matrix(columns)
    components, width = estimator.means_.shape
    emission.widen(components * width)
    constant = -0.5 * width * np.log(2 * np.pi) + _log_determinants(estimator) + offset
    distance = _DISTANCES[estimator.covariance_type](graph, x, estimator)
    halved = graph.node("Mul", distance, graph.constant(-0.5))
    scores = graph.node("Add", halved, graph.constant(constant))
    return Grouped(code_from_raw(graph, scores), graph.node("Softmax", scores, axis=1))


def _log_determinants(estimator: Any) -> Array:
    """log det of each Cholesky factor of a precision, [components] or one for all."""
    factors, width = estimator.precisions_cholesky_, estimator.means_.shape[1]
    kind = estimator.covariance_type
    if kind == "spherical":
        return np.asarray(width * np.log(factors))
    diagonal = factors if kind == "diag" else np.diagonal(factors, axis1=-2, axis2=-1)
    return np.asarray(np.log(diagonal).sum(axis=-1))


def _full(graph: Graph, x: str, estimator: Any) -> str:
    """|x P - μ P|² for each component, double [N, components]."""
    factors = estimator.precisions_cholesky_
    if estimator.covariance_type == "tied":
        factors = [factors] * len(estimator.means_)
    parts = []
    for mean, factor in zip(estimator.means_, factors, strict=True):
        turned = graph.node("MatMul", x, graph.constant(factor))
        away = graph.node("Sub", turned, graph.constant(mean @ factor))
        parts.append(graph.node("ReduceSumSquare", away, graph.integers([1]), keepdims=1))
    return graph.node("Concat", *parts, axis=1)


def _diagonal(graph: Graph, x: str, estimator: Any) -> str:
    """Σ μ² p - 2 x · (μ p) + x² · p."""
    means, precisions = estimator.means_, estimator.precisions_cholesky_**2
    mixed = graph.node("MatMul", x, graph.constant((means * precisions).T))
    squares = graph.node("MatMul", graph.node("Mul", x, x), graph.constant(precisions.T))
    return _expanded(graph, (means**2 * precisions).sum(axis=1), mixed, squares)


def _spherical(graph: Graph, x: str, estimator: Any) -> str:
    """Σ μ² p - 2 x · μ p + |x|² p."""
    means, precisions = estimator.means_, estimator.precisions_cholesky_**2
    product = graph.node("MatMul", x, graph.constant(means.T))
    mixed = graph.node("Mul", product, graph.constant(precisions))
    norm = graph.node("ReduceSumSquare", x, graph.integers([1]), keepdims=1)
    squares = graph.node("Mul", norm, graph.constant(precisions))
    return _expanded(graph, (means**2).sum(axis=1) * precisions, mixed, squares)


def _expanded(graph: Graph, constant: Array, mixed: str, squares: str) -> str:
    """constant - 2 mixed + squares."""
    twice = graph.node("Mul", mixed, graph.constant(2.0))
    return graph.node("Add", graph.node("Sub", graph.constant(constant), twice), squares)


_DISTANCES = {"full": _full, "tied": _full, "diag": _diagonal, "spherical": _spherical}
