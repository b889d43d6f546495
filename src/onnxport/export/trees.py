"""Decision trees and their ensembles, on the v5 `TreeEnsemble` operator in double precision.

Specification: ONNX operators, ai.onnx.ml, TreeEnsemble-5. scikit-learn's trees round X to float32
and compare with double thresholds (`sklearn/tree/_tree.pyx`); histogram gradient boosting compares
doubles (`_hist_gradient_boosting/_predictor.pyx`). Leaves are added in the order of the library, so
sums agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from onnxport.export.decisions import binary_from_raw, code_from_raw, multiclass_from_raw
from onnxport.export.graph import ML, Array, Columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    emits,
    numbers_only,
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


# -------------------------------------------------------------------------------------------------
# scikit-learn's own structures


def _sklearn_tree(tree: Any, value: Array, target: int = 0) -> Tree:
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
    trees = [_sklearn_tree(m.tree_, m.tree_.value[:, 0, :classes]) for m in members]
    x = tree_input(emission, estimator, columns, trees, single=True)
    proba = _mean(emission, add_leaves(emission, trees, x, classes), len(members))
    return Classified(code_from_raw(emission.graph, proba), proba)


@emits(DecisionTreeRegressor, ExtraTreeRegressor, RandomForestRegressor, ExtraTreesRegressor)
def emit_forest_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The mean of the trees' values."""
    numbers_only(emission, estimator, columns)
    members = getattr(estimator, "estimators_", [estimator])
    trees = [_sklearn_tree(m.tree_, m.tree_.value[:, :, 0]) for m in members]
    x = tree_input(emission, estimator, columns, trees, single=True)
    total = add_leaves(emission, trees, x, trees[0].value.shape[1])
    return Valued(_mean(emission, total, len(members)))


def _mean(emission: Emission, total: str, count: int) -> str:
    if count == 1:
        return total
    return emission.graph.node("Div", total, emission.graph.constant(float(count)))


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
            trees.append(_sklearn_tree(member.tree_, value, target))
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
