"""The parity gate: the estimator against the graph, on every set of rows, before anything is
written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxport import runtime
from onnxport.compare import worst
from onnxport.export.clean_run import run_clean
from onnxport.export.graph import Array
from onnxport.export.oracle import Oracle, apart
from onnxport.export.rows import RowSet, without_overflow
from onnxport.export.ties import Expected, Rules, ask, score_scale
from onnxport.signature import Signature
from onnxport.tensors import Arrays, pack


@dataclass(frozen=True, slots=True)
class Parity:
    """The certificate: how many rows of which sets were compared, and how well they agreed.

    label_flips: rows whose label differs; must be 0. ties: rows whose label differs while the
    estimator's own scores tie within rounding, which aren't counted as flips. max_abs: the worst
    |difference| / max(1, |answer|) of a number.
    tolerance: what was allowed. refused: rows that the estimator itself refuses. accepted_mismatch:
    written all the same.
    """

    rows: int
    row_sets: tuple[str, ...]
    label_flips: int
    max_abs: float
    tolerance: float
    onnxruntime: str
    ties: int = 0
    refused: int = 0
    accepted_mismatch: bool = False


@dataclass(frozen=True)
class Worst:
    """The row that differs most: in which set, where in it, and by how much (infinite for a flipped
    label).
    """

    row_set: RowSet
    index: int
    difference: float


def prove(
    content: bytes,
    oracle: Oracle,
    signature: Signature,
    classes: Any,
    row_sets: Sequence[RowSet],
    *,
    bar: float,
    has_trees: bool,
) -> tuple[Parity, Worst | None]:
    """Compares on all rows. Returns the certificate, and the worst row where the graph answers
    differently.
    """
    kept, refused = _answerable(oracle, row_sets)
    rules = Rules(bar, score_scale(oracle, kept[0].table), has_trees)
    expected = [ask(oracle, signature, classes, row_set, rules) for row_set in kept]
    answers = run_clean(content, [feeds(signature, row_set) for row_set in kept])
    flips = ties = 0
    largest, worst_row = 0.0, None
    for row_set, wanted, got in zip(kept, expected, answers, strict=True):
        flipped, tied, difference = _compare(signature, wanted, got)
        flips, ties = flips + int(flipped.sum()), ties + tied
        largest = max(largest, worst(difference))
        difference = np.where(flipped, np.inf, difference)
        if difference.size and (worst_row is None or difference.max() > worst_row.difference):
            worst_row = Worst(row_set, int(difference.argmax()), float(difference.max()))
    parity = Parity(
        rows=sum(row_set.rows for row_set in kept),
        row_sets=tuple(row_set.name for row_set in kept),
        label_flips=flips,
        max_abs=largest,
        tolerance=bar,
        onnxruntime=runtime.VERSION,
        ties=ties,
        refused=refused,
    )
    if worst_row is None or (flips == 0 and largest <= bar):
        return parity, None
    return parity, worst_row


def _answerable(oracle: Oracle, row_sets: Sequence[RowSet]) -> tuple[list[RowSet], int]:
    """The row sets without the rows that the estimator itself refuses, and how many those were."""
    kept, refused = [], 0
    for row_set in row_sets:
        answered = oracle.answered(row_set.table)
        refused += int((~answered).sum())
        if row_set.rows == 0 or answered.any():
            kept.append(without_overflow(row_set, answered))
    return kept, refused


def _compare(signature: Signature, wanted: Expected, got: Arrays) -> tuple[Array, int, Array]:
    """Flipped rows, how many more differ only in a tie, and each row's largest difference of a
    number.
    """
    flipped, difference = apart(signature, wanted.outputs, got)
    excused = (flipped & wanted.tied) | wanted.unsettled
    ties = int((excused & (flipped | (difference > 0))).sum())
    return flipped & ~excused, ties, np.where(wanted.unsettled, 0.0, difference)


def feeds(signature: Signature, row_set: RowSet) -> Arrays:
    names = list(row_set.table)
    if row_set.shuffled:
        names = names[::-1]
    return pack(signature, {name: row_set.table[name] for name in names}, row_set.rows)
