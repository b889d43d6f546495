"""Rows in which the estimator's own answer hangs on rounding, so that no conversion can be held to
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxport.export.graph import Array
from onnxport.export.oracle import Oracle, apart, expected_outputs
from onnxport.export.registry import ROUGH_BAR
from onnxport.export.rows import RowSet
from onnxport.export.sample import Table, rows_of
from onnxport.signature import Signature
from onnxport.tensors import Arrays

# Below this, relative to the scores' size, the library's own sums decide by their rounding.
_TIE = 1e-12
_NUDGES = 4
_SEED = 3


@dataclass(frozen=True)
class Expected:
    """The estimator's answers to one set of rows, by tensor; `tied` rows, whose label hangs on
    rounding; and `unsettled` rows, whose numbers do, because they stand where the model jumps.
    """

    outputs: Arrays
    tied: Array
    unsettled: Array


@dataclass(frozen=True, slots=True)
class Rules:
    """What is allowed. scale: the size of the estimator's scores. has_trees: split points are held
    to the last bit.
    """

    bar: float
    scale: float
    has_trees: bool


def ask(
    oracle: Oracle,
    signature: Signature,
    classes: Any,
    row_set: RowSet,
    rules: Rules,
) -> Expected:
    table = row_set.table
    outputs = expected_outputs(oracle, signature, classes, table)
    settled = np.zeros(row_set.rows, dtype=bool)
    if not signature.classes or row_set.rows == 0:
        return Expected(outputs, settled, settled)
    margin = _margin(oracle, signature, table, outputs, rules.scale)
    if rules.bar > ROUGH_BAR:  # computed in float32 somewhere
        labels_waver, _ = _wavers(oracle, signature, classes, table, outputs, 1e-6)
        return Expected(outputs, (margin <= rules.bar) | labels_waver, settled)
    if row_set.name == "ties" and (np.isinf(margin).all() or not rules.has_trees):
        labels_waver, numbers_waver = _wavers(oracle, signature, classes, table, outputs, 1e-13)
        return Expected(outputs, (margin <= _TIE) | labels_waver, numbers_waver > rules.bar)
    return Expected(outputs, margin <= _TIE, settled)


def _scores(oracle: Oracle, table: Table) -> Array | None:
    try:
        return np.asarray(oracle.call("decision_function", table), dtype=np.float64)
    except AttributeError:
        return None


def score_scale(oracle: Oracle, table: Table) -> float:
    """How large the sums are that make a score: a tie is a difference that vanishes beside it."""
    scores = _scores(oracle, table)
    return 1.0 if scores is None else max(1.0, float(np.abs(scores).max(initial=0.0)))


def _margin(
    oracle: Oracle, signature: Signature, table: Table, outputs: Arrays, scale: float
) -> Array:
    """How far the first label is ahead of the second, relative to the scores' size; infinite
    without scores.
    """
    scores, proba = _scores(oracle, table), signature.output("probabilities")
    if scores is None and proba is not None:
        scores = outputs[proba.tensor]
    if scores is None:
        return np.full(rows_of(table), np.inf)
    if scores.ndim == 1:
        return np.abs(scores) / scale
    ordered = np.sort(scores, axis=1)
    margin: Array = (ordered[:, -1] - ordered[:, -2]) / scale
    return margin


def _wavers(
    oracle: Oracle, signature: Signature, classes: Any, table: Table, outputs: Arrays, size: float
) -> tuple[Array, Array]:
    """What the estimator's own answers do when a row's numbers are nudged by so much of their usual
    size, to either side: rows whose label changes, and how far each row's numbers move.
    """
    rng = np.random.default_rng(_SEED)
    flipped = np.zeros(rows_of(table), dtype=bool)
    moved = np.zeros(rows_of(table))
    for _ in range(_NUDGES):
        nudges = {
            name: rng.normal(0, size * _usual_size(values), len(values))
            for name, values in table.items()
            if values.dtype != object
        }
        for sign in (1, -1):
            nudged = table | {name: table[name] + sign * nudge for name, nudge in nudges.items()}
            if oracle.answers(nudged):
                answers = expected_outputs(oracle, signature, classes, nudged)
                labels, numbers = apart(signature, outputs, answers)
                flipped, moved = flipped | labels, np.maximum(moved, numbers)
    return flipped, moved


def _usual_size(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(np.abs(known))) if len(known) else 0.0
