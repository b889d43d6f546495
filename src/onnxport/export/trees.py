"""Decision trees on the v5 `TreeEnsemble` operator in double precision, from a neutral dump.

Specification: ONNX operators, ai.onnx.ml, TreeEnsemble-5. Leaves are added in the order of the
library, so sums agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxport.export.graph import ML, Array, Columns
from onnxport.export.registry import (
    Emission,
    Refusal,
    refuse,
)

_SHAKY = Refusal(
    "X",
    "its split points may equal values that an earlier step computes with another last bit",
    "Leave out PCA, Normalizer and PolynomialFeatures before it, or use RandomForestClassifier or "
    "RandomForestRegressor, which round to float32.",
)


_LEQ = 0  # BRANCH_LEQ in the operator's nodes_modes


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree, as any library's dump can be brought to: arrays over its nodes, the root first.

    left, right: children, -1 at leaves. feature, threshold: x <= threshold goes left. default_left:
    NaN goes left.
    value: [nodes, width], used at leaves. target: which output a width of 1 adds to.
    """

    left: Array
    right: Array
    feature: Array
    threshold: Array
    default_left: Array
    value: Array
    target: int = 0


@dataclass
class _Attributes:
    """The operator's attributes while trees are written into them."""

    nodes_featureids: list[int] = field(default_factory=list)
    nodes_truenodeids: list[int] = field(default_factory=list)
    nodes_falsenodeids: list[int] = field(default_factory=list)
    nodes_trueleafs: list[int] = field(default_factory=list)
    nodes_falseleafs: list[int] = field(default_factory=list)
    nodes_missing_value_tracks_true: list[int] = field(default_factory=list)
    tree_roots: list[int] = field(default_factory=list)
    leaf_targetids: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def leaf(self, target: int, weight: float) -> int:
        self.leaf_targetids.append(target)
        self.weights.append(weight)
        return len(self.weights) - 1

    def split(self, feature: int, threshold: float, default_left: bool) -> None:
        self.nodes_featureids.append(feature)
        self.splits.append(threshold)
        self.nodes_missing_value_tracks_true.append(int(default_left))

    def children(self, left: tuple[int, bool], right: tuple[int, bool]) -> None:
        self.nodes_truenodeids.append(left[0])
        self.nodes_trueleafs.append(int(left[1]))
        self.nodes_falsenodeids.append(right[0])
        self.nodes_falseleafs.append(int(right[1]))


def add_leaves(emission: Emission, trees: Sequence[Tree], x: str, targets: int) -> str:
    """Σ over trees of the leaf that a row falls into, double [N, targets].

    Leaves of width 1 are added by the operator. Wider ones (class distributions) are looked up: the
    operator finds each tree's leaf, and the leaves' rows are gathered and added, which costs one
    walk a tree instead of one a class.
    """
    if all(tree.value.shape[1] == 1 for tree in trees):
        weights = [tree.value[:, 0] for tree in trees]
        return _ensemble(emission, trees, x, weights, [tree.target for tree in trees], targets)
    emission.widen(len(trees) * trees[0].value.shape[1])
    graph = emission.graph
    leaves = [np.flatnonzero(tree.left < 0) for tree in trees]
    offsets = np.cumsum([0, *(len(found) for found in leaves)])
    numbers = []
    for tree, found, offset in zip(trees, leaves, offsets, strict=False):
        number = np.zeros(len(tree.left))
        number[found] = offset + np.arange(len(found))
        numbers.append(number)
    places = _ensemble(emission, trees, x, numbers, list(range(len(trees))), len(trees))
    table = np.concatenate([tree.value[found] for tree, found in zip(trees, leaves, strict=True)])
    rows = graph.node("Gather", graph.constant(table), graph.cast(places, TensorProto.INT64))
    return graph.node("ReduceSum", rows, graph.integers([1]), keepdims=0)


def _ensemble(
    emission: Emission,
    trees: Sequence[Tree],
    x: str,
    weights: Sequence[Array],
    targets: Sequence[int],
    width: int,
) -> str:
    attributes = _Attributes()
    for tree, weight, target in zip(trees, weights, targets, strict=True):
        _write_tree(attributes, tree, weight, target)
    named = {
        name: value for name, value in vars(attributes).items() if name not in ("splits", "weights")
    }
    modes = np.full(len(attributes.splits), _LEQ, dtype=np.uint8)
    return emission.graph.node(
        "TreeEnsemble",
        x,
        domain=ML,
        n_targets=width,
        aggregate_function=1,
        post_transform=0,
        nodes_modes=numpy_helper.from_array(modes, "nodes_modes"),
        nodes_splits=numpy_helper.from_array(np.array(attributes.splits), "nodes_splits"),
        leaf_weights=numpy_helper.from_array(np.array(attributes.weights), "leaf_weights"),
        **named,
    )


def _write_tree(attributes: _Attributes, tree: Tree, weight: Array, target: int) -> None:
    inner = np.flatnonzero(tree.left >= 0).tolist()
    offset = len(attributes.splits)
    attributes.tree_roots.append(offset)
    if not inner:  # a lone leaf: a split whose sides are the same
        attributes.split(0, 0.0, default_left=True)
        both = [(attributes.leaf(target, float(weight[0])), True) for _ in range(2)]
        attributes.children(both[0], both[1])
        return
    numbers = {node: offset + i for i, node in enumerate(inner)}
    _keep_root_apart(attributes, tree, numbers)
    for node in inner:
        attributes.split(
            int(tree.feature[node]), float(tree.threshold[node]), bool(tree.default_left[node])
        )
        sides = [
            (numbers[child], False)
            if child in numbers
            else (attributes.leaf(target, float(weight[child])), True)
            for child in (int(tree.left[node]), int(tree.right[node]))
        ]
        attributes.children(sides[0], sides[1])


def _keep_root_apart(attributes: _Attributes, tree: Tree, numbers: dict[int, int]) -> None:
    """A root with a leaf and a branch of one number is taken for a lone leaf by ONNX Runtime up to
    1.23 (microsoft/onnxruntime#24679): an unused leaf makes the numbers differ.
    """
    children = (int(tree.left[0]), int(tree.right[0]))
    branches = [numbers[child] for child in children if child in numbers]
    if branches == [len(attributes.weights)]:
        attributes.leaf(0, 0.0)


def tree_input(
    emission: Emission, estimator: Any, columns: Columns, trees: Iterable[Tree], *, single: bool
) -> str:
    """X as the trees see it: rounded to float32 where the library does, rows beyond float32 marked
    as refused.
    """
    if not (single or columns.exact):
        raise refuse(emission, estimator, _SHAKY)
    emission.has_trees = True
    emission.shaky_trees |= not columns.exact
    for tree in trees:
        for node in np.flatnonzero(tree.left >= 0).tolist():
            origin = columns.items[int(tree.feature[node])].origin
            emission.split_at(origin, float(tree.threshold[node]))
    graph = emission.graph
    x = graph.matrix(columns)
    if not single:
        return x
    rounded = graph.rounded(x)
    if not columns.raw:
        infinite = graph.to_double(graph.node("IsInf", rounded))
        found = graph.node("ReduceMax", infinite, graph.integers([1]), keepdims=1)
        emission.refused.append(graph.cast(found, TensorProto.BOOL))
    return rounded


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
