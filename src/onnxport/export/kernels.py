"""Distances and kernels between rows of X and fixed rows, as `sklearn.metrics.pairwise` computes
them.

Source: `sklearn/metrics/pairwise.py`, `_pairwise_fast.pyx`. libsvm's own kernels sum differently;
they are in `emitters/vectors.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxport.export.graph import Array, Graph
from onnxport.export.registry import Emission, refuse_rows

# What `pairwise_kernel` knows, by scikit-learn's names.
KERNELS = frozenset(
    [
        "additive_chi2",
        "chi2",
        "cosine",
        "laplacian",
        "linear",
        "poly",
        "polynomial",
        "rbf",
        "sigmoid",
    ]
)


def squared_distances(graph: Graph, x: str, others: Array, *, single: bool = False) -> str:
    """|x - y|² by dot products, never negative, double [N, rows of others].

    single: both sides are float32, and the library rounds the distances to it.
    """
    others = np.asarray(others, dtype=np.float64)
    product = graph.node("MatMul", x, graph.constant(others.T))
    distance = graph.node("Mul", product, graph.constant(-2.0))
    squares = graph.node("ReduceSumSquare", x, graph.integers([1]), keepdims=1)
    distance = graph.node("Add", distance, squares)
    distance = graph.node("Add", distance, graph.constant((others**2).sum(axis=1)))
    distance = graph.node("Max", distance, graph.constant(0.0))
    return graph.rounded(distance) if single else distance


def euclidean_distances(graph: Graph, x: str, others: Array, *, single: bool = False) -> str:
    """|x - y| by dot products, double [N, rows of others]."""
    distance = graph.node("Sqrt", squared_distances(graph, x, others, single=single))
    return graph.rounded(distance) if single else distance


def manhattan_distances(graph: Graph, x: str, others: Array) -> str:
    """Σ |x - y|, feature after feature, double [N, rows of others]."""
    total = graph.constant(0.0)
    for i, column in enumerate(np.asarray(others, dtype=np.float64).T):
        away = graph.node("Sub", _column(graph, x, i), graph.constant(column))
        total = graph.node("Add", total, graph.node("Abs", away))
    return total


def additive_chi2(graph: Graph, x: str, others: Array) -> str:
    """-Σ (x - y)² / (x + y), where 0 / 0 is 0, double [N, rows of others]. Negative numbers aren't
    looked for.
    """
    total, zero, one = graph.constant(0.0), graph.constant(0.0), graph.constant(1.0)
    for i, column in enumerate(np.asarray(others, dtype=np.float64).T):
        mine, theirs = _column(graph, x, i), graph.constant(column)
        away, size = graph.node("Sub", mine, theirs), graph.node("Add", mine, theirs)
        empty = graph.node("Equal", size, zero)
        square = graph.node("Mul", away, away)
        share = graph.node("Div", square, graph.node("Where", empty, one, size))
        total = graph.node("Add", total, graph.node("Where", empty, zero, share))
    return graph.node("Neg", total)


def cosine_similarity(graph: Graph, x: str, others: Array, *, single: bool = False) -> str:
    """x · y / (|x| |y|), double [N, rows of others]; a row of nearly nothing keeps its size."""
    others = np.asarray(others)
    nothing = 10 * np.finfo(np.float32 if single else np.float64).eps
    sizes = np.linalg.norm(others, axis=1, keepdims=True)
    others = others / np.where(sizes < nothing, 1.0, sizes)
    norm = graph.node("ReduceL2", x, graph.integers([1]), keepdims=1)
    small = graph.node("Less", norm, graph.constant(nothing))
    x = graph.node("Div", x, graph.node("Where", small, graph.constant(1.0), norm))
    return graph.node("MatMul", x, graph.constant(others.T))


def pairwise_kernel(
    emission: Emission,
    x: str,
    others: Array,
    metric: str,
    *,
    gamma: float | None = None,
    degree: float = 3,
    coef0: float = 1,
    single: bool = False,
) -> str:
    """`pairwise_kernels(X, others, metric=...)`, double [N, rows of others]; metric is one of
    KERNELS. Rows that the kernel refuses are marked.

    x: double [N, features]. gamma: None is the kernel's own default. single: X is float32.
    """
    graph = emission.graph
    emission.widen(len(others))
    if metric in ("chi2", "additive_chi2"):
        return _chi2(emission, x, others, gamma if metric == "chi2" else None, metric)
    if metric == "cosine":
        return cosine_similarity(graph, x, others, single=single)
    gamma = 1.0 / others.shape[1] if gamma is None else float(gamma)
    if metric == "rbf":
        distance = squared_distances(graph, x, others, single=single)
        return graph.node("Exp", graph.node("Mul", distance, graph.constant(-gamma)))
    if metric == "laplacian":
        distance = manhattan_distances(graph, x, others)
        return graph.node("Exp", graph.node("Mul", distance, graph.constant(-gamma)))
    product = graph.node("MatMul", x, graph.constant(others.T))
    if metric == "linear":
        return product
    scaled = graph.node("Mul", product, graph.constant(gamma))
    shifted = graph.node("Add", scaled, graph.constant(float(coef0)))
    if metric == "sigmoid":
        return graph.node("Tanh", shifted)
    return graph.node("Pow", shifted, graph.constant(float(degree)))


def _chi2(emission: Emission, x: str, others: Array, gamma: float | None, metric: str) -> str:
    graph = emission.graph
    refuse_rows(emission, graph.node("Less", x, graph.constant(0.0)))
    total = additive_chi2(graph, x, others)
    if metric == "additive_chi2":
        return total
    scaled = graph.node("Mul", total, graph.constant(1.0 if gamma is None else float(gamma)))
    return graph.node("Exp", scaled)


def _column(graph: Graph, x: str, index: int) -> str:
    """One column of a matrix, [N, 1]."""
    return graph.node("Gather", x, graph.integers([index]), axis=1)


def kernel_parameters(estimator: Any) -> dict[str, Any]:
    """gamma, degree and coef0 of an estimator that has them, without those that are None."""
    found = {name: getattr(estimator, name, None) for name in ("gamma", "degree", "coef0")}
    return {name: value for name, value in found.items() if value is not None}
