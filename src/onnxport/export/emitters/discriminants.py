"""Quadratic discriminant analysis and nearest centroids, which share their way from scores to
answers.

Source: `sklearn/discriminant_analysis.py` (`DiscriminantAnalysisPredictionMixin`),
`sklearn/neighbors/_nearest_centroid.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from onnxport.export.decisions import code_from_raw
from onnxport.export.graph import Columns, Graph
from onnxport.export.kernels import euclidean_distances, manhattan_distances, squared_distances
from onnxport.export.registry import (
    Classified,
    Emission,
    emits,
    factors_only,
    finite_only,
    numbers_only,
)


def _from_scores(graph: Graph, scores: str, classes: int) -> Classified:
    """The first largest score; the decision of two classes is the second's lead."""
    decision = scores
    if classes == 2:
        first, second = (graph.node("Gather", scores, graph.integers([i]), axis=1) for i in (0, 1))
        decision = graph.node("Sub", second, first)
    proba = graph.node("Softmax", scores, axis=1)
    return Classified(code_from_raw(graph, scores), proba, decision)


@emits(QuadraticDiscriminantAnalysis)
def emit_quadratic(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """-(|(x - μ) R / √s|² + Σ log s) / 2 + log prior, for each class."""
    factors_only(emission, estimator, columns)
    graph = emission.graph
    x, norms = graph.matrix(columns), []
    for mean, rotation, scaling in zip(
        estimator.means_, estimator.rotations_, estimator.scalings_, strict=True
    ):
        away = graph.node("Sub", x, graph.constant(mean))
        turned = graph.node("MatMul", away, graph.constant(rotation * scaling**-0.5))
        norms.append(graph.node("ReduceSumSquare", turned, graph.integers([1]), keepdims=1))
    sizes = graph.constant([np.sum(np.log(s)) for s in estimator.scalings_])
    total = graph.node("Add", graph.node("Concat", *norms, axis=1), sizes)
    halved = graph.node("Mul", total, graph.constant(-0.5))
    with np.errstate(divide="ignore"):  # a prior may be 0
        scores = graph.node("Add", halved, graph.constant(np.log(estimator.priors_)))
    return _from_scores(graph, scores, len(estimator.classes_))


@emits(NearestCentroid)
def emit_nearest_centroid(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Equal priors: the nearest centroid as X is. Otherwise the best score of scaled X, from which
    probabilities come in any case.
    """
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph, classes = emission.graph, len(estimator.classes_)
    x, euclidean = graph.matrix(columns), estimator.metric == "euclidean"
    result = _from_scores(graph, _centroid_scores(graph, estimator, x), classes)
    code = result.code
    if np.isclose(estimator.class_prior_, 1 / classes).all():
        measure = squared_distances if euclidean else manhattan_distances
        code = code_from_raw(graph, graph.node("Neg", measure(graph, x, estimator.centroids_)))
    if not euclidean:
        return Classified(code, None)
    return Classified(code, result.proba, result.decision)


def _centroid_scores(graph: Graph, estimator: Any, x: str) -> str:
    """-|x / s - c / s|² + 2 log prior, double [N, classes]."""
    scale = np.where(estimator.within_class_std_dev_ == 0, 1.0, estimator.within_class_std_dev_)
    scaled = graph.node("Div", x, graph.constant(scale))
    measure = euclidean_distances if estimator.metric == "euclidean" else manhattan_distances
    distance = measure(graph, scaled, estimator.centroids_ / scale)
    against = graph.node("Neg", graph.node("Mul", distance, distance))
    with np.errstate(divide="ignore"):
        return graph.node("Add", against, graph.constant(2.0 * np.log(estimator.class_prior_)))
