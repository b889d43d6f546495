"""The nearest training rows of each row, the same ones that scikit-learn's search returns.

Source: `sklearn/neighbors/_base.py` (`kneighbors`); `_pairwise_distances_reduction/_argkmin.pyx.tp`
for brute force.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto
from scipy.sparse import issparse
from scipy.spatial.distance import cdist

from onnxport.export.distances import Metric, distances, metric_of, reduced_distances
from onnxport.export.graph import Array, Columns, Graph
from onnxport.export.heap import kept_by_heap, smallest
from onnxport.export.kernels import squared_distances
from onnxport.export.registry import (
    ROUGH_BAR,
    TOLERANT_BAR,
    Emission,
    Refusal,
    finite_only,
    numbers_only,
    refuse,
)
from onnxport.export.search_trees import visits

_CHUNK = 256  # training rows for a thread (`pairwise_dist_chunk_size`)


@dataclass(frozen=True, slots=True)
class Found:
    """The k neighbours, from the nearest to the farthest. indices: int64 [N, k]. reduced: their
    reduced distances, double [N, k].
    """

    k: int
    indices: str
    reduced: str


def check_search(estimator: Any) -> Refusal | None:
    """What a fitted search (anything with `_fit_method` and `_fit_X`) must be to convert."""
    if issparse(estimator._fit_X):
        return Refusal(
            "X",
            "on a sparse matrix it takes equally distant rows in no order that is known",
            "Fit on an array: set sparse_output=False in OneHotEncoder, sparse_threshold=0 in "
            "ColumnTransformer.",
        )
    if metric_of(estimator.effective_metric_, estimator.effective_metric_params_) is None:
        return Refusal(
            "metric",
            "only the distances of Minkowski convert, with p of at least 1 and without weights",
            "Use metric='minkowski', 'euclidean', 'manhattan' or 'chebyshev'; for cosine, a "
            "Normalizer in front and metric='euclidean', which has the same neighbours.",
        )
    if estimator._fit_method == "brute" and np.asarray(estimator._fit_X).dtype.kind != "f":
        return Refusal(
            "algorithm",
            "on integers, brute force takes equally distant rows in no order that is known",
            "Fit on X.astype(float), or set algorithm='kd_tree'.",
        )
    if estimator._fit_method == "ball_tree" and estimator._fit_X.shape[1] == 1:
        return Refusal(
            "algorithm",
            "in one dimension a ball's edge is a training row, and rounding decides if it is found",
            "Set algorithm='kd_tree'.",
        )
    return None


def check_ties(estimator: Any, targets: Array, k: int) -> Refusal | None:
    """Brute force on several threads merges a heap for each, so that which of equally distant rows
    it takes depends on the threads and on how many rows are asked at once: refused where that is
    seen to matter. targets: what is taken from each training row.
    """
    if estimator._fit_method != "brute" or len(targets) <= max(_CHUNK, k):
        return None
    rows, metric = np.asarray(training_rows(estimator), np.float64), search_metric(estimator)
    chosen = np.random.default_rng(0).choice(len(rows), _CHUNK, replace=False)
    name = {1.0: "cityblock", 2.0: "sqeuclidean", np.inf: "chebyshev"}.get(metric.p, "minkowski")
    options = {"p": metric.p} if name == "minkowski" else {}
    away = cdist(rows[chosen], rows, name, **options)
    nearest_ones = np.partition(away, (k - 1, k), axis=1)
    edge = nearest_ones[:, k - 1]
    values = targets.reshape(len(targets), -1)
    for row in np.flatnonzero(edge == nearest_ones[:, k]):
        if (np.ptp(values[away[row] == edge[row]], axis=0) > 0).any():
            return Refusal(
                "algorithm",
                "of equally distant rows, brute force takes some by the number of threads and of "
                "rows asked at once",
                "Set algorithm='kd_tree'.",
            )
    return None


def search_metric(estimator: Any) -> Metric:
    found = metric_of(estimator.effective_metric_, estimator.effective_metric_params_)
    assert found is not None  # check_search
    return found


def search_input(emission: Emission, estimator: Any, columns: Columns) -> str:
    """X as the search sees it, double [N, features]."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    single = training_rows(estimator).dtype == np.float32
    if estimator._fit_method == "brute" and single != columns.single:
        reason = "it was fitted on another floating-point width than the columns it gets now"
        nearest = "Pass the X it was fitted on, in the same dtype."
        raise refuse(emission, estimator, Refusal("X", reason, nearest))
    emission.jumpy |= _by_products(estimator) or not columns.exact
    if columns.single and not columns.exact:
        emission.relax(TOLERANT_BAR)
    return emission.graph.matrix(columns)


def training_rows(estimator: Any) -> Array:
    return np.asarray(estimator._fit_X)


def all_reduced(emission: Emission, estimator: Any, x: str) -> str:
    """The reduced distance to every training row as the search computes it, double [N, training
    rows].
    """
    rows, metric = training_rows(estimator), search_metric(estimator)
    emission.widen(4 * len(rows))
    if _by_products(estimator):
        return squared_distances(emission.graph, x, rows)
    if _in_single(estimator):
        found = reduced_distances(emission.graph, x, rows, metric, single=True)
        return emission.graph.rounded(found)
    return reduced_distances(emission.graph, x, rows, metric)


def _in_single(estimator: Any) -> bool:
    """Brute force on float32 rows subtracts in float32; the trees widen them before."""
    return bool(estimator._fit_method == "brute" and training_rows(estimator).dtype == np.float32)


def distances_of(emission: Emission, estimator: Any, reduced: str) -> str:
    """The distances behind reduced ones."""
    found = distances(emission.graph, reduced, search_metric(estimator))
    return emission.graph.rounded(found) if _in_single(estimator) else found


def _by_products(estimator: Any) -> bool:
    """Brute force takes Euclidean distances from dot products, whose rounding shows far outside."""
    return bool(estimator._fit_method == "brute" and search_metric(estimator).p == 2)


def nearest(emission: Emission, estimator: Any, x: str, k: int, *, in_order: bool = False) -> Found:
    """The k nearest training rows. Where the k-th and the next are equally far, those stay that the
    library's heap keeps.

    in_order: neighbours that are equally far are in the library's order, too (up to 15 of them).
    """
    graph, count = emission.graph, len(training_rows(estimator))
    reduced = all_reduced(emission, estimator, x)
    values, indices = smallest(graph, reduced, count, min(k + 1, count))
    head = [graph.integers(part) for part in ([0], [k], [1])]
    kept, edge = (graph.node("Slice", part, *head) for part in (indices, values))
    rows = _tied(graph, values, k, count, in_order=in_order)
    x_tied, reduced_tied = (graph.node("GatherND", part, rows) for part in (x, reduced))
    if estimator._fit_method == "brute":
        order = graph.constant(np.arange(count, dtype=float)[None, :])
    else:
        order = visits(graph, x_tied, estimator._tree, search_metric(estimator))
    chosen = kept_by_heap(graph, reduced_tied, order, k)
    return Found(k, graph.node("ScatterND", kept, rows, chosen), edge)


def _tied(graph: Graph, values: str, k: int, count: int, *, in_order: bool) -> str:
    """The rows in which the order of visits decides, int64 [tied, 1]. values: the least, sorted.
    Infinite distances never enter the heap.
    """
    edge = graph.node("Gather", values, graph.integers([k - 1]), axis=1)
    marks = [graph.node("IsInf", edge)]
    places = np.arange(0 if in_order else k - 1, min(k + 1, count) - 1)
    if len(places):
        near, far = (
            graph.node("Gather", values, graph.integers(places + step), axis=1) for step in (0, 1)
        )
        marks.append(graph.node("Equal", near, far))
    numbers = graph.cast(graph.node("Concat", *marks, axis=1), TensorProto.INT64)
    found = graph.node("ReduceMax", numbers, graph.integers([1]), keepdims=0)
    return graph.node("Transpose", graph.node("NonZero", found))


def all_distances(emission: Emission, estimator: Any, x: str, reduced: str) -> str:
    """The distances to all training rows, double [N, training rows]: a training row's own is 0."""
    if not _by_products(estimator):
        return distances_of(emission, estimator, reduced)
    emission.relax(ROUGH_BAR)
    metric = search_metric(estimator)
    return distances(
        emission.graph,
        reduced_distances(emission.graph, x, training_rows(estimator), metric),
        metric,
    )


def neighbour_distances(emission: Emission, estimator: Any, x: str, found: Found) -> str:
    """The distances to the neighbours, double [N, k]: a training row's own is 0."""
    graph = emission.graph
    if not _by_products(estimator):
        return distances_of(emission, estimator, found.reduced)
    rows = np.asarray(training_rows(estimator), dtype=np.float64)
    emission.relax(ROUGH_BAR)
    emission.widen(3 * rows.shape[1] * found.k)
    theirs = graph.node("Gather", graph.constant(rows), found.indices)
    away = graph.node("Sub", graph.node("Unsqueeze", x, graph.integers([1])), theirs)
    return graph.node("ReduceL2", away, graph.integers([2]), keepdims=0)
