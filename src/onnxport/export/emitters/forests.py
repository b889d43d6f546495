"""Decision trees and forests.

scikit-learn's trees round X to float32 and compare with double thresholds (`sklearn/tree/_tree.pyx`).
"""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from onnxport.export.decisions import code_from_raw
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


def _one_output(estimator: Any) -> Refusal | None:
    if getattr(estimator, "n_outputs_", 1) == 1:
        return None
    return Refusal(
        "y", "several outputs at once don't convert yet", "Fit one classifier for each output."
    )


@emits(
    DecisionTreeClassifier,
    ExtraTreeClassifier,
    RandomForestClassifier,
    ExtraTreesClassifier,
    check=_one_output,
)
def emit_forest_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The mean of the trees' class distributions; the label is its first maximum."""
    numbers_only(emission, estimator, columns)
    members = getattr(estimator, "estimators_", [estimator])
    classes = len(estimator.classes_)
    trees = [sklearn_tree(m.tree_, m.tree_.value[:, 0, :classes]) for m in members]
    x = tree_input(emission, estimator, columns, trees, single=True)
    proba = _mean(emission, add_leaves(emission, trees, x, classes), len(members))
    return Classified(code_from_raw(emission.graph, proba), proba)


@emits(DecisionTreeRegressor, ExtraTreeRegressor, RandomForestRegressor, ExtraTreesRegressor)
def emit_forest_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The mean of the trees' values."""
    numbers_only(emission, estimator, columns)
    members = getattr(estimator, "estimators_", [estimator])
    trees = [sklearn_tree(m.tree_, m.tree_.value[:, :, 0]) for m in members]
    x = tree_input(emission, estimator, columns, trees, single=True)
    total = add_leaves(emission, trees, x, trees[0].value.shape[1])
    return Valued(_mean(emission, total, len(members)))


def _mean(emission: Emission, total: str, count: int) -> str:
    if count == 1:
        return total
    return emission.graph.node("Div", total, emission.graph.constant(float(count)))
