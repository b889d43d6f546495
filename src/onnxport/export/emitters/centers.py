"""Clusterers that give a new row to the nearest of their centers, the first of equals.

Source: `sklearn/metrics/pairwise.py` (`pairwise_distances_argmin`), `sklearn/cluster/_birch.py`,
`_mean_shift.py`, `_affinity_propagation.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import AffinityPropagation, Birch, MeanShift

from onnxport.export.graph import Columns, number_columns
from onnxport.export.kernels import euclidean_distances, squared_distances
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Grouped,
    Refusal,
    emits,
    finite_only,
    numbers_only,
    transforms,
)


def _matrix(emission: Emission, estimator: Any, columns: Columns, centers: Any) -> str:
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    emission.widen(3 * len(centers))
    return emission.graph.matrix(columns)


def _nearest(emission: Emission, estimator: Any, columns: Columns, centers: Any) -> str:
    """The place of the nearest center, int64 [N]."""
    graph = emission.graph
    x = _matrix(emission, estimator, columns, centers)
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
    return Grouped(_nearest(emission, estimator, columns, estimator.cluster_centers_))


@emits(MeanShift)
def emit_mean_shift(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    return Grouped(_nearest(emission, estimator, columns, estimator.cluster_centers_))


@emits(Birch)
def emit_birch(emission: Emission, estimator: Any, columns: Columns) -> Grouped:
    """The cluster to which the nearest subcluster belongs."""
    place = _nearest(emission, estimator, columns, estimator.subcluster_centers_)
    _, codes = np.unique(estimator.subcluster_labels_, return_inverse=True)
    return Grouped(emission.graph.node("Gather", emission.graph.integers(codes), place))


@transforms(Birch, level="tolerant")
def transform_birch(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The distance to every subcluster; near one its rounding shows."""
    graph, centers = emission.graph, estimator.subcluster_centers_
    x = _matrix(emission, estimator, columns, centers)
    single = columns.single and centers.dtype == np.float32
    distance = euclidean_distances(graph, x, centers, single=single)
    if columns.single:
        emission.relax(TOLERANT_BAR)
    return number_columns(distance, len(centers), exact=False)
