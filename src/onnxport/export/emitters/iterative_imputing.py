"""The imputer that predicts each column from the others, in the rounds of its training.

Source: `sklearn/impute/_iterative.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.impute._iterative import IterativeImputer

from onnxport.export.emitters.imputing import find_missing, with_indicators
from onnxport.export.graph import Column, Columns, with_dtype
from onnxport.export.members import valued
from onnxport.export.registry import (
    Emission,
    Refusal,
    emit_transformer,
    emits,
    numbers_only,
)


def _iterative_check(estimator: Any) -> Refusal | None:
    if estimator.sample_posterior:
        return Refusal(
            "sample_posterior",
            "it draws random numbers at each call, so its answers differ from one to the next",
            "Set sample_posterior=False.",
        )
    return None


@emits(IterativeImputer, check=_iterative_check)
def emit_iterative_imputer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The initial fill; then, of what was missing, one prediction after the other, between
    `min_value` and `max_value`.
    """
    numbers_only(emission, estimator, columns)
    graph = emission.graph
    missing = find_missing(emission, estimator, columns)
    dtype = "float32" if columns.single else "float64"
    with emission.inside("initial_imputer_"):
        initial = emit_transformer(emission, estimator.initial_imputer_, columns)
    empty = np.asarray(estimator._is_empty_feature)
    kept = np.flatnonzero(~empty | estimator.keep_empty_features)
    mask = graph.node("Gather", missing.matrix, graph.integers(kept), axis=1)
    mask = graph.node("And", mask, graph.constant(~empty[kept][None, :], np.bool_))
    filled = list(with_dtype(initial, dtype).items)
    if estimator.n_iter_ > 0:
        whole = _all_missing(emission, mask)
        for place, step in enumerate(estimator.imputation_sequence_):
            feature = int(step.feat_idx)
            hole = graph.node("Gather", mask, graph.integers([feature]), axis=1)
            hole = graph.node("And", hole, graph.node("Not", whole))
            filled[feature] = _predicted(emission, estimator, filled, hole, place)
    result = Columns(tuple(filled))
    if not estimator.add_indicator:
        return result
    return with_indicators(emission, estimator, columns, missing, result)


def _all_missing(emission: Emission, mask: str) -> str:
    """Whether nothing is known in any row, bool [1, 1]: then the initial fill is all that is done,
    as the library looks at all rows at once.
    """
    graph = emission.graph
    known = graph.to_double(graph.node("Not", mask))
    total = graph.node("ReduceSum", known, graph.integers([0, 1]), keepdims=1)
    return graph.node("Equal", total, graph.constant(0.0))


def _predicted(
    emission: Emission, estimator: Any, filled: list[Column], hole: str, place: int
) -> Column:
    """The step's column with its prediction where the mask `hole` [N, 1] is true."""
    graph = emission.graph
    step = estimator.imputation_sequence_[place]
    feature = int(step.feat_idx)
    others = Columns(tuple(filled[int(i)] for i in step.neighbor_feat_idx))
    before = len(emission.refused)
    value = valued(emission, step.estimator, others, f"imputation_sequence_[{place}]")
    emission.refused[before:] = [
        graph.node("And", mark, hole) for mark in emission.refused[before:]
    ]  # a prediction that nobody asks for refuses nothing
    low, high = (float(limit[feature]) for limit in (estimator._min_value, estimator._max_value))
    if np.isfinite(low):
        value = graph.node("Max", value, graph.constant(low))
    if np.isfinite(high):
        value = graph.node("Min", value, graph.constant(high))
    old = filled[feature]
    if old.dtype == "float32":
        value = graph.rounded(value)
    tensor = graph.node("Where", hole, value, graph.matrix(Columns((old,))))
    return Column(tensor, 0, 1, "number", old.dtype, old.origin, finite=False, exact=False)
