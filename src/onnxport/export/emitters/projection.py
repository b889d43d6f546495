"""Projections to fewer columns: one matrix product each.

Sources: `sklearn/decomposition`, `sklearn/random_projection.py`, `sklearn/neighbors/_nca.py`,
`sklearn/discriminant_analysis.py`, `sklearn/cross_decomposition/_pls.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression
from sklearn.decomposition import (
    PCA,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    TruncatedSVD,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from onnxport.export.graph import Array, Columns, number_columns
from onnxport.export.registry import (
    Emission,
    emits,
    factors_only,
    transforms,
)
from onnxport.export.sparse import product


def matrix_of(emission: Emission, estimator: Any, columns: Columns) -> str:
    """Finite numbers, double [N, width]."""
    factors_only(emission, estimator, columns)
    return emission.graph.matrix(columns)


def projected(columns: Columns, tensor: str, weights: Array) -> Columns:
    """What a product with these weights gives: float32 where both sides are."""
    single = columns.single and weights.dtype == np.float32
    dtype = "float32" if single else "float64"
    return number_columns(tensor, weights.shape[1], dtype=dtype, exact=False)


def _centred(emission: Emission, x: str, mean: Any) -> str:
    return x if mean is None else emission.graph.node("Sub", x, emission.graph.constant(mean))


def _product(emission: Emission, x: str, weights: Any) -> str:
    return emission.graph.node("MatMul", x, emission.graph.constant(weights))


@emits(PCA, IncrementalPCA)
def emit_pca(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """x · componentsᵀ - mean · componentsᵀ, whitened where asked."""
    graph, weights = emission.graph, estimator.components_.T
    factors_only(emission, estimator, columns)
    x = product(graph, columns, weights)
    if estimator.mean_ is not None:
        x = graph.node("Sub", x, graph.constant(np.ravel(estimator.mean_) @ weights))
    if estimator.whiten:
        scale = np.sqrt(estimator.explained_variance_)
        x = graph.node("Div", x, graph.constant(np.maximum(scale, np.finfo(scale.dtype).eps)))
    return projected(columns, x, weights)


@emits(
    TruncatedSVD, GaussianRandomProjection, SparseRandomProjection, NeighborhoodComponentsAnalysis
)
def emit_plain_product(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """x · componentsᵀ."""
    weights = estimator.components_.T
    weights = weights.toarray() if sparse.issparse(weights) else weights
    factors_only(emission, estimator, columns)
    return projected(columns, product(emission.graph, columns, weights), weights)


@emits(FactorAnalysis)
def emit_factor_analysis(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The posterior mean of the factors (Barber, "Bayesian Reasoning and Machine Learning",
    21.58).
    """
    components = estimator.components_
    weights = components / estimator.noise_variance_
    covariance = linalg.inv(np.eye(len(components)) + weights @ components.T)
    x = _centred(emission, matrix_of(emission, estimator, columns), estimator.mean_)
    x = _product(emission, _product(emission, x, weights.T), covariance)
    return projected(columns, x, covariance)


@emits(FastICA)
def emit_fast_ica(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """(x - mean) · componentsᵀ."""
    mean = estimator.mean_ if estimator.whiten else None
    x = _centred(emission, matrix_of(emission, estimator, columns), mean)
    weights = estimator.components_.T
    return projected(columns, _product(emission, x, weights), weights)


@transforms(LinearDiscriminantAnalysis)
def emit_discriminant_axes(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """(x - mean) · scalings; the eigen solver doesn't centre."""
    x = matrix_of(emission, estimator, columns)
    x = _centred(emission, x, estimator.xbar_ if estimator.solver == "svd" else None)
    weights = estimator.scalings_[:, : estimator._max_components]
    return projected(columns, _product(emission, x, weights), weights)


@transforms(PLSRegression, PLSCanonical, CCA)
def emit_latent_scores(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """((x - mean) / std) · rotations."""
    return _scores(emission, estimator, columns, estimator.x_rotations_)


@emits(PLSSVD)
def emit_latent_svd(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """((x - mean) / std) · weights."""
    return _scores(emission, estimator, columns, estimator.x_weights_)


def _scores(emission: Emission, estimator: Any, columns: Columns, weights: Array) -> Columns:
    graph = emission.graph
    x = _centred(emission, matrix_of(emission, estimator, columns), estimator._x_mean)
    x = graph.node("Div", x, graph.constant(estimator._x_std))
    return projected(columns, _product(emission, x, weights), weights)
