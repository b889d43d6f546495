"""Decision trees and forests.

scikit-learn's trees round X to float32 and compare with double thresholds (`sklearn/tree/_tree.pyx`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from onnxport.export.decisions import code_from_raw
from onnxport.export.graph import Array, Columns, number_columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Several,
    Valued,
    emits,
    numbers_only,
)
from onnxport.export.treeoperator import Leaves, add_operator
from onnxport.export.trees import add_leaves, sklearn_tree, tree_input


@emits(
    DecisionTreeClassifier,
    ExtraTreeClassifier,
    RandomForestClassifier,
    ExtraTreesClassifier,
)
def emit_forest_classifier(
    emission: Emission, estimator: Any, columns: Columns
) -> Classified | Several:
    """The mean of the trees' class distributions; the label is its first maximum. Of several
    targets, all distributions stand side by side in one leaf.
    """
    numbers_only(emission, estimator, columns)
    members = getattr(estimator, "estimators_", [estimator])
    counts = np.atleast_1d(estimator.n_classes_).tolist()
    trees = [sklearn_tree(m.tree_, _distributions(m.tree_, counts)) for m in members]
    x = tree_input(emission, estimator, columns, trees, single=True)
    proba = add_leaves(emission, trees, x, sum(counts), mean=len(trees) > 1)
    if len(counts) == 1:
        return Classified(code_from_raw(emission.graph, proba), proba)
    return Several(tuple(_parts(emission, proba, counts)))


def _distributions(tree: Any, counts: Sequence[int]) -> Array:
    """[nodes, classes of all targets]; the library pads each target to the most classes."""
    return np.concatenate([tree.value[:, i, :count] for i, count in enumerate(counts)], axis=1)


def _parts(emission: Emission, proba: str, counts: Sequence[int]) -> Iterator[Classified]:
    graph, start = emission.graph, 0
    for count in counts:
        indices = graph.integers(np.arange(start, start + count))
        part = graph.node("Gather", proba, indices, axis=1)
        yield Classified(code_from_raw(graph, part), part)
        start += count


@emits(DecisionTreeRegressor, ExtraTreeRegressor, RandomForestRegressor, ExtraTreesRegressor)
def emit_forest_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The mean of the trees' values."""
    numbers_only(emission, estimator, columns)
    members = getattr(estimator, "estimators_", [estimator])
    trees = [sklearn_tree(m.tree_, m.tree_.value[:, :, 0]) for m in members]
    x = tree_input(emission, estimator, columns, trees, single=True)
    targets = trees[0].value.shape[1]
    return Valued(add_leaves(emission, trees, x, targets, mean=len(trees) > 1))


@emits(RandomTreesEmbedding)
def emit_random_trees_embedding(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """A column for each leaf of each tree, 1 where a row falls into it."""
    numbers_only(emission, estimator, columns)
    trees = [sklearn_tree(m.tree_, m.tree_.value[:, 0]) for m in estimator.estimators_]
    x = tree_input(emission, estimator, columns, trees, single=True)
    counts = [len(tree.leaves) for tree in trees]
    width = sum(counts)
    places = np.split(np.arange(width), np.cumsum(counts)[:-1])
    leaves = Leaves([np.ones(count) for count in counts], places)
    emission.widen(width)
    hot = add_operator(emission.graph, trees, x, leaves, width)
    return number_columns(hot, width, finite=True)
