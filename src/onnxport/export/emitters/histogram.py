"""Histogram gradient boosting, which compares doubles, and sends sets of categories to the left.

Sources: `_hist_gradient_boosting/_predictor.pyx`, `gradient_boosting.py`, `binning.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from onnxport.export.decisions import binary_from_both, multiclass_from_raw
from onnxport.export.graph import Array, Columns, joined, number_columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Valued,
    emit_transformer,
    emits,
    numbers_only,
)
from onnxport.export.treeoperator import Tree
from onnxport.export.trees import add_leaves, tree_input


@dataclass(frozen=True, slots=True)
class _Dump:
    """A predictor's tree. sides: by node that splits categories, which of them goes right: bool
    [categories + 1], the last for what is missing or unknown.
    """

    tree: Tree
    sides: dict[int, Array]


def _histogram_raw(emission: Emission, estimator: Any, columns: Columns) -> str:
    """Double [N, targets], of two classes [0, raw]. The baseline is folded into the first tree of
    each target, as the library adds them up.
    """
    start = np.ravel(estimator._baseline_prediction)
    first = int(len(getattr(estimator, "classes_", ())) == 2)
    dumps = [
        _dump(estimator, predictor, first + target, start[target] if stage == 0 else 0.0)
        for stage, predictors in enumerate(estimator._predictors)
        for target, predictor in enumerate(predictors)
    ]
    trees = [dump.tree for dump in dumps]
    if estimator.is_categorical_ is None:
        numbers_only(emission, estimator, columns)
    else:
        columns, trees = _without_categories(emission, estimator, columns, dumps)
    x = tree_input(emission, estimator, columns, trees, single=False)
    return add_leaves(emission, trees, x, first + len(start))


def _dump(estimator: Any, predictor: Any, target: int, start: float) -> _Dump:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    tree = Tree(
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"],
        default_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"][:, None] + start,
        target=target,
    )
    sides = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf).tolist():
        codes = estimator._bin_mapper.bin_thresholds_[tree.feature[node]].astype(np.int64)
        bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        right = np.repeat(not tree.default_left[node], len(codes) + 1)
        right[codes] = (bits[codes // 32] >> (codes % 32)) & 1 == 0
        sides[node] = right
    return _Dump(tree, sides)


def _without_categories(
    emission: Emission, estimator: Any, columns: Columns, dumps: Sequence[_Dump]
) -> tuple[Columns, list[Tree]]:
    """The numbers, and a column for each set of categories, 1 where it goes right; and the trees
    on these columns.

    The library puts the categories' columns first, as places in the sorted categories.
    """
    mask = np.asarray(estimator.is_categorical_)
    chosen = np.flatnonzero(mask).tolist()
    numbers = columns.pick(np.flatnonzero(~mask).tolist())
    numbers_only(emission, estimator, numbers)
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    codes = emit_transformer(emission, encoder, columns.pick(chosen))
    _note_categories(emission, columns.pick(chosen), encoder)
    sets = _distinct(dumps, len(chosen))
    starts = len(numbers) + np.cumsum([0, *(len(known) for known in sets)])
    trees = [_on_sets(dump, sets, starts) for dump in dumps]
    parts = [numbers, *_sides(emission, codes, sets)]
    return joined(parts) if any(map(len, parts)) else codes, trees


def _distinct(dumps: Sequence[_Dump], features: int) -> list[dict[bytes, int]]:
    """Each categorical feature's sets that some node needs, numbered."""
    sets: list[dict[bytes, int]] = [{} for _ in range(features)]
    for dump in dumps:
        for node, right in dump.sides.items():
            known = sets[int(dump.tree.feature[node])]
            known.setdefault(right.tobytes(), len(known))
    return sets


def _on_sets(dump: _Dump, sets: Sequence[dict[bytes, int]], starts: Array) -> Tree:
    """The tree with its splits of categories put on the sets' columns, which start there."""
    tree = dump.tree
    feature, threshold = tree.feature - len(sets), tree.threshold.copy()
    for node, right in dump.sides.items():
        index = int(tree.feature[node])
        feature[node] = starts[index] + sets[index][right.tobytes()]
        threshold[node] = 0.5
    return replace(tree, feature=feature, threshold=threshold)


def _sides(emission: Emission, codes: Columns, sets: Sequence[dict[bytes, int]]) -> list[Columns]:
    """A column of 0 and 1 for each set. codes: a column a feature, NaN where missing or unknown."""
    graph, parts = emission.graph, []
    for column, known in zip(codes.items, sets, strict=True):
        if not known:
            continue
        table = np.stack([np.frombuffer(right, dtype=np.bool_) for right in known], axis=1)
        code = graph.matrix(Columns((column,)))
        missing = graph.constant(float(len(table) - 1))
        place = graph.cast(
            graph.node("Where", graph.node("IsNaN", code), missing, code), TensorProto.INT64
        )
        place = graph.node("Squeeze", place, graph.integers([1]))
        side = graph.to_double(graph.node("Gather", graph.constant(table, np.bool_), place))
        emission.widen(len(known))
        parts.append(number_columns(side, len(known), finite=True))
    return parts


def _note_categories(emission: Emission, columns: Columns, encoder: Any) -> None:
    """For the threshold rows: a category that is a number, and the numbers beside it."""
    for column, categories in zip(columns.items, encoder.categories_, strict=True):
        for value in categories if column.kind == "number" else ():
            if np.isfinite(value):
                emission.split_at(column.origin, float(value))


@emits(HistGradientBoostingClassifier)
def emit_histogram_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    raw = _histogram_raw(emission, estimator, columns)
    if len(estimator.classes_) > 2:
        return multiclass_from_raw(emission.graph, raw)
    return binary_from_both(emission.graph, raw)


@emits(HistGradientBoostingRegressor)
def emit_histogram_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """Poisson and gamma losses have the log link, the others the identity."""
    raw = _histogram_raw(emission, estimator, columns)
    if estimator.loss in ("poisson", "gamma"):
        raw = emission.graph.node("Exp", raw)
    return Valued(raw)
