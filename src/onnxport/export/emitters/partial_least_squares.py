"""Partial least squares, and canonical correlation.

Source: `sklearn/cross_decomposition/_pls.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression

from onnxport.export.graph import Columns, number_columns
from onnxport.export.registry import (
    Emission,
    Valued,
    emits,
    finite_only,
    numbers_only,
)


def _centred(emission: Emission, estimator: Any, columns: Columns) -> str:
    """X less its mean in training."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    return graph.node("Sub", graph.matrix(columns), graph.constant(np.ravel(estimator._x_mean)))


@emits(PLSRegression, PLSCanonical, CCA)
def emit_regression(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """(x - mean) · coefᵀ + intercept; the mean is taken off in place, in float32 where X is."""
    graph = emission.graph
    x = _centred(emission, estimator, columns)
    x = graph.rounded(x) if columns.single else x
    product = graph.node("MatMul", x, graph.constant(estimator.coef_.T))
    return Valued(graph.node("Add", product, graph.constant(np.ravel(estimator.intercept_))))


@emits(PLSSVD)
def emit_svd(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """(x - mean) / std · weights."""
    graph, weights = emission.graph, estimator.x_weights_
    x = _centred(emission, estimator, columns)
    x = graph.node("Div", x, graph.constant(np.ravel(estimator._x_std)))
    product = graph.node("MatMul", x, graph.constant(weights))
    return number_columns(product, weights.shape[1], exact=False)
