"""Isolation forests.

Source: `sklearn/ensemble/_iforest.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.ensemble import IsolationForest
from sklearn.ensemble._iforest import _average_path_length

from onnxport.export.graph import Columns
from onnxport.export.registry import Emission, Flagged, emits, numbers_only
from onnxport.export.treeoperator import Tree
from onnxport.export.trees import add_leaves, sklearn_tree, tree_input


@emits(IsolationForest)
def emit_isolation_forest(emission: Emission, estimator: Any, columns: Columns) -> Flagged:
    """score = -2^(-depth / usual depth) - offset (Liu et al., 2008), an outlier where it is below 0.

    The label comes from the sum of depths, which is exact, by the depth at which the library's own
    score reaches 0: the power's last bit differs between libraries.
    """
    numbers_only(emission, estimator, columns)
    graph = emission.graph
    trees = [_depths(estimator, i) for i in range(len(estimator.estimators_))]
    x = tree_input(emission, estimator, columns, trees, single=True, infinite=True)
    depth = add_leaves(emission, trees, x, 1)
    usual = float(len(trees) * _average_path_length([estimator._max_samples])[0])
    if usual == 0.0:  # one row in each tree: the library sets the ratio to 1
        ones = graph.node("Add", graph.node("Mul", depth, graph.constant(0.0)), graph.constant(1.0))
        depth, usual = ones, 1.0
    ratio = graph.node("Div", depth, graph.constant(usual))
    power = graph.node("Pow", graph.constant(2.0), graph.node("Neg", ratio))
    score = graph.node("Sub", graph.node("Neg", power), graph.constant(float(estimator.offset_)))
    inlier = graph.node("GreaterOrEqual", depth, graph.constant(_boundary(estimator, usual)))
    code = graph.node("Squeeze", graph.cast(inlier, TensorProto.INT64), graph.integers([1]))
    return Flagged(code, score)


def _depths(estimator: Any, index: int) -> Tree:
    """A tree whose leaves hold their depth, on the columns of X."""
    features = np.asarray(estimator.estimators_features_[index])
    value = (
        estimator._decision_path_lengths[index] + estimator._average_path_length_per_tree[index]
    ) - 1.0
    tree = sklearn_tree(estimator.estimators_[index].tree_, value[:, None])
    inner = tree.left >= 0
    return replace(tree, feature=np.where(inner, features[tree.feature], tree.feature))


def _boundary(estimator: Any, usual: float) -> float:
    """The smallest sum of depths at which the library's decision_function isn't below 0."""
    low, high = 0, int(np.float64(np.inf).view(np.int64))
    while low < high:  # non-negative doubles are in the order of their bits
        middle = (low + high) // 2
        depth = np.array([middle], dtype=np.int64).view(np.float64)
        below = -(2 ** -(depth / usual)) - estimator.offset_ < 0
        low, high = (middle + 1, high) if below[0] else (low, middle)
    return float(np.array([low], dtype=np.int64).view(np.float64)[0])
