"""The estimators inside another one: what each gives, and sums over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxport.export.graph import Columns, Graph
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    emit,
    refuse,
)


def classified(emission: Emission, estimator: Any, columns: Columns, name: str) -> Classified:
    with emission.inside(name):
        result = emit(emission, estimator, columns)
    if not isinstance(result, Classified):
        raise refuse(
            emission, estimator, Refusal("", "it is no classifier", "Use a classifier here.")
        )
    return result


def valued(emission: Emission, estimator: Any, columns: Columns, name: str) -> str:
    with emission.inside(name):
        result = emit(emission, estimator, columns)
    if not isinstance(result, Valued):
        raise refuse(
            emission, estimator, Refusal("", "it is no regressor", "Use a regressor here.")
        )
    return result.value


def probabilities_of(emission: Emission, estimator: Any, columns: Columns, name: str) -> str:
    result = classified(emission, estimator, columns, name)
    if result.proba is None:
        reason = "it gives no probabilities, which are needed here"
        nearest = "Use a classifier with predict_proba."
        raise refuse(emission, estimator, Refusal("", reason, nearest))
    return result.proba


def one_hot(graph: Graph, code: str, classes: int) -> str:
    """Codes [N] as 0 and 1, double [N, classes]."""
    column = graph.node("Unsqueeze", code, graph.integers([1]))
    return graph.to_double(graph.node("Equal", column, graph.integers(np.arange(classes)[None, :])))


def repeated(graph: Graph, columns: Columns, row: Sequence[float]) -> str:
    """The same numbers for every row of X, double [N, len(row)]."""
    tensor = next(column.tensor for column in columns.items if column.tensor)
    rows = graph.node("Shape", tensor, start=0, end=1)
    shape = graph.node("Concat", rows, graph.integers([len(row)]), axis=0)
    return graph.node("Expand", graph.constant(np.asarray(row)[None, :]), shape)


def summed(graph: Graph, terms: Sequence[str]) -> str:
    """One after the other, as the library adds them."""
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", total, term)
    return total


def weighted_sum(graph: Graph, terms: Sequence[str], weights: Sequence[float] | None) -> str:
    """Σ wᵢ xᵢ, one after the other."""
    if weights is None:
        return summed(graph, terms)
    scaled = [
        graph.node("Mul", term, graph.constant(float(weight)))
        for term, weight in zip(terms, weights, strict=True)
    ]
    return summed(graph, scaled)


def weighted_mean(graph: Graph, terms: Sequence[str], weights: Sequence[float] | None) -> str:
    """numpy.average: Σ wᵢ xᵢ / Σ wᵢ."""
    total = float(len(terms) if weights is None else np.sum(weights))
    return graph.node("Div", weighted_sum(graph, terms, weights), graph.constant(total))
