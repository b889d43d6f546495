"""Trees written as one v5 `TreeEnsemble` operator.

Specification: ONNX operators, ai.onnx.ml, TreeEnsemble-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxport.export.graph import ML, Array, Graph

_LEQ = 0  # BRANCH_LEQ in the operator's nodes_modes
_AVERAGE, _SUM = 0, 1  # its aggregate_function
_BEYOND = 2.0**128  # what would come after the largest float32
# Fewer nodes in all, or more columns a tree, and turning splits round costs more than it saves.
_WORTH_TURNING, _COLUMNS_A_TREE = 4096, 8


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

    @property
    def leaves(self) -> Array:
        """The nodes that are leaves, in order."""
        return np.flatnonzero(self.left < 0)


@dataclass(frozen=True, slots=True)
class TreeInput:
    """X as trees see it: double [N, width]. single: the library rounds it to float32. native: the
    library also adds leaves in float32, so the tensor, the split points and the sum are float32.
    """

    tensor: str
    width: int
    single: bool
    native: bool = False


@dataclass(frozen=True, slots=True)
class Leaves:
    """What each tree's leaves add, in the order of `Tree.leaves`: a weight each, to a target each."""

    weights: Sequence[Array]
    targets: Sequence[Array]


@dataclass
class _Parts:
    """The operator's attributes, a piece for each tree."""

    feature: list[Array] = field(default_factory=list)
    true: list[Array] = field(default_factory=list)
    false: list[Array] = field(default_factory=list)
    true_leaf: list[Array] = field(default_factory=list)
    false_leaf: list[Array] = field(default_factory=list)
    split: list[Array] = field(default_factory=list)
    missing_true: list[Array] = field(default_factory=list)
    target: list[Array] = field(default_factory=list)
    weight: list[Array] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    nodes: int = 0
    leaves: int = 0

    def add_leaves(self, weight: Array, target: Array) -> None:
        self.weight.append(weight)
        self.target.append(target)
        self.leaves += len(weight)


def add_operator(
    graph: Graph,
    trees: Sequence[Tree],
    x: TreeInput,
    leaves: Leaves,
    width: int,
    *,
    mean: bool = False,
) -> str:
    """Σ over trees of the weights of the leaves that a row falls into, double [N, width], of a
    native input float32, added in the order of the trees.

    mean: divided by the number of trees.

    In large forests, splits whose left side takes NaN, which is most often the larger one, are
    turned round: not x <= t but -x < -t. Then NaN needs no question of its own, and the larger side
    is the one that lies next in ONNX Runtime's memory.
    """
    nodes = sum(len(tree.left) for tree in trees)
    asked = any(tree.default_left[tree.left >= 0].any() for tree in trees)
    turns = asked and nodes >= _WORTH_TURNING and x.width <= _COLUMNS_A_TREE * len(trees)
    parts, rounded = _Parts(), x.single and not x.native
    for tree, weight, target in zip(trees, leaves.weights, leaves.targets, strict=True):
        _write_tree(parts, tree, weight, target, x.width if turns else 0, rounded=rounded)
    missing = _integers(parts.missing_true)
    tracks = {"nodes_missing_value_tracks_true": missing} if any(missing) else {}
    modes = np.full(parts.nodes, _LEQ, dtype=np.uint8)
    dtype = np.float32 if x.native else np.float64
    return graph.node(
        "TreeEnsemble",
        _beside_negated(graph, x.tensor) if turns else x.tensor,
        domain=ML,
        n_targets=width,
        aggregate_function=_AVERAGE if mean else _SUM,
        post_transform=0,
        tree_roots=parts.roots,
        nodes_modes=numpy_helper.from_array(modes, "nodes_modes"),
        nodes_splits=_numbers(parts.split, "nodes_splits", dtype),
        leaf_weights=_numbers(parts.weight, "leaf_weights", dtype),
        nodes_featureids=_integers(parts.feature),
        nodes_truenodeids=_integers(parts.true),
        nodes_falsenodeids=_integers(parts.false),
        nodes_trueleafs=_integers(parts.true_leaf),
        nodes_falseleafs=_integers(parts.false_leaf),
        leaf_targetids=_integers(parts.target),
        **tracks,
    )


def _beside_negated(graph: Graph, x: str) -> str:
    return graph.node("Concat", x, graph.node("Neg", x), axis=1)


def _numbers(parts: Sequence[Array], name: str, dtype: type) -> TensorProto:
    return numpy_helper.from_array(np.concatenate(parts).astype(dtype), name)


def _integers(parts: Sequence[Array]) -> list[int]:
    whole: list[int] = np.concatenate(parts).astype(np.int64).tolist()
    return whole


def _write_tree(
    parts: _Parts,
    tree: Tree,
    weight: Array,
    target: Array,
    negated: int,
    *,
    rounded: bool,
) -> None:
    """negated: where the negated columns begin, 0 where there are none. rounded: the library rounds
    X to float32.
    """
    inner = tree.left >= 0
    parts.roots.append(parts.nodes)
    if not inner[0]:
        _write_lone_leaf(parts, weight, target)
        return
    left, right = tree.left[inner], tree.right[inner]
    branch = parts.nodes + np.cumsum(inner) - 1
    _keep_root_apart(parts, branch[[c for c in (left[0], right[0]) if inner[c]]])
    numbers = np.where(inner, branch, parts.leaves + np.cumsum(~inner) - 1)
    feature, default_left = tree.feature[inner].astype(np.int64), tree.default_left[inner]
    split = tree.threshold[inner]
    split = floor_rounded(split) if rounded else split
    if negated:
        turned = default_left & (split < np.inf)
        left, right = np.where(turned, right, left), np.where(turned, left, right)
        feature = feature + np.where(turned, negated, 0)
        split = np.where(turned, -np.nextafter(split, np.inf), split)
        default_left = default_left & ~turned
    parts.feature.append(feature)
    parts.split.append(split)
    parts.missing_true.append(default_left.astype(np.int64))
    parts.true.append(numbers[left])
    parts.false.append(numbers[right])
    parts.true_leaf.append(~inner[left])
    parts.false_leaf.append(~inner[right])
    parts.nodes += len(left)
    parts.add_leaves(weight, target)


def _write_lone_leaf(parts: _Parts, weight: Array, target: Array) -> None:
    """A split whose sides are the same."""
    zero, one = np.zeros(1), np.ones(1)
    for piece in (parts.feature, parts.split, parts.missing_true):
        piece.append(zero)
    for piece in (parts.true_leaf, parts.false_leaf):
        piece.append(one)
    parts.true.append(zero + parts.leaves)
    parts.false.append(one + parts.leaves)
    parts.nodes += 1
    parts.add_leaves(np.repeat(weight, 2), np.repeat(target, 2))


def _keep_root_apart(parts: _Parts, branches: Array) -> None:
    """A root with a leaf and a branch of one number is taken for a lone leaf by ONNX Runtime up to
    1.23 (microsoft/onnxruntime#24679): an unused leaf makes the numbers differ.
    """
    if len(branches) == 1 and branches[0] == parts.leaves:
        parts.add_leaves(np.zeros(1), np.zeros(1))


def floor_rounded(thresholds: Array) -> Array:
    """The largest double that float32 rounds to no more than this: x <= it exactly where x, rounded
    to float32, is <= threshold.

    Halfway to the next float32, a number is rounded to the even one of the two.
    """
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    floor = np.where(nearest.astype(np.float64) > thresholds, below, nearest)
    sides = (floor, np.nextafter(floor, np.float32(np.inf)))
    low, high = (np.clip(side.astype(np.float64), -_BEYOND, _BEYOND) for side in sides)
    halfway, even = (low + high) / 2, floor.view(np.uint32) % 2 == 0
    split: Array = np.where(even, halfway, np.nextafter(halfway, -np.inf))
    return np.where(floor == np.inf, np.inf, split)
