"""Gradient boosting.

Source: `sklearn/ensemble/_gb.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
)

from onnxport.export.decisions import binary_from_raw, multiclass_from_raw
from onnxport.export.graph import Columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    emits,
    numbers_only,
)
from onnxport.export.trees import add_leaves, sklearn_tree, tree_input


def _gradient_boosting_check(estimator: Any) -> Refusal | None:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if isinstance(estimator.init_, (str, DummyClassifier, DummyRegressor)):
        return None
    return Refusal("init", "an init estimator doesn't convert yet", "Use init=None or init='zero'.")


def _gradient_boosting_raw(emission: Emission, estimator: Any, columns: Columns) -> str:
    """init + Σ learning_rate · leaf, the init folded into the first tree of each target, as the
    library adds them up.
    """
    numbers_only(emission, estimator, columns)
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))
    trees = []
    for stage, members in enumerate(estimator.estimators_):
        for target, member in enumerate(members):
            value = estimator.learning_rate * member.tree_.value[:, 0, :1]
            if stage == 0:
                value = start[0, target] + value
            trees.append(sklearn_tree(member.tree_, value, target))
    x = tree_input(emission, estimator, columns, trees, single=True)
    return add_leaves(emission, trees, x, start.shape[1])


@emits(GradientBoostingClassifier, check=_gradient_boosting_check)
def emit_gradient_boosting_classifier(
    emission: Emission, estimator: Any, columns: Columns
) -> Classified:
    """Log loss or exponential loss: p = expit(raw), or expit(2 raw) for the latter; a tie goes to
    the second class.
    """
    raw = _gradient_boosting_raw(emission, estimator, columns)
    if len(estimator.classes_) > 2:
        return multiclass_from_raw(emission.graph, raw)
    factor = 2.0 if estimator.loss == "exponential" else 1.0
    return binary_from_raw(emission.graph, raw, factor=factor, tie_is_positive=True)


@emits(GradientBoostingRegressor, check=_gradient_boosting_check)
def emit_gradient_boosting_regressor(
    emission: Emission, estimator: Any, columns: Columns
) -> Valued:
    """All losses have the identity link."""
    return Valued(_gradient_boosting_raw(emission, estimator, columns))
