"""Clusterers that keep centers: the nearest one, by the library's own distance and tie rule.

Sources: `sklearn/cluster/_kmeans.py`, `_k_means_lloyd.pyx` (_update_chunk_dense), `_bisect_k_means.py`
(_predict_recursive), `_birch.py`, `_mean_shift.py`, `_affinity_propagation.py`,
`sklearn/metrics/pairwise.py` (euclidean_distances, pairwise_distances_argmin).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import (
    AffinityPropagation,
    Birch,
    BisectingKMeans,
    KMeans,
    MeanShift,
    MiniBatchKMeans,
)

from onnxport.export.graph import Columns, number_columns
from onnxport.export.kernels import euclidean_distances, squared_distances
from onnxport.export.registry import (
    Emission,
    Grouped,
    Refusal,
    emits,
    factors_only,
    finite_only,
    numbers_only,
    transforms,
)


def _features(emission: Emission, estimator: Any, columns: Columns) -> str:
    """X as one matrix."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    return emission.graph.matrix(columns)


def _factors(emission: Emission, estimator: Any, columns: Columns) -> str:
    """X as one matrix, which the library multiplies in float32 where it comes so."""
    factors_only(emission, estimator, columns)
    return emission.graph.matrix(columns)


def _ranked(emission: Emission, x: str, centers: Any) -> str:
    """‖c‖² - 2 x · c, which ranks centers like the squared distance, double [N, centers]. Rows where
    it overflows are refused: what the library says of them hangs on the order of its sums.
    """
    graph, c = emission.graph, np.asarray(centers, dtype=np.float64)
    product = graph.node("MatMul", x, graph.constant(-2.0 * c.T))
    ranked = graph.node("Add", product, graph.constant(np.einsum("ij,ij->i", c, c)))
    finite_only(emission, number_columns(ranked, len(c)))
    return ranked


def _nearest(emission: Emission, x: str, centers: Any) -> Grouped:
    """The first of the nearest centers."""
    ranked = _ranked(emission, x, centers)
    return Grouped(emission.graph.node("ArgMin", ranked, axis=1, keepdims=0))


@emits(KMeans, MiniBatchKMeans)
def emit_k_means(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    x = _factors(emission, estimator, columns)
    return _nearest(emission, x, estimator.cluster_centers_)


@emits(BisectingKMeans)
def emit_bisecting(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    """Down the tree of clusters, at each node to the nearer of two centers, the left of equals."""
    graph = emission.graph
    x = _factors(emission, estimator, columns)
    inner = _inner_nodes(estimator._bisecting_tree)
    if not inner:  # one cluster: a code for each row all the same
        return _nearest(emission, x, estimator.cluster_centers_)
    centers = [branch.center for node in inner for branch in (node.left, node.right)]
    ranked = _ranked(emission, x, np.array(centers) + getattr(estimator, "_X_mean", 0.0))
    codes: dict[int, str] = {}  # of each node, int64 [N, 1], of a leaf a constant
    for i, node in reversed(list(enumerate(inner))):  # a node stands before its branches
        left, right = (
            graph.node("Gather", ranked, graph.integers([2 * i + side]), axis=1) for side in (0, 1)
        )
        branches = [
            codes[id(branch)]
            if branch.left is not None
            else graph.constant([[branch.label]], np.int64)
            for branch in (node.right, node.left)
        ]
        codes[id(node)] = graph.node("Where", graph.node("Less", right, left), *branches)
    return Grouped(graph.node("Reshape", codes[id(inner[0])], graph.integers([-1])))


def _inner_nodes(node: Any) -> list[Any]:
    """The nodes of a tree of clusters that have branches, from the root down."""
    if node.left is None:
        return []
    return [node, *_inner_nodes(node.left), *_inner_nodes(node.right)]


@transforms(KMeans, MiniBatchKMeans, BisectingKMeans, level="tolerant")
def transform_k_means(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The distance to every center, √max(‖x‖² - 2 x · c + ‖c‖², 0): near a center its rounding
    shows.
    """
    graph = emission.graph
    x = _factors(emission, estimator, columns)
    squares = graph.node("Mul", x, x)
    norm = graph.node("ReduceSum", squares, graph.integers([1]), keepdims=1)
    squared = graph.node("Add", _ranked(emission, x, estimator.cluster_centers_), norm)
    distance = graph.node("Sqrt", graph.node("Max", squared, graph.constant(0.0)))
    return number_columns(distance, len(estimator.cluster_centers_), exact=False)


def _place(emission: Emission, estimator: Any, columns: Columns, centers: Any) -> str:
    """The place of the first of the nearest centers, by distances that are never negative, int64
    [N].
    """
    graph = emission.graph
    emission.widen(3 * len(centers))
    x = _features(emission, estimator, columns)
    return graph.node("ArgMin", squared_distances(graph, x, centers), axis=1, keepdims=0)


def _converged(estimator: Any) -> Refusal | None:
    if estimator.affinity != "euclidean":
        return Refusal(
            "affinity",
            "with distances computed beforehand it predicts no new rows",
            "Set affinity='euclidean'.",
        )
    if len(estimator.cluster_centers_) == 0:
        return Refusal(
            "max_iter", "it didn't converge, and has no centers", "Raise max_iter or damping."
        )
    return None


@emits(AffinityPropagation, check=_converged)
def emit_affinity_propagation(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    return Grouped(_place(emission, estimator, columns, estimator.cluster_centers_))


@emits(MeanShift)
def emit_mean_shift(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    return Grouped(_place(emission, estimator, columns, estimator.cluster_centers_))


@emits(Birch)
def emit_birch(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    """The cluster to which the nearest subcluster belongs."""
    place = _place(emission, estimator, columns, estimator.subcluster_centers_)
    _, codes = np.unique(estimator.subcluster_labels_, return_inverse=True)
    return Grouped(emission.graph.node("Gather", emission.graph.integers(codes), place))


@transforms(Birch, level="tolerant")
def transform_birch(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The distance to every subcluster; near one its rounding shows."""
    graph, centers = emission.graph, estimator.subcluster_centers_
    emission.widen(3 * len(centers))
    x = _factors(emission, estimator, columns)
    single = columns.single and centers.dtype == np.float32
    distance = euclidean_distances(graph, x, centers, single=single)
    return number_columns(distance, len(centers), exact=False)
