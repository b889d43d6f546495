"""Clusterers that keep centers: the nearest one, by the library's own distance and tie rule.

Sources: `sklearn/cluster/_kmeans.py`, `_k_means_lloyd.pyx` (_update_chunk_dense), `_bisect_k_means.py`
(_predict_recursive), `sklearn/metrics/pairwise.py` (euclidean_distances).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans

from onnxport.export.graph import Columns, Graph, number_columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Grouped,
    emits,
    finite_only,
    numbers_only,
    transforms,
)


def _features(emission: Emission, estimator: Any, columns: Columns) -> str:
    """X as one matrix."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:  # the library multiplies in float32
        emission.relax(TOLERANT_BAR)
    return emission.graph.matrix(columns)


def _ranked(graph: Graph, x: str, centers: Any) -> str:
    """‖c‖² - 2 x · c, which ranks centers like the squared distance, double [N, centers]."""
    c = np.asarray(centers, dtype=np.float64)
    product = graph.node("MatMul", x, graph.constant(-2.0 * c.T))
    return graph.node("Add", product, graph.constant(np.einsum("ij,ij->i", c, c)))


def _nearest(graph: Graph, x: str, centers: Any) -> Grouped:
    """The first of the nearest centers."""
    return Grouped(graph.node("ArgMin", _ranked(graph, x, centers), axis=1, keepdims=0))


@emits(KMeans, MiniBatchKMeans)
def emit_k_means(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    x = _features(emission, estimator, columns)
    return _nearest(emission.graph, x, estimator.cluster_centers_)


@emits(BisectingKMeans)
def emit_bisecting(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    """Down the tree of clusters, at each node to the nearer of two centers, the left of equals."""
    graph = emission.graph
    x = _features(emission, estimator, columns)
    if estimator._bisecting_tree.left is None:  # one cluster: a code for each row all the same
        return _nearest(graph, x, estimator.cluster_centers_)
    mean = getattr(estimator, "_X_mean", 0.0)
    code = _descend(graph, x, estimator._bisecting_tree, mean)
    return Grouped(graph.node("Reshape", code, graph.integers([-1])))


def _descend(graph: Graph, x: str, node: Any, mean: Any) -> str:
    """The label of each row's leaf below this node, int64 [N, 1]; of a leaf, a constant."""
    if node.left is None:
        return graph.constant([[node.label]], np.int64)
    centers = np.vstack((node.left.center, node.right.center)) + mean
    ranked = _ranked(graph, x, centers)
    left, right = (graph.node("Gather", ranked, graph.integers([i]), axis=1) for i in (0, 1))
    branches = [_descend(graph, x, branch, mean) for branch in (node.right, node.left)]
    return graph.node("Where", graph.node("Less", right, left), *branches)


@transforms(KMeans, MiniBatchKMeans, BisectingKMeans, level="tolerant")
def transform_k_means(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The distance to every center, √max(‖x‖² - 2 x · c + ‖c‖², 0): near a center its rounding
    shows.
    """
    graph = emission.graph
    x = _features(emission, estimator, columns)
    squares = graph.node("Mul", x, x)
    norm = graph.node("ReduceSum", squares, graph.integers([1]), keepdims=1)
    squared = graph.node("Add", _ranked(graph, x, estimator.cluster_centers_), norm)
    distance = graph.node("Sqrt", graph.node("Max", squared, graph.constant(0.0)))
    return number_columns(distance, len(estimator.cluster_centers_), exact=False)
