"""The imputer that takes the mean of the nearest training rows.

The library finds them with `np.argpartition` on distances from dot products. Which of equally
distant rows it takes hangs on the processor, and which of nearly equal ones on the last bits of
BLAS. So no order is replayed here: rows nearer than the k-th by more than rounding count fully, and
those at its distance share the places that are left. Where their values differ, the row is declined.
Source: `sklearn/impute/_knn.py`, `nan_euclidean_distances` in `sklearn/metrics/pairwise.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.impute import KNNImputer

from onnxport.export.donors import UNSURE, blur_of, often_tied, training_of
from onnxport.export.emitters.imputing import find_missing, with_indicators
from onnxport.export.graph import Array, Column, Columns, Graph
from onnxport.export.heap import smallest
from onnxport.export.registry import (
    ROUGH_BAR,
    Emission,
    Refusal,
    emits,
    numbers_only,
    refuse,
)

_INEXACT = 1e-12  # how far columns may be off that an earlier step computes with another last bit


def _check(estimator: Any) -> Refusal | None:
    if callable(estimator.metric):
        return Refusal(
            "metric", "a function doesn't convert", "Use the default, metric='nan_euclidean'."
        )
    if callable(estimator.weights):
        return Refusal(
            "weights", "a function doesn't convert", "Use weights='uniform' or 'distance'."
        )
    if estimator._fit_X.dtype == np.float32:
        return Refusal(
            "X",
            "in float32, rounding decides which training rows are the nearest",
            "Fit on X.astype(float).",
        )
    if often_tied(estimator):
        return Refusal(
            "n_neighbors",
            "several training rows are equally near and would fill in different values, of which "
            "numpy takes others on other processors",
            "Use SimpleImputer or IterativeImputer, or add columns in which rows differ.",
        )
    return None


@dataclass(frozen=True, slots=True)
class _Distances:
    """Between rows with holes and training rows. away: squared, infinite where they share no
    column. blur: how far these may be off. double [holes, rows].
    """

    away: str
    blur: str


@emits(KNNImputer, check=_check)
def emit_knn_imputer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """What is missing becomes the mean of that column in the nearest training rows that have it;
    the column's mean where no distance is known. Columns that training never saw are left out.
    """
    numbers_only(emission, estimator, columns)
    if columns.single:
        reason = "in float32, rounding decides which training rows are the nearest"
        raise refuse(emission, estimator, Refusal("X", reason, "Fit on X.astype(float)."))
    graph, valid = emission.graph, np.asarray(estimator._valid_mask)
    missing = find_missing(emission, estimator, columns)
    numbers = graph.to_double(missing.matrix)
    asked = graph.node("Mul", numbers, graph.constant(valid[None, :].astype(float)))
    found = graph.node("ReduceMax", asked, graph.integers([1]), keepdims=0)
    rows = _places(graph, found)
    filled = graph.node("Where", missing.matrix, graph.constant(0.0), missing.x)
    x, holes = (graph.node("GatherND", part, rows) for part in (filled, numbers))
    distances = _distances(emission, estimator, x, holes, exact=columns.exact)
    parts, marks = [], [_overflows(graph, x)]
    for c in range(len(valid)):
        part = graph.node("Gather", x, graph.integers(c), axis=1)
        if valid[c]:
            hole = graph.node("Gather", holes, graph.integers(c), axis=1)
            part, mark = _imputed(emission, estimator, part, hole, distances, c)
            marks.append(mark)
        parts.append(graph.node("Unsqueeze", part, graph.integers([1])))
    _decline(emission, missing.x, rows, marks)
    whole = graph.node("ScatterND", filled, rows, graph.node("Concat", *parts, axis=1))
    kept = np.flatnonzero(valid | estimator.keep_empty_features)
    if not valid.all():
        whole = graph.node(
            "Where", graph.constant(valid[None, :], np.bool_), whole, graph.constant(0.0)
        )
    items = [
        Column(whole, i, len(valid), "number", "float64", columns.items[i].origin,
               columns.items[i].finite, exact=False)
        for i in kept.tolist()
    ]  # fmt: skip
    result = Columns(tuple(items))
    if not estimator.add_indicator:
        return result
    return with_indicators(emission, estimator, columns, missing, result)


def _distances(
    emission: Emission, estimator: Any, x: str, holes: str, *, exact: bool
) -> _Distances:
    """Squared, over the columns that both know, times the share of these."""
    graph = emission.graph
    theirs, known = training_of(estimator)
    width = known.shape[1]
    emission.widen(8 * len(theirs))
    y, there = graph.constant(theirs.T), graph.to_double(graph.constant(known.T, np.bool_))
    here = graph.node("Sub", graph.constant(1.0), holes)
    xx, yy = graph.node("Mul", x, x), graph.node("Mul", y, y)
    together = graph.node("MatMul", here, there)
    share = graph.node(
        "Div", graph.constant(float(width)), graph.node("Max", together, graph.constant(1.0))
    )
    away = graph.node("Add", graph.node("MatMul", xx, there), graph.node("MatMul", here, yy))
    product = graph.node("Mul", graph.node("MatMul", x, y), graph.constant(2.0))
    away = graph.node("Max", graph.node("Sub", away, product), graph.constant(0.0))
    away = graph.node("Mul", away, share)
    nothing = graph.node("Equal", together, graph.constant(0.0))
    sizes = graph.node("Add", _total(graph, xx), graph.constant((theirs**2).sum(axis=1)[None, :]))
    off = graph.constant(blur_of(width) + (0.0 if exact else _INEXACT))
    blur = graph.node("Mul", graph.node("Mul", sizes, off), share)
    return _Distances(graph.node("Where", nothing, graph.constant(np.inf), away), blur)


def _places(graph: Graph, marks: str) -> str:
    """Where a vector of doubles isn't 0, int64 [places, 1]."""
    return graph.node("Transpose", graph.node("NonZero", graph.cast(marks, TensorProto.INT64)))


def _total(graph: Graph, values: str) -> str:
    return graph.node("ReduceSum", values, graph.integers([1]), keepdims=1)


def _most(graph: Graph, values: str) -> str:
    return graph.node("ReduceMax", values, graph.integers([1]), keepdims=1)


def _overflows(graph: Graph, x: str) -> str:
    """1 where a row's square is infinite, double [holes]."""
    size = graph.node("ReduceSumSquare", x, graph.integers([1]), keepdims=0)
    return graph.to_double(graph.node("IsInf", size))


def _imputed(
    emission: Emission, estimator: Any, part: str, hole: str, distances: _Distances, column: int
) -> tuple[str, str]:
    """The column with what is missing filled in, and 1 where that is undecided, double [holes]."""
    graph = emission.graph
    theirs, known = training_of(estimator)
    donors = np.flatnonzero(known[:, column])
    rows = _places(graph, hole)
    near = _Distances(
        *(
            graph.node("Gather", graph.node("GatherND", each, rows), graph.integers(donors), axis=1)
            for each in (distances.away, distances.blur)
        )
    )
    value, mark = _mean(emission, estimator, near, theirs[donors, column])
    nothing = graph.node("Mul", part, graph.constant(0.0))
    return graph.node("ScatterND", part, rows, value), graph.node("ScatterND", nothing, rows, mark)


def _mean(
    emission: Emission, estimator: Any, distances: _Distances, values: Array
) -> tuple[str, str]:
    """The mean over the k nearest donors, and 1 where it is undecided, double [rows]."""
    graph = emission.graph
    counts, undecided = _counts(graph, distances, values, min(estimator.n_neighbors, len(values)))
    weights = counts
    if estimator.weights == "distance":
        used = graph.node("Greater", counts, graph.constant(0.0))
        vague = graph.node("And", _vague(graph, distances, counts), _differ(graph, used, values))
        undecided = graph.node("Or", undecided, vague)
        length = graph.node("Sqrt", graph.node("Max", distances.away, graph.constant(1e-300)))
        weights = graph.node("Div", counts, length)
        emission.relax(ROUGH_BAR)
    total = graph.node("MatMul", weights, graph.constant(values[:, None]))
    size = _total(graph, weights)
    empty = graph.node("Equal", size, graph.constant(0.0))
    mean = graph.node("Div", total, graph.node("Where", empty, graph.constant(1.0), size))
    mean = graph.node("Where", empty, graph.constant(float(values.mean())), mean)
    one = graph.integers([1])
    return graph.node("Squeeze", mean, one), graph.node("Squeeze", graph.to_double(undecided), one)


def _counts(graph: Graph, distances: _Distances, values: Array, k: int) -> tuple[str, str]:
    """How far each donor counts, from 0 to 1, double [rows, donors]; and whether that is undecided,
    bool [rows, 1].
    """
    away, blur = distances.away, distances.blur
    least, _ = smallest(graph, away, len(values), k)
    edge = graph.node("Gather", least, graph.integers([k - 1]), axis=1)
    there = graph.node("Where", graph.node("Equal", away, edge), blur, graph.constant(0.0))
    reach = graph.node("Add", blur, _most(graph, there))
    apart = graph.node("Abs", graph.node("Sub", away, edge))
    is_near = graph.node("LessOrEqual", apart, reach)  # never where both are infinite
    is_inside = graph.node("And", graph.node("Less", away, edge), graph.node("Not", is_near))
    near, inside = graph.to_double(is_near), graph.to_double(is_inside)
    count = _total(graph, near)
    left = graph.node("Sub", graph.constant(float(k)), _total(graph, inside))
    places = graph.node("Min", count, left)
    several = graph.node("Less", places, count)
    share = graph.node("Div", places, graph.node("Max", count, graph.constant(1.0)))
    counts = graph.node("Add", inside, graph.node("Mul", near, share))
    return counts, graph.node("And", several, _differ(graph, is_near, values))


def _vague(graph: Graph, distances: _Distances, counts: str) -> str:
    """Whether weights of 1 / distance are so uncertain that the mean is, bool [rows, 1]. counts:
    how far each donor counts.
    """
    least = graph.node("Max", distances.away, distances.blur)
    weights = graph.node("Div", counts, graph.node("Sqrt", least))
    total = graph.node("Max", _total(graph, weights), graph.constant(1e-300))
    weights = graph.node("Div", weights, total)
    others = graph.node("Sub", graph.constant(1.0), weights)
    off = graph.node("Div", distances.blur, least)
    off = graph.node("Mul", graph.node("Mul", weights, others), off)
    return graph.node("Greater", _total(graph, off), graph.constant(UNSURE))


def _differ(graph: Graph, marked: str, values: Array) -> str:
    """Whether the marked donors of a row have several values, bool [rows, 1]."""
    theirs = graph.constant(values[None, :])
    largest = _most(graph, graph.node("Where", marked, theirs, graph.constant(-np.inf)))
    least = graph.node("Where", marked, theirs, graph.constant(np.inf))
    least = graph.node("ReduceMin", least, graph.integers([1]), keepdims=1)
    return graph.node("Greater", largest, least)


def _decline(emission: Emission, like: str, rows: str, marks: list[str]) -> None:
    """Marks rows as undecided. rows: those with holes. marks: double [holes] each."""
    graph = emission.graph
    mark = graph.node("Max", *marks)
    nobody = graph.node("Expand", graph.constant(0.0), graph.node("Shape", like, end=1))
    everyone = graph.node("ScatterND", nobody, rows, mark)
    marked = graph.cast(graph.node("Unsqueeze", everyone, graph.integers([1])), TensorProto.BOOL)
    emission.undecided.append(marked)
