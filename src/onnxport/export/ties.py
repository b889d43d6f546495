"""Rows in which the estimator's own answer hangs on rounding, so that no conversion can be held to
it.

Only rows that differ are looked at. A label is excused where the two best scores tie within
rounding, but never where graph
and estimator have the very same scores: there the rule decides, and the rule must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxport.export.graph import Array
from onnxport.export.oracle import Oracle, apart_by_target, by_target, expected_outputs
from onnxport.export.registry import ROUGH_BAR
from onnxport.export.sample import Table, take
from onnxport.signature import Signature
from onnxport.tensors import Arrays

# Below this, relative to the scores' size, the library's own sums decide by their rounding.
_TIE = 1e-12
_NUDGE, _NUDGE_SINGLE = 1e-13, 1e-6
_NUDGES = 8  # of which every other is ten times as large
_MOST = 0.01  # of the rows of X, for which rounding is an excuse
_SEED = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """What is allowed. bar: the largest difference of a number. scale: the size of the estimator's
    scores. strict: split points are held to the last bit. jumpy: neighbours beside the boundary are
    chosen by rounding.
    """

    bar: float
    scale: float
    strict: bool
    jumpy: bool = False


@dataclass(frozen=True, slots=True)
class Suspects:
    """Rows that differ: the rows, the estimator's answers by tensor, what differs [rows, targets],
    and both scores by target (None: there are none).
    """

    table: Table
    expected: Arrays
    flipped: Array
    difference: Array
    scores: tuple[Array, ...] | None
    graph_scores: tuple[Array, ...] | None


def excused(
    oracle: Oracle,
    signature: Signature,
    classes: Sequence[Array],
    suspects: Suspects,
    rules: Rules,
    *,
    on_boundary: bool,
) -> Array:
    """Which of the suspects differ only because of rounding, bool [rows]: each target that differs
    is excused by its own scores.

    on_boundary: the rows were placed on the decision boundary on purpose.
    """
    fits: Array = np.less_equal(suspects.difference, rules.bar)
    single = rules.bar > ROUGH_BAR  # something computes in float32
    by_margin: Array = fits & _tied(suspects, rules, rules.bar if single else _TIE)
    boundary = not rules.strict or (on_boundary and (suspects.scores is None or rules.jumpy))
    if not (single or boundary):
        return _everywhere(suspects, fits, by_margin)
    flips, moved = _wavers(oracle, signature, classes, suspects, _NUDGE, rules.scale)
    if single:
        flips |= _wavers(oracle, signature, classes, suspects, _NUDGE_SINGLE, rules.scale)[0]
    by_rounding = by_margin | (fits & flips) | np.asarray(boundary & (moved > rules.bar))
    return _everywhere(suspects, fits, by_rounding)


def for_few(excuse: Array, suspects: Suspects, rules: Rules, rows: int) -> Array:
    """The excuses, without those of labels and of large differences where more than a few of so
    many rows of X need one.
    """
    limit = max(rules.bar, ROUGH_BAR)
    large = (suspects.flipped | (suspects.difference > limit)).any(axis=1)
    crowd = int((excuse & large).sum()) > max(1, _MOST * rows)
    return np.asarray(excuse & ~large if crowd else excuse)


def _everywhere(suspects: Suspects, fits: Array, excuse: Array) -> Array:
    """Rows with an excuse for every target that differs."""
    fine = excuse | (fits & ~suspects.flipped)
    return np.asarray(fine.all(axis=1))


def _tied(suspects: Suspects, rules: Rules, limit: float) -> Array:
    """Where the two best scores are as good as equal, and not the same here and there, bool [rows,
    targets].
    """
    if suspects.scores is None or suspects.graph_scores is None:
        return np.zeros_like(suspects.flipped)
    tied = []
    for scores, other in zip(suspects.scores, suspects.graph_scores, strict=True):
        same = (scores == other).all(axis=1)
        tied.append((margins(scores) / rules.scale <= limit) & ~same)
    return np.column_stack(tied)


def margins(scores: Array) -> Array:
    """How far the first label is ahead of the second, [rows]; of one column, how far it is from 0."""
    if scores.shape[1] == 1:
        return np.abs(scores[:, 0])
    ordered = np.sort(scores, axis=1)
    margin: Array = ordered[:, -1] - ordered[:, -2]
    return margin


def _wavers(
    oracle: Oracle,
    signature: Signature,
    classes: Sequence[Array],
    suspects: Suspects,
    size: float,
    scale: float,
) -> tuple[Array, Array]:
    """What the estimator's own answers do when a row's numbers are nudged by so much of their own
    size, to either side: whether a label changes, and how far the numbers move, [rows, targets].
    """
    table, rng = suspects.table, np.random.default_rng(_SEED)
    flipped = np.zeros_like(suspects.flipped)
    moved = np.zeros_like(suspects.difference)
    for nudge in range(_NUDGES):
        spread = size * (10 if nudge % 2 else 1)
        nudges = {
            name: rng.normal(0, spread, len(values)) * np.abs(np.where(np.isinf(values), 0, values))
            for name, values in table.items()
            if values.dtype != object
        }
        for sign in (1, -1):
            nudged = table | {name: table[name] + sign * shift for name, shift in nudges.items()}
            answered = np.flatnonzero(oracle.answered(nudged))
            if len(answered):
                before = {name: values[answered] for name, values in suspects.expected.items()}
                after = expected_outputs(oracle, signature, classes, take(nudged, answered))
                labels, numbers = apart_by_target(signature, before, after)
                decided = _decided(oracle, signature, suspects, nudged, answered, scale)
                numbers = np.maximum(numbers, decided)
                flipped[answered] |= labels
                moved[answered] = np.maximum(moved[answered], numbers)
    return flipped, moved


def _decided(
    oracle: Oracle,
    signature: Signature,
    suspects: Suspects,
    nudged: Table,
    rows: Array,
    scale: float,
) -> Array:
    """How far the decision function moves, relative to its usual size, [rows, targets]; 0 where
    there is none.
    """
    before, after = suspects.scores, oracle.decisions(take(nudged, rows))
    nothing = np.zeros_like(suspects.difference[rows])
    if before is None or after is None:
        return nothing
    pairs = list(zip(before, by_target(signature, after), strict=True))
    if any(here.shape[1] != there.shape[1] for here, there in pairs):
        return nothing
    return np.column_stack(
        [(np.abs(here[rows] - there) / scale).max(axis=1) for here, there in pairs]
    )
