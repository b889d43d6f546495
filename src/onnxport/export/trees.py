"""Decision trees from a neutral dump to sums of leaves, by the shortest way that is exact.

Leaves are added in the order of the library, or in float32 where all sums are exact in any order,
so sums agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxport.export.graph import Array, Columns
from onnxport.export.registry import (
    Emission,
    Refusal,
    refuse,
)
from onnxport.export.treeoperator import Leaves, Tree, TreeInput, add_operator

# Of a column with more than max_bins values, histogram boosting takes values of training rows for
# split points: behind PCA, scikit-learn itself answers such rows otherwise alone than in a batch.
_SHAKY = Refusal(
    "X",
    "its split points may equal values that an earlier step computes with another last bit",
    "Leave out PCA, Normalizer and functions such as np.log before it, or use "
    "RandomForestClassifier or RandomForestRegressor, which round to float32.",
)
_SINGLE_INTEGERS = 2.0**24  # float32 holds every integer up to here
_SPLITS_NOTED = 2048  # a feature; the gate tries fewer


def add_leaves(emission: Emission, trees: Sequence[Tree], x: TreeInput, targets: int) -> str:
    """Σ over trees of the leaf that a row falls into, double [N, targets].

    The operator adds one number a leaf. Where leaves hold more (class distributions that aren't all
    in one class), it finds each tree's leaf, and the leaves' rows are gathered and added, which
    costs one walk a tree instead of one a class.
    """
    values = [tree.value[tree.leaves] for tree in trees]
    if all(value.shape[1] == 1 for value in values):
        weights = [value[:, 0] for value in values]
        places = [np.full(len(w), tree.target) for tree, w in zip(trees, weights, strict=True)]
        return _added(emission, trees, x, Leaves(weights, places), targets)
    if all((np.count_nonzero(value, axis=1) <= 1).all() for value in values):
        places = [np.abs(value).argmax(axis=1) for value in values]
        weights = [v[np.arange(len(v)), p] for v, p in zip(values, places, strict=True)]
        return _added(emission, trees, x, Leaves(weights, places), targets)
    return _looked_up(emission, trees, x, values)


def _added(
    emission: Emission, trees: Sequence[Tree], x: TreeInput, leaves: Leaves, targets: int
) -> str:
    """By the operator itself: in float32 where weights are whole numbers and stay small."""
    graph = emission.graph
    largest = sum(float(np.abs(weight).max()) for weight in leaves.weights)
    whole = all((np.rint(weight) == weight).all() for weight in leaves.weights)
    single = x.single and whole and largest < _SINGLE_INTEGERS
    total = add_operator(graph, trees, x, leaves, targets, single=single)
    return graph.to_double(total) if single else total


def _looked_up(
    emission: Emission, trees: Sequence[Tree], x: TreeInput, values: Sequence[Array]
) -> str:
    """By a table of all leaves that differ: the operator gives each tree's place in it."""
    graph, width = emission.graph, values[0].shape[1]
    emission.widen(len(trees) * width)
    table, place = np.unique(np.concatenate(values), axis=0, return_inverse=True)
    ends = np.cumsum([len(value) for value in values])
    weights = np.split(place.ravel().astype(np.float64), ends[:-1])
    targets = [np.full(len(weight), i) for i, weight in enumerate(weights)]
    single = x.single and len(table) < _SINGLE_INTEGERS
    found = add_operator(graph, trees, x, Leaves(weights, targets), len(trees), single=single)
    rows = graph.node("Gather", graph.constant(table), graph.cast(found, TensorProto.INT64))
    return graph.node("ReduceSum", rows, graph.integers([1]), keepdims=0)


def tree_input(
    emission: Emission,
    estimator: Any,
    columns: Columns,
    trees: Sequence[Tree],
    *,
    single: bool,
    infinite: bool = False,
) -> TreeInput:
    """X as the trees see it: rounded to float32 where the library does, rows beyond float32 marked
    as refused, unless the library takes them (infinite).
    """
    if not (single or columns.exact):
        raise refuse(emission, estimator, _SHAKY)
    emission.has_trees = True
    emission.shaky_trees |= not columns.exact
    _note_splits(emission, columns, trees)
    graph = emission.graph
    x = graph.matrix(columns)
    if not single:
        return TreeInput(x, len(columns), single=False)
    rounded = graph.cast(x, TensorProto.FLOAT)
    if not (columns.raw or infinite):
        beyond = graph.to_double(graph.node("IsInf", rounded))
        found = graph.node("ReduceMax", beyond, graph.integers([1]), keepdims=1)
        emission.refused.append(graph.cast(found, TensorProto.BOOL))
    return TreeInput(rounded, len(columns), single=True)


def _note_splits(emission: Emission, columns: Columns, trees: Sequence[Tree]) -> None:
    """For the threshold rows: each column's split points, the two outermost among them."""
    inner = [tree.left >= 0 for tree in trees]
    feature = np.concatenate([t.feature[i] for t, i in zip(trees, inner, strict=True)])
    threshold = np.concatenate([t.threshold[i] for t, i in zip(trees, inner, strict=True)])
    for index in np.unique(feature).tolist():
        origin = columns.items[int(index)].origin
        if origin is None:
            continue
        points = np.unique(threshold[feature == index])
        some = np.linspace(0, len(points) - 1, min(len(points), _SPLITS_NOTED)).astype(int)
        for value in points[some].tolist():
            emission.split_at(origin, value)


def sklearn_tree(tree: Any, value: Array, target: int = 0) -> Tree:
    """A tree of scikit-learn's own structure. value: [nodes, width]."""
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        default_left=np.asarray(missing, dtype=bool),
        value=value,
        target=target,
    )
