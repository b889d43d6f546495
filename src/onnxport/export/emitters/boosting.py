"""Gradient boosting.

Source: `sklearn/ensemble/_gb.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
)

from onnxport.export.decisions import binary_from_both, multiclass_from_raw
from onnxport.export.graph import Columns, number_columns
from onnxport.export.members import probabilities_of, valued
from onnxport.export.registry import (
    EXACT_BAR,
    Classified,
    Emission,
    Valued,
    emits,
    finite_only,
    numbers_only,
)
from onnxport.export.trees import add_leaves, sklearn_tree, tree_input


def _gradient_boosting_raw(emission: Emission, estimator: Any, columns: Columns) -> str:
    """init + Σ learning_rate · leaf, of two classes [0, this].

    A constant init is folded into the first tree of each target, as the library adds them up.
    """
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    width, start = estimator.n_trees_per_iteration_, None
    first = int(_is_binary(estimator))
    if _is_constant(estimator.init_):
        zeros = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        start = estimator._raw_predict_init(zeros)[0]
    trees = []
    for stage, members in enumerate(estimator.estimators_):
        for target, member in enumerate(members):
            value = estimator.learning_rate * member.tree_.value[:, 0, :1]
            if stage == 0 and start is not None:
                value = start[target] + value
            trees.append(sklearn_tree(member.tree_, value, first + target, missing=False))
    x = tree_input(emission, estimator, columns, trees, single=True)
    total = add_leaves(emission, trees, x, first + width)
    if start is not None:
        return total
    begin = _init_raw(emission, estimator, _in_single(emission, columns))
    if first:
        begin = emission.graph.node("Pad", begin, emission.graph.integers([0, 1, 0, 0]))
    return emission.graph.node("Add", begin, total)


def _is_binary(estimator: Any) -> bool:
    return len(getattr(estimator, "classes_", ())) == 2


def _is_constant(init: Any) -> bool:
    """The same for all rows, and for every call."""
    if isinstance(init, str) or type(init) is DummyRegressor:
        return True
    return type(init) is DummyClassifier and init.strategy not in ("stratified", "uniform")


def _in_single(emission: Emission, columns: Columns) -> Columns:
    """X as the library hands it to the init estimator: all in float32."""
    origins = [column.origin for column in columns.items]
    rounded = emission.graph.rounded(emission.graph.matrix(columns))
    return number_columns(
        rounded, len(columns), dtype="float32", origins=origins, finite=columns.finite
    )


def _init_raw(emission: Emission, estimator: Any, columns: Columns) -> str:
    """`_init_raw_predictions`: the init estimator's answer, a probability by its link."""
    graph, init = emission.graph, estimator.init_
    if not hasattr(estimator, "classes_"):
        return valued(emission, init, columns, "init_")
    proba = probabilities_of(emission, init, columns, "init_")
    eps = float(np.finfo(np.float64).eps)
    if len(estimator.classes_) == 2:
        proba = graph.node("Gather", proba, graph.integers([1]), axis=1)
    proba = graph.node("Clip", proba, graph.constant(eps), graph.constant(1 - eps))
    if len(estimator.classes_) == 2:
        odds = graph.node("Div", proba, graph.node("Sub", graph.constant(1.0), proba))
        raw = graph.node("Log", odds)
        half = estimator.loss == "exponential"
        return graph.node("Mul", raw, graph.constant(0.5)) if half else raw
    logs = graph.node("Log", proba)
    mean = graph.node("Exp", graph.node("ReduceMean", logs, graph.integers([1]), keepdims=1))
    return graph.node("Log", graph.node("Div", proba, mean))


@emits(GradientBoostingClassifier)
def emit_gradient_boosting_classifier(
    emission: Emission, estimator: Any, columns: Columns
) -> Classified:
    """Log loss or exponential loss: p = expit(raw), or expit(2 raw) for the latter; a tie goes to
    the second class.
    """
    raw = _gradient_boosting_raw(emission, estimator, columns)
    if len(estimator.classes_) > 2:
        result = multiclass_from_raw(emission.graph, raw)
    else:
        factor = 2.0 if estimator.loss == "exponential" else 1.0
        result = binary_from_both(emission.graph, raw, factor=factor, tie_is_positive=True)
    # The logit of a probability near 1 that was rounded to float32 jumps, unlike what comes of it.
    exact = emission.bar <= EXACT_BAR or _is_constant(estimator.init_)
    return result if exact else replace(result, decision=None)


@emits(GradientBoostingRegressor)
def emit_gradient_boosting_regressor(
    emission: Emission, estimator: Any, columns: Columns
) -> Valued:
    """All losses have the identity link."""
    return Valued(_gradient_boosting_raw(emission, estimator, columns))
