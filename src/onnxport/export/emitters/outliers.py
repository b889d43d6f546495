"""Outlier detectors by distance, density and a boundary around the data.

Source: `sklearn/neighbors/_lof.py`, `sklearn/covariance/_elliptic_envelope.py`,
`_empirical_covariance.py` (`mahalanobis`), `sklearn/linear_model/_stochastic_gradient.py`
(`SGDOneClassSVM`). One-class support vector machines are in `vectors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.covariance import EllipticEnvelope
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor

from onnxport.export.decisions import code_from_sign
from onnxport.export.graph import Columns, Graph
from onnxport.export.members import summed
from onnxport.export.nearest import (
    check_search,
    check_ties,
    nearest,
    neighbour_distances,
    search_input,
    training_rows,
)
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Flagged,
    Refusal,
    emits,
    finite_only,
    numbers_only,
)


def _not_negative(graph: Graph, score: str) -> Flagged:
    """An outlier below 0."""
    return Flagged(code_from_sign(graph, score, tie_is_positive=True), score)


def _novelty(estimator: Any) -> Refusal | None:
    if not estimator.novelty:
        return Refusal("novelty", "it judges only its own training rows", "Set novelty=True.")
    return check_search(estimator) or check_ties(estimator, estimator._lrd, estimator.n_neighbors_)


@emits(LocalOutlierFactor, check=_novelty)
def emit_local_outlier_factor(emission: Emission, estimator: Any, columns: Columns) -> Flagged:
    """-mean(density of the neighbours / own density) - offset. A row's density is 1 / its mean
    reachability distance.
    """
    graph, k = emission.graph, estimator.n_neighbors_
    x = search_input(emission, estimator, columns)
    if training_rows(estimator).dtype == np.float32:
        emission.relax(TOLERANT_BAR)
    found = nearest(emission, estimator, x, k)
    distance = neighbour_distances(emission, estimator, x, found)
    edges, densities = (
        graph.node("Gather", graph.constant(values), found.indices)
        for values in (estimator._distances_fit_X_[:, k - 1], estimator._lrd)
    )
    axes = graph.integers([1])
    reach = graph.node("ReduceMean", graph.node("Max", distance, edges), axes, keepdims=1)
    own = graph.node("Reciprocal", graph.node("Add", reach, graph.constant(1e-10)))
    ratio = graph.node("ReduceMean", graph.node("Div", densities, own), axes, keepdims=1)
    offset = graph.constant(float(estimator.offset_))
    return _not_negative(graph, graph.node("Sub", graph.node("Neg", ratio), offset))


@emits(EllipticEnvelope)
def emit_elliptic_envelope(emission: Emission, estimator: Any, columns: Columns) -> Flagged:
    """-(x - μ)ᵀ P (x - μ) - offset, added one by one as SciPy's `cdist` does: the offset may be a
    training row's own score, which is then on the edge.
    """
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    away = graph.node("Sub", graph.matrix(columns), graph.constant(estimator.location_))
    precision = np.asarray(estimator.get_precision(), dtype=np.float64)
    parts = [graph.node("Gather", away, graph.integers([i]), axis=1) for i in range(len(precision))]
    turned = summed(
        graph,
        [graph.node("Mul", p, graph.constant(precision[:, i])) for i, p in enumerate(parts)],
    )
    terms = graph.node("Mul", away, turned)
    square = summed(
        graph, [graph.node("Gather", terms, graph.integers([i]), axis=1) for i in range(len(parts))]
    )
    root = graph.node("Sqrt", square)
    score = graph.node("Neg", graph.node("Mul", root, root))
    return _not_negative(graph, graph.node("Sub", score, graph.constant(float(estimator.offset_))))


@emits(SGDOneClassSVM)
def emit_sgd_one_class(emission: Emission, estimator: Any, columns: Columns) -> Flagged:
    """x · w - offset."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single or estimator.coef_.dtype == np.float32:
        emission.relax(TOLERANT_BAR)
    graph = emission.graph
    weights = graph.constant(estimator.coef_.reshape(-1, 1))
    product = graph.node("MatMul", graph.matrix(columns), weights)
    return _not_negative(graph, graph.node("Sub", product, graph.constant(estimator.offset_)))
