"""LightGBM's trees on columns in which every split is x <= threshold.

Source: `Tree::NumericalDecision` in `include/LightGBM/tree.h`; `RowPairFunctionFromDenseMatric` in
`src/c_api.cpp`, which makes 0 of what lies within 1e-35 of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from onnxport.export.boosters.lightgbm_categories import Features, set_columns
from onnxport.export.boosters.lightgbm_dump import NAN_MISSING, ZERO_MISSING, LightModel, LightTree
from onnxport.export.boosters.lightgbm_linear import linear_sum
from onnxport.export.graph import Array, Columns, joined
from onnxport.export.registry import Emission
from onnxport.export.treeoperator import Tree
from onnxport.export.trees import add_leaves, tree_input

_ZERO = float(np.float32(1e-35))  # kZeroThreshold
_BELOW_ZERO = float(np.nextafter(-_ZERO, -np.inf))
_ITSELF, _ABSENT, _SET = 0, 1, 2


@dataclass(frozen=True, slots=True)
class _Splits:
    """A tree's inner nodes as x <= threshold. kind: _ITSELF, _ABSENT or _SET, and place which of these."""

    kind: Array
    place: Array
    threshold: Array
    default_left: Array


@dataclass
class _Wanted:
    """The columns that nodes ask for. itself: features. absent: features with NaN in the place of 0. sets:
    by feature, the sets of categories, numbered.
    """

    itself: set[int] = field(default_factory=set)
    absent: dict[int, int] = field(default_factory=dict)
    sets: dict[int, dict[bytes, int]] = field(default_factory=dict)

    def set_place(self, feature: int, members: Array) -> int:
        known = self.sets.setdefault(feature, {})
        return known.setdefault(members.tobytes(), len(known))


def raw_scores(emission: Emission, estimator: Any, features: Features, model: LightModel) -> str:
    """The sum of the trees, class by class: double [N, width]."""
    wanted = _Wanted()
    splits = [_splits(tree, wanted, sparse=features.sources.sparse) for tree in model.trees]
    columns, starts = _columns(emission, features, wanted)
    trees = [
        _tree(tree, split, starts, i if model.linear else i % model.width)
        for i, (tree, split) in enumerate(zip(model.trees, splits, strict=True))
    ]
    x = tree_input(emission, estimator, columns, trees, single=False)
    if not model.linear:
        return add_leaves(emission, trees, x, model.width)
    numbered = [replace(tree, value=_numbers(tree)) for tree in trees]
    leaves = add_leaves(emission, numbered, x, len(trees))
    return linear_sum(emission, features, model, leaves)


def _splits(tree: LightTree, wanted: _Wanted, *, sparse: bool) -> _Splits:
    """How a node sends 0, and NaN where that is another name for 0, is told by its threshold; a node
    that sends it the other way asks for a column in which 0 is missing. sparse: of a sparse matrix
    the library takes numbers near 0 as they are.
    """
    threshold, by_flag, near = tree.threshold, tree.default_left, np.abs(tree.threshold) <= _ZERO
    zero_missing = tree.missing == ZERO_MISSING
    near = near & zero_missing if sparse else near
    zero_left = np.where(near & zero_missing, by_flag, threshold >= 0)
    absent = ~tree.categorical & zero_missing & (zero_left != by_flag)
    threshold = np.where(near, np.where(zero_left, _ZERO, _BELOW_ZERO), threshold)
    threshold = np.where(tree.categorical, 0.5, threshold)
    default_left = np.where((tree.missing == NAN_MISSING) | absent, by_flag, zero_left)
    place = tree.feature.copy()
    for node in np.flatnonzero(absent).tolist():
        place[node] = wanted.absent.setdefault(int(tree.feature[node]), len(wanted.absent))
    for node, members in tree.sets.items():
        place[node] = wanted.set_place(int(tree.feature[node]), members)
    kind = np.where(tree.categorical, _SET, np.where(absent, _ABSENT, _ITSELF))
    wanted.itself.update(tree.feature[kind == _ITSELF].tolist())
    return _Splits(kind, place, threshold, default_left & ~tree.categorical)


@dataclass(frozen=True)
class _Starts:
    """Where columns are: the place of each feature itself, and where the others begin."""

    itself: Array
    absent: int
    sets: dict[int, int]


def _columns(emission: Emission, features: Features, wanted: _Wanted) -> tuple[Columns, _Starts]:
    """The features without those that only sets are asked of, and what else is wanted."""
    spared = wanted.sets.keys() - wanted.itself
    kept = [i for i in range(len(features.codes)) if i not in spared]
    itself = np.zeros(len(features.codes), dtype=np.int64)
    itself[kept] = np.arange(len(kept))
    parts = [features.codes.pick(kept)]
    if wanted.absent:
        parts.append(_without_zero(emission, features.codes.pick(wanted.absent)))
    starts, width = {}, len(kept) + len(wanted.absent)
    for feature, known in sorted(wanted.sets.items()):
        starts[feature], width = width, width + len(known)
        sets = [np.frombuffer(members, dtype=np.int64) for members in known]
        parts.append(set_columns(emission, features, feature, sets))
    return joined(parts), _Starts(itself, len(kept), starts)


def _without_zero(emission: Emission, columns: Columns) -> Columns:
    """The columns with NaN in the place of 0."""
    graph = emission.graph
    x = graph.matrix(columns)
    zero = graph.node("LessOrEqual", graph.node("Abs", x), graph.constant(_ZERO))
    tensor = graph.node("Where", zero, graph.constant(np.nan), x)
    places = enumerate(columns.items)
    return Columns(tuple(replace(c, tensor=tensor, index=i, width=len(columns)) for i, c in places))


def _tree(tree: LightTree, splits: _Splits, starts: _Starts, target: int) -> Tree:
    """With the leaves behind the inner nodes."""
    inner, leaves = len(tree.feature), np.zeros(len(tree.leaf))
    left, right = (np.where(side < 0, inner + ~side, side) for side in (tree.left, tree.right))
    sets = np.array([starts.sets.get(feature, 0) for feature in tree.feature.tolist()], dtype=int)
    place = np.select(
        [splits.kind == _ITSELF, splits.kind == _ABSENT],
        [starts.itself[tree.feature], starts.absent + splits.place],
        sets + splits.place,
    )
    return Tree(
        left=np.concatenate([left, leaves - 1]).astype(np.int64),
        right=np.concatenate([right, leaves - 1]).astype(np.int64),
        feature=np.concatenate([place, leaves]).astype(np.int64),
        threshold=np.concatenate([splits.threshold, leaves]),
        default_left=np.concatenate([splits.default_left, leaves]).astype(bool),
        value=np.concatenate([np.zeros(inner), tree.leaf])[:, None],
        target=target,
    )


def _numbers(tree: Tree) -> Array:
    """Each leaf's own number in the place of its value."""
    leaf = tree.left < 0
    return np.where(leaf, np.cumsum(leaf) - 1.0, 0.0)[:, None]
