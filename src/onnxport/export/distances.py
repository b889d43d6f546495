"""Distances to fixed rows by direct differences, as scikit-learn's search trees compute them.

Source: `sklearn/metrics/_dist_metrics.pyx.tp` (`rdist`: a quantity that orders like the distance).
Features are added one after the other, so that equal distances are equal to the last bit. Distances
by dot products are in `kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxport.export.graph import Array, Graph


@dataclass(frozen=True, slots=True)
class Metric:
    """Σ |x - y|^p, or the largest |x - y| where p is infinite."""

    p: float


def metric_of(name: Any, parameters: dict[str, Any]) -> Metric | None:
    """The metric by scikit-learn's name and effective parameters, or None where it is another."""
    names = {"euclidean": 2.0, "l2": 2.0, "manhattan": 1.0, "cityblock": 1.0, "l1": 1.0}
    names |= {"chebyshev": np.inf, "infinity": np.inf}
    if name == "minkowski" and parameters.get("w") is None and parameters.get("p", 2) >= 1:
        return Metric(float(parameters.get("p", 2)))
    if isinstance(name, str) and name in names and not parameters:
        return Metric(names[name])
    return None


def reduced_distances(
    graph: Graph, x: str, others: Array, metric: Metric, *, single: bool = False
) -> str:
    """Σ |x - y|^p or max |x - y|, double [N, rows of others].

    single: differences are rounded to float32.
    """

    def away(column: str, values: Array) -> str:
        difference = graph.node("Sub", column, graph.constant(values))
        return graph.rounded(difference) if single else difference

    return _feature_by_feature(graph, x, np.asarray(others, np.float64), metric, away)


def box_distances(graph: Graph, x: str, lower: Array, upper: Array, metric: Metric) -> str:
    """The reduced distance to the nearest point of each box, double [N, boxes]."""
    both = np.stack([lower, upper], axis=1)

    def away(column: str, limits: Array) -> str:
        below = graph.node("Sub", graph.constant(limits[:, 0]), column)
        above = graph.node("Sub", column, graph.constant(limits[:, 1]))
        return graph.node("Max", below, above, graph.constant(0.0))

    return _feature_by_feature(graph, x, both, metric, away)


def _feature_by_feature(
    graph: Graph, x: str, others: Array, metric: Metric, away: Callable[[str, Array], str]
) -> str:
    total = ""
    for i in range(others.shape[-1]):
        column = graph.node("Gather", x, graph.integers([i]), axis=1)
        term = _powered(graph, away(column, others[..., i]), metric.p)
        op = "Max" if np.isinf(metric.p) else "Add"
        total = graph.node(op, total, term) if total else term
    return total


def _powered(graph: Graph, difference: str, p: float) -> str:
    """|difference|^p."""
    if p == 2:
        return graph.node("Mul", difference, difference)
    size = graph.node("Abs", difference)
    if p == 1 or np.isinf(p):
        return size
    return _pow(graph, size, p)


def _pow(graph: Graph, base: str, p: float) -> str:
    """base^p by the C library: of a lone exponent 3 ONNX Runtime would make a product."""
    return graph.node("Pow", base, graph.constant([p]))


def distances(graph: Graph, reduced: str, metric: Metric) -> str:
    """The distances themselves."""
    if metric.p == 1 or np.isinf(metric.p):
        return reduced
    if metric.p == 2:
        return graph.node("Sqrt", reduced)
    return _pow(graph, reduced, 1.0 / metric.p)


def reduced_from(graph: Graph, distance: str, metric: Metric) -> str:
    """The reduced distance of a distance."""
    return _powered(graph, distance, metric.p)


def reduce(distance: float, metric: Metric) -> float:
    """The reduced distance of one number."""
    return distance if np.isinf(metric.p) else float(distance) ** metric.p
