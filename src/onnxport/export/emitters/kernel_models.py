"""Kernel ridge regression, and labels that spread along a kernel or among neighbours.

Source: `sklearn/kernel_ridge.py`, `sklearn/semi_supervised/_label_propagation.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.kernel_ridge import KernelRidge
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

from onnxport.export.decisions import code_from_raw
from onnxport.export.graph import Columns
from onnxport.export.kernels import KERNELS, kernel_parameters, pairwise_kernel
from onnxport.export.members import summed
from onnxport.export.nearest import check_search, nearest, search_input
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    emits,
    factors_only,
)


def _ridge_check(estimator: Any) -> Refusal | None:
    if issparse(estimator.X_fit_):
        return Refusal("X", "a model fitted on a sparse matrix doesn't convert", "Fit on an array.")
    if estimator.kernel not in KERNELS:
        return Refusal(
            "kernel",
            "only scikit-learn's own pairwise kernels convert",
            "Use linear, poly, rbf, laplacian, sigmoid, cosine, chi2 or additive_chi2.",
        )
    return None


def _matrix(emission: Emission, estimator: Any, columns: Columns) -> str:
    factors_only(emission, estimator, columns)
    return emission.graph.matrix(columns)


@emits(KernelRidge, check=_ridge_check)
def emit_kernel_ridge(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """k(x, training rows) · dual coefficients."""
    graph, rows = emission.graph, np.asarray(estimator.X_fit_, dtype=np.float64)
    x = _matrix(emission, estimator, columns)
    kernel = pairwise_kernel(
        emission, x, rows, estimator.kernel, single=columns.single, **kernel_parameters(estimator)
    )
    weights = estimator.dual_coef_.reshape(len(rows), -1)
    return Valued(graph.node("MatMul", kernel, graph.constant(weights)))


def _spreading_check(estimator: Any) -> Refusal | None:
    if estimator.kernel not in ("rbf", "knn"):
        return Refusal("kernel", "a function doesn't convert", "Use kernel='rbf' or 'knn'.")
    if issparse(estimator.X_):
        return Refusal("X", "a model fitted on a sparse matrix doesn't convert", "Fit on an array.")
    return check_search(estimator.nn_fit) if estimator.kernel == "knn" else None


@emits(LabelPropagation, LabelSpreading, check=_spreading_check)
def emit_spreading(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The label distributions of the training rows, weighted by the kernel or of the nearest ones;
    a row that no training row reaches has NaN for probabilities, and the first class.
    """
    graph, labels = emission.graph, estimator.label_distributions_
    if estimator.kernel == "knn":
        search = estimator.nn_fit
        x = search_input(emission, search, columns)
        found = nearest(emission, search, x, search.n_neighbors, in_order=True)
        emission.widen(search.n_neighbors * labels.shape[1])
        theirs = graph.node("Gather", graph.constant(labels), found.indices)
        terms = [
            graph.node("Gather", theirs, graph.integers(i), axis=1)
            for i in range(search.n_neighbors)
        ]
        shares = summed(graph, terms)
    else:
        x, rows = _matrix(emission, estimator, columns), np.asarray(estimator.X_, np.float64)
        kernel = pairwise_kernel(
            emission, x, rows, "rbf", gamma=float(estimator.gamma), single=columns.single
        )
        shares = graph.node("MatMul", kernel, graph.constant(labels))
    total = graph.node("ReduceSum", shares, graph.integers([1]), keepdims=1)
    proba = graph.node("Div", shares, total)
    ranked = graph.node("Where", graph.node("IsNaN", proba), graph.constant(0.0), proba)
    return Classified(code_from_raw(graph, ranked), proba)
