"""Histogram gradient boosting, which compares doubles.

Source: `_hist_gradient_boosting/_predictor.pyx`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
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
from onnxport.export.treeoperator import Tree
from onnxport.export.trees import add_leaves, tree_input


def _histogram_check(estimator: Any) -> Refusal | None:
    if getattr(estimator, "is_categorical_", None) is None:
        return None
    return Refusal(
        "categorical_features",
        "categorical splits don't convert yet",
        "Encode the categories with OrdinalEncoder and set categorical_features=None.",
    )


def _histogram_raw(emission: Emission, estimator: Any, columns: Columns) -> str:
    numbers_only(emission, estimator, columns)
    start = np.ravel(estimator._baseline_prediction)
    trees = []
    for stage, predictors in enumerate(estimator._predictors):
        for target, predictor in enumerate(predictors):
            nodes = predictor.nodes
            value = nodes["value"][:, None] + (start[target] if stage == 0 else 0.0)
            leaf = nodes["is_leaf"].astype(bool)
            trees.append(
                Tree(
                    left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    feature=nodes["feature_idx"],
                    threshold=nodes["num_threshold"],
                    default_left=nodes["missing_go_to_left"].astype(bool),
                    value=value,
                    target=target,
                )
            )
    x = tree_input(emission, estimator, columns, trees, single=False)
    return add_leaves(emission, trees, x, len(start))


@emits(HistGradientBoostingClassifier, check=_histogram_check)
def emit_histogram_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    raw = _histogram_raw(emission, estimator, columns)
    if len(estimator.classes_) > 2:
        return multiclass_from_raw(emission.graph, raw)
    return binary_from_raw(emission.graph, raw)


@emits(HistGradientBoostingRegressor, check=_histogram_check)
def emit_histogram_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """Poisson and gamma losses have the log link, the others the identity."""
    raw = _histogram_raw(emission, estimator, columns)
    if estimator.loss in ("poisson", "gamma"):
        raw = emission.graph.node("Exp", raw)
    return Valued(raw)
