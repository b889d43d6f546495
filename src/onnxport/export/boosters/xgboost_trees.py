"""XGBoost's sums in the graph, in float32 and in its order: trees, dropped trees, and lines.

Sources: `src/predictor/cpu_predictor.cc`, `src/tree/predict_fn.h` (GetNextNode),
`src/gbm/gbtree.cc` (Dart), `src/gbm/gblinear.cc`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxport.export.boosters.xgboost_categories import Sets, codes_of, distinct_sets, sides
from onnxport.export.boosters.xgboost_dump import Dump, Grown
from onnxport.export.graph import Array, Columns, joined, number_columns
from onnxport.export.members import repeated
from onnxport.export.registry import ROUGH_BAR, Emission, refuse_rows
from onnxport.export.treeoperator import Tree, TreeInput
from onnxport.export.trees import add_leaves, note_trees


@dataclass(frozen=True, slots=True)
class Asked:
    """How the library is asked. missing: the number taken for null beside NaN. in_place: without a
    DMatrix, which refuses infinite numbers, and weighs dropped trees in another way.
    """

    missing: float
    in_place: bool


def raw_scores(
    emission: Emission, estimator: Any, columns: Columns, dump: Dump, asked: Asked
) -> str:
    """The sums before the objective's link, float32 [N, groups]."""
    emission.relax(ROUGH_BAR)
    numbers = joined(
        codes_of(emission, estimator, column, dump.codes.get(i))
        for i, column in enumerate(columns.items)
    )
    if not asked.in_place:
        _refuse_infinite(emission, numbers, asked)
    numbers = _nulled(emission, numbers, asked.missing)
    if dump.kind == "gblinear":
        return _lines(emission, numbers, dump)
    if not dump.trees:
        return emission.graph.cast(
            repeated(emission.graph, columns, dump.base.tolist()), TensorProto.FLOAT
        )
    return _trees(emission, numbers, dump, asked)


def _refuse_infinite(emission: Emission, numbers: Columns, asked: Asked) -> None:
    """Of features as they came in, the signature knows that these are refused."""
    if not (numbers.raw or np.isinf(asked.missing)):
        graph = emission.graph
        single = graph.cast(graph.matrix(numbers), TensorProto.FLOAT)
        refuse_rows(emission, graph.node("IsInf", single))


def _nulled(emission: Emission, numbers: Columns, missing: float) -> Columns:
    """The numbers, NaN where a sparse matrix doesn't store them, as it does all doubles but 0; or
    where they are the one that means missing, compared in float32.
    """
    if np.isnan(missing) and not numbers.sparse:
        return numbers
    graph, nan = emission.graph, emission.graph.constant(np.nan)
    tensor = graph.matrix(numbers)
    if numbers.sparse:
        tensor = graph.node("Where", graph.node("Equal", tensor, graph.constant(0.0)), nan, tensor)
    tensor = graph.rounded(tensor)
    if not np.isnan(missing):
        gone = graph.node("Equal", tensor, graph.constant(float(np.float32(missing))))
        tensor = graph.node("Where", gone, nan, tensor)
    origins = [column.origin for column in numbers.items]
    return number_columns(tensor, len(numbers), origins=origins, exact=numbers.exact)


def _lines(emission: Emission, numbers: Columns, dump: Dump) -> str:
    """Bias, base and then each feature's product, one after the other; what is missing adds
    nothing.
    """
    assert dump.weights is not None
    graph = emission.graph
    x = graph.cast(graph.matrix(numbers), TensorProto.FLOAT)
    zero = graph.constant(0.0, np.float32)
    x = graph.node("Where", graph.node("IsNaN", x), zero, x)
    start = dump.weights[-1] + dump.base
    total = graph.constant(start[None, :], np.float32)
    for feature, weights in enumerate(dump.weights[:-1]):
        column = graph.node("Gather", x, graph.integers([feature]), axis=1)
        product = graph.node("Mul", column, graph.constant(weights[None, :], np.float32))
        total = graph.node("Add", total, product)
    return total


def _trees(emission: Emission, numbers: Columns, dump: Dump, asked: Asked) -> str:
    graph = emission.graph
    sets = distinct_sets(dump)
    chosen = sides(emission, numbers, sets)
    width = len(numbers) + len(sets)
    trees = _grown(dump, asked, sets, len(numbers))
    beside = number_columns(chosen or "", len(sets), exact=numbers.exact)
    note_trees(emission, joined([numbers, beside]), trees)
    x = graph.cast(graph.matrix(numbers), TensorProto.FLOAT)
    if chosen:
        x = graph.node("Concat", x, chosen, axis=1)
    return add_leaves(emission, trees, TreeInput(x, width, True, native=True), dump.groups)


def _grown(dump: Dump, asked: Asked, sets: Sets, width: int) -> list[Tree]:
    """The trees, one for each target of those whose leaves hold several numbers; the base is folded
    into the first tree of each target.
    """
    trees: list[Tree] = []
    begun: set[int] = set()
    for grown in dump.trees:
        several = grown.value.shape[1] > 1
        for column in range(grown.value.shape[1]):
            target = column if several else grown.group
            added = _added(grown, grown.value[:, column], dump, asked, target)
            if target not in begun:
                added = dump.base[target] + added
            begun.add(target)
            trees.append(_tree(grown, added, target, sets, width))
    return trees


def _added(grown: Grown, value: Array, dump: Dump, asked: Asked, target: int) -> Array:
    """What a leaf adds to the sum: with dropout times the tree's weight, and by a dart booster asked
    in place as what it changed in a sum that begins at the base.
    """
    if dump.kind == "dart" and asked.in_place:
        value = (dump.base[target] + value) - dump.base[target]
    weighted: Array = value * grown.weight
    return weighted


def _tree(grown: Grown, added: Array, target: int, sets: Sets, width: int) -> Tree:
    """x < split as x <= the float32 before it; a set of categories as a column of 0 and 1."""
    feature = grown.feature.copy()
    threshold = np.nextafter(grown.split, np.float32(-np.inf))
    for node, codes in grown.sets.items():
        feature[node] = width + sets[(int(grown.feature[node]), codes)]
        threshold[node] = 0.5
    return Tree(
        left=grown.left,
        right=grown.right,
        feature=feature,
        threshold=threshold,
        default_left=grown.default_left,
        value=added[:, None],
        target=target,
    )
