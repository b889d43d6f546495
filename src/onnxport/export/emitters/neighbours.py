"""Votes and means of the nearest training rows, or of those within a radius.

Source: `sklearn/neighbors/_classification.py`, `_regression.py` and `_base.py` (`_get_weights`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import neighbors

from onnxport.export.decisions import code_from_raw, normalized
from onnxport.export.distances import reduce
from onnxport.export.graph import Array, Columns, Graph
from onnxport.export.members import summed
from onnxport.export.nearest import (
    Found,
    all_distances,
    all_reduced,
    check_search,
    check_ties,
    nearest,
    neighbour_distances,
    search_input,
    search_metric,
)
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Several,
    Valued,
    emits,
    refuse_rows,
)

_UNROLLED = 128  # numpy sums in blocks of so many


def _check(estimator: Any) -> Refusal | None:
    if callable(estimator.weights):
        return Refusal(
            "weights", "a function doesn't convert", "Use weights='uniform' or 'distance'."
        )
    return check_search(estimator)


def _ties_check(estimator: Any) -> Refusal | None:
    """Votes of rows in an array are counted row by row, whatever the threads."""
    refusal = _check(estimator)
    votes = estimator.weights == "uniform" and not getattr(estimator, "outputs_2d_", True)
    if refusal is not None or (votes and not hasattr(estimator, "feature_names_in_")):
        return refusal
    return check_ties(estimator, np.asarray(estimator._y), estimator.n_neighbors)


def _outputs(estimator: Any) -> list[tuple[Array, int]]:
    """The training codes and the number of classes of each target."""
    if estimator.outputs_2d_:
        return [(estimator._y[:, k], len(c)) for k, c in enumerate(estimator.classes_)]
    return [(estimator._y, len(estimator.classes_))]


def _together(estimator: Any, parts: list[Classified]) -> Classified | Several:
    return Several(tuple(parts)) if estimator.outputs_2d_ else parts[0]


def _weights(graph: Graph, distance: str) -> str:
    """1 / distance; where a distance is 0, 1 for the zeros and 0 for the others."""
    inverse = graph.node("Reciprocal", distance)
    infinite = graph.node("IsInf", inverse)
    marks = graph.to_double(infinite)
    any_zero = graph.node("ReduceMax", marks, graph.integers([1]), keepdims=1)
    exact = graph.node("Greater", any_zero, graph.constant(0.0))
    return graph.node("Where", exact, marks, inverse)


@emits(neighbors.KNeighborsClassifier, check=_ties_check)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified | Several:
    """The first class with most votes, or with the largest sum of weights."""
    graph, k = emission.graph, estimator.n_neighbors
    x, by_distance = search_input(emission, estimator, columns), estimator.weights == "distance"
    # From 8 terms on, numpy adds in lanes, so that the order of equal weights shows in a sum.
    found = nearest(emission, estimator, x, k, in_order=by_distance and k >= 8)
    weights = None
    if by_distance:
        weights = _weights(graph, neighbour_distances(emission, estimator, x, found))
        largest = graph.node("ReduceMax", weights, graph.integers([1]), keepdims=1)
        refuse_rows(emission, graph.node("Equal", largest, graph.constant(0.0)))
    parts = []
    for codes, classes in _outputs(estimator):
        emission.widen(k * classes)
        hits = _hits(graph, found, codes, classes)
        if weights is None:
            votes = graph.node("ReduceSum", hits, graph.integers([1]), keepdims=0)
            parts.append(Classified(code_from_raw(graph, votes), normalized(graph, votes)))
        else:
            parts.append(_weighted(graph, hits, weights, k))
    return _together(estimator, parts)


def _hits(graph: Graph, found: Found, codes: Array, classes: int) -> str:
    """1 where a neighbour is of a class, double [N, k, classes]."""
    labels = graph.node("Gather", graph.integers(codes), found.indices)
    last = graph.node("Unsqueeze", labels, graph.integers([2]))
    return graph.to_double(graph.node("Equal", last, graph.integers(np.arange(classes))))


def _weighted(graph: Graph, hits: str, weights: str, k: int) -> Classified:
    """predict adds the weights as numpy does and predict_proba from the first to the last, which
    can differ in the last bit.
    """
    scaled = graph.node("Mul", hits, graph.node("Unsqueeze", weights, graph.integers([2])))
    if k > _UNROLLED:
        votes = graph.node("ReduceSum", scaled, graph.integers([1]), keepdims=0)
        return Classified(code_from_raw(graph, votes), _share(graph, votes))
    terms = [graph.node("Gather", scaled, graph.integers(i), axis=1) for i in range(k)]
    votes = _numpy_sum(graph, terms)
    return Classified(code_from_raw(graph, votes), _share(graph, summed(graph, terms)))


def _share(graph: Graph, votes: str) -> str:
    total = graph.node("ReduceSum", votes, graph.integers([1]), keepdims=1)
    return graph.node("Div", votes, total)


def _numpy_sum(graph: Graph, terms: list[str]) -> str:
    """Up to 128 terms in numpy's order (`pairwise_sum` in its `loops_utils.h.src`)."""
    if len(terms) < 8:
        return summed(graph, terms)
    whole = len(terms) - len(terms) % 8
    lanes = [summed(graph, terms[lane:whole:8]) for lane in range(8)]
    while len(lanes) > 1:
        lanes = [summed(graph, lanes[i : i + 2]) for i in range(0, len(lanes), 2)]
    return summed(graph, [lanes[0], *terms[whole:]])


@emits(neighbors.KNeighborsRegressor, check=_ties_check)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The mean of the neighbours' targets, weighted or not."""
    graph, k = emission.graph, estimator.n_neighbors
    x = search_input(emission, estimator, columns)
    found = nearest(emission, estimator, x, k)
    targets = _targets(estimator)
    emission.widen(k * targets.shape[1])
    values = graph.node("Gather", graph.constant(targets), found.indices)
    if estimator.weights != "distance":
        return Valued(graph.node("ReduceMean", values, graph.integers([1]), keepdims=0))
    weights = _weights(graph, neighbour_distances(emission, estimator, x, found))
    column = graph.node("Unsqueeze", weights, graph.integers([2]))
    total = graph.node(
        "ReduceSum", graph.node("Mul", values, column), graph.integers([1]), keepdims=0
    )
    size = graph.node("ReduceSum", weights, graph.integers([1]), keepdims=1)
    return Valued(graph.node("Div", total, size))


def _targets(estimator: Any) -> Array:
    """y as double [training rows, targets]."""
    y = np.asarray(estimator._y, dtype=np.float64)
    return y.reshape(len(y), -1)


def _within(emission: Emission, estimator: Any, columns: Columns) -> tuple[str, str]:
    """Each training row's weight, 0 outside the radius, and how many are within, double [N,
    training rows] and [N, 1].
    """
    graph = emission.graph
    x = search_input(emission, estimator, columns)
    reduced = all_reduced(emission, estimator, x)
    limit = reduce(float(estimator.radius), search_metric(estimator))
    inside = graph.node("LessOrEqual", reduced, graph.constant(limit))
    ones = graph.to_double(inside)
    count = graph.node("ReduceSum", ones, graph.integers([1]), keepdims=1)
    if estimator.weights != "distance":
        return ones, count
    weights = _weights(graph, all_distances(emission, estimator, x, reduced))
    return graph.node("Where", inside, weights, graph.constant(0.0)), count


def _radius_check(estimator: Any) -> Refusal | None:
    labels = estimator.outlier_label_
    classes = estimator.classes_ if estimator.outputs_2d_ else [estimator.classes_]
    if labels is not None and not all(
        label in known for label, known in zip(labels, classes, strict=True)
    ):
        return Refusal(
            "outlier_label",
            "outliers would get a label that no training row has",
            "Use outlier_label='most_frequent', or one of the classes.",
        )
    return _check(estimator)


@emits(neighbors.RadiusNeighborsClassifier, check=_radius_check)
def emit_radius_classifier(
    emission: Emission, estimator: Any, columns: Columns
) -> Classified | Several:
    """The class with the largest share within the radius. Rows without neighbours get the outlier
    label, or are refused.
    """
    graph = emission.graph
    weights, count = _within(emission, estimator, columns)
    empty = graph.node("Equal", count, graph.constant(0.0))
    labels = estimator.outlier_label_
    if labels is None:
        emission.refused.append(empty)
    parts = []
    for i, (codes, classes) in enumerate(_outputs(estimator)):
        known = np.eye(classes)
        votes = graph.node("MatMul", weights, graph.constant(known[codes]))
        proba = normalized(graph, votes)
        if labels is not None:
            names = estimator.classes_[i] if estimator.outputs_2d_ else estimator.classes_
            outlier = known[list(names).index(labels[i])]
            proba = graph.node("Where", empty, graph.constant(outlier[None, :]), proba)
        parts.append(Classified(code_from_raw(graph, proba), proba))
    return _together(estimator, parts)


def _radius_regressor_check(estimator: Any) -> Refusal | None:
    if np.asarray(estimator._y).dtype.kind != "f":
        return Refusal(
            "y",
            "with whole-numbered targets, a row without neighbours gets a number without meaning",
            "Fit on y.astype(float).",
        )
    return _check(estimator)


@emits(neighbors.RadiusNeighborsRegressor, check=_radius_regressor_check)
def emit_radius_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The mean of the targets within the radius; NaN where there is none."""
    graph = emission.graph
    weights, _ = _within(emission, estimator, columns)
    total = graph.node("MatMul", weights, graph.constant(_targets(estimator)))
    size = graph.node("ReduceSum", weights, graph.integers([1]), keepdims=1)
    return Valued(graph.node("Div", total, size))
