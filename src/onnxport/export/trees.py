"""Decision trees from a neutral dump to sums of leaves, by the shortest way that is exact.

Leaves are added in the order of the library, so sums agree to the last bit.
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
    refuse_rows,
)
from onnxport.export.treeoperator import Leaves, Tree, TreeInput, add_operator

# Of a column with more than max_bins values, histogram boosting takes values of training rows for
# split points: behind PCA, scikit-learn itself answers such rows otherwise alone than in a batch.
_SHAKY = Refusal(
    "X",
    "its split points may equal values that an earlier step computes with another last bit",
    "Leave out PCA, Normalizer and functions such as np.log before it (in a chain, the model before "
    "it), or use models that round to float32: RandomForest, XGBoost, CatBoost.",
)
_SPLITS_NOTED = 2048  # a feature; the gate tries fewer


def add_leaves(
    emission: Emission,
    trees: Sequence[Tree],
    x: TreeInput,
    targets: int,
    *,
    mean: bool = False,
) -> str:
    """Σ over trees of the leaf that a row falls into, double [N, targets].

    mean: divided by the number of trees.

    The operator adds one number a leaf. Where leaves hold more (class distributions that aren't all
    in one class), it finds each tree's leaf, and the leaves' rows are gathered and added, which
    costs one walk a tree instead of one a class.
    """
    values = [tree.value[tree.leaves] for tree in trees]
    if all(value.shape[1] == 1 for value in values):
        places = [np.full(len(v), tree.target) for tree, v in zip(trees, values, strict=True)]
    elif all((np.count_nonzero(value, axis=1) <= 1).all() for value in values):
        places = [np.abs(value).argmax(axis=1) for value in values]
    else:
        return _looked_up(emission, trees, x, values, mean=mean)
    weights = [value.sum(axis=1) for value in values]
    return add_operator(emission.graph, trees, x, Leaves(weights, places), targets, mean=mean)


def _looked_up(
    emission: Emission,
    trees: Sequence[Tree],
    x: TreeInput,
    values: Sequence[Array],
    *,
    mean: bool,
) -> str:
    """By a table of all leaves that differ: the operator gives each tree's place in it."""
    graph, width = emission.graph, values[0].shape[1]
    emission.widen(len(trees) * width)
    table, place = np.unique(np.concatenate(values), axis=0, return_inverse=True)
    ends = np.cumsum([len(value) for value in values])
    weights = np.split(place.ravel().astype(np.float64), ends[:-1])
    targets = [np.full(len(weight), i) for i, weight in enumerate(weights)]
    found = add_operator(graph, trees, x, Leaves(weights, targets), len(trees))
    rows = graph.node("Gather", graph.constant(table), graph.cast(found, TensorProto.INT64))
    reduced = "ReduceMean" if mean else "ReduceSum"
    return graph.node(reduced, rows, graph.integers([1]), keepdims=0)


def tree_input(
    emission: Emission,
    estimator: Any,
    columns: Columns,
    trees: Sequence[Tree],
    *,
    single: bool,
    infinite: bool = False,
) -> TreeInput:
    """X as the trees see it. single: the library rounds it to float32; rows beyond that are marked as
    refused, unless the library takes them (infinite).
    """
    if not (single or columns.exact):
        raise refuse(emission, estimator, _SHAKY)
    note_trees(emission, columns, trees)
    graph = emission.graph
    x = graph.matrix(columns)
    if not single:
        return TreeInput(x, len(columns), single=False)
    if not (columns.raw or infinite):
        refuse_rows(emission, graph.node("IsInf", graph.cast(x, TensorProto.FLOAT)))
    return TreeInput(x, len(columns), single=True)


def note_trees(emission: Emission, columns: Columns, trees: Sequence[Tree]) -> None:
    """For the parity gate: the graph jumps at these trees' split points."""
    emission.has_trees = True
    emission.shaky_trees |= not columns.exact
    _note_splits(emission, columns, trees)


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


def sklearn_tree(tree: Any, value: Array, target: int = 0, *, missing: bool = True) -> Tree:
    """A tree of scikit-learn's own structure. value: [nodes, width]. missing: NaN may come, and has
    its way.
    """
    ways = tree.missing_go_to_left if missing else np.zeros(tree.node_count)
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        default_left=np.asarray(ways, dtype=bool),
        value=value,
        target=target,
    )
