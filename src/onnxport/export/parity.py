"""The parity gate: the estimator against the graph, on every set of rows, before anything is
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from onnxport import runtime
from onnxport.compare import by_row, relative_difference, worst
from onnxport.errors import ExportError
from onnxport.export.clean_run import run_clean
from onnxport.export.convert import DECISION
from onnxport.export.graph import Array
from onnxport.export.oracle import Oracle, apart_by_target, by_rows, by_target, expected_outputs
from onnxport.export.rows import BATCHES, RowSet, keep_rows
from onnxport.export.sample import Table, take
from onnxport.export.ties import Rules, Suspects, excused, for_few
from onnxport.signature import Signature
from onnxport.tensors import Arrays, pack

_GROUP_BYTES = 64 * 1024**2
_MOST_DECLINED = 0.05


@dataclass(frozen=True, slots=True)
class Parity:
    """The certificate: how many rows of which sets were compared, and how well they agreed.

    label_flips: rows whose label differs; must be 0. ties: rows that differ only where the
    estimator's own answer hangs on rounding, which aren't counted as flips. max_abs: the worst
    |difference| / max(1, |answer|) of a number. tolerance: what was allowed. refused: rows that the
    estimator itself refuses. accepted_mismatch: written all the same. rows_by_set: how many rows
    each set had.
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
    rows_by_set: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Worst:
    """The row that differs most: in which set, where in it, and by how much (infinite for a flipped
    label).
    """

    row_set: RowSet
    index: int
    difference: float


@dataclass(frozen=True)
class Judge:
    """What the gate needs beside the rows. content: the graph that will be written. judged: the
    same with decision_function as one more output, or None. declines: it marks rows as refused whose
    answer is another on other processors.
    """

    oracle: Oracle
    signature: Signature
    classes: Sequence[Array]
    content: bytes
    judged: bytes | None
    bar: float
    strict: bool
    declines: bool = False
    jumpy: bool = False

    @property
    def gives_decisions(self) -> bool:
        """The graph gives what decision_function does."""
        return self.judged is not None or self.signature.output("score") is not None


def prove(judge: Judge, row_sets: Sequence[RowSet]) -> tuple[Parity, Worst | None]:
    """Compares on all rows. Returns the certificate, and the worst row where the graph answers
    differently. Raises ExportError where the estimator refuses most of the rows drawn from X.
    """
    kept, refused = _answerable(judge.oracle, row_sets)
    rules = Rules(judge.bar, _scale(judge.oracle, kept[0].table), judge.strict, judge.jumpy)
    flips = ties = 0
    largest, worst_row = 0.0, None
    for row_set, got, graph_scores in _answered_by_graph(judge, kept):
        if judge.declines:
            row_set, got, graph_scores, declined = _decided(row_set, got, graph_scores)
            ties += declined
        flipped, tied, difference = _compare(judge, row_set, got, graph_scores, rules)
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
        tolerance=judge.bar,
        onnxruntime=runtime.VERSION,
        ties=ties,
        refused=refused,
        rows_by_set={row_set.name: row_set.rows for row_set in kept},
    )
    return parity, worst_row if flips or largest > judge.bar else None


def _scale(oracle: Oracle, table: Table) -> float:
    """How large the sums are that make a score: a tie is a difference that vanishes beside it."""
    scores = oracle.decisions(table)
    return 1.0 if scores is None else max(1.0, float(np.abs(scores).max(initial=0.0)))


def _answered_by_graph(
    judge: Judge, row_sets: Sequence[RowSet]
) -> Iterator[tuple[RowSet, Arrays, Array | None]]:
    """Each row set with what the graph says of it: all from one process, unless the answers are so
    wide that they would fill the memory.
    """
    for group in _groups(judge.signature, row_sets):
        asked = [feeds(judge.signature, row_set) for row_set in group]
        answers = run_clean(judge.content, asked)
        yield from zip(group, answers, _graph_scores(judge, asked, answers), strict=True)


def _groups(signature: Signature, row_sets: Sequence[RowSet]) -> Iterator[list[RowSet]]:
    """The row sets in groups of so many rows, the longer ones taken apart."""
    width = sum(output.width or 1 for output in signature.outputs)
    most = max(BATCHES[-1], _GROUP_BYTES // (8 * width))
    group: list[RowSet] = []
    for row_set in row_sets:
        for start in range(0, max(row_set.rows, 1), most):
            part = keep_rows(row_set, np.arange(start, min(start + most, row_set.rows)))
            if group and sum(other.rows for other in group) + part.rows > most:
                yield group
                group = []
            group.append(part)
    yield group


def _graph_scores(
    judge: Judge, asked: Sequence[Arrays], answers: Sequence[Arrays]
) -> list[Array | None]:
    """What the graph's labels hang on: its decision_function, else its probabilities."""
    if judge.judged is not None:
        return [by_row(got[DECISION]) for got in run_clean(judge.judged, asked)]
    scores = judge.signature.output("score") or judge.signature.output("probabilities")
    return [None if scores is None else got[scores.tensor] for got in answers]


def _answerable(oracle: Oracle, row_sets: Sequence[RowSet]) -> tuple[list[RowSet], int]:
    """The row sets without the rows that the estimator itself refuses, and how many those were."""
    kept, refused = [], 0
    for row_set in row_sets:
        answered = oracle.answered(row_set.table)
        if row_set.name == "heldout" and answered.mean() < 0.5:
            raise ExportError(
                f"the estimator refuses {int((~answered).sum())} of {row_set.rows} rows drawn from "
                "X, so nothing can be proven; pass an X like the one it was fitted on"
            )
        refused += int((~answered).sum())
        if row_set.rows == 0 or answered.any():
            kept.append(keep_rows(row_set, answered))
    return kept, refused


def _decided(
    row_set: RowSet, got: Arrays, graph_scores: Array | None
) -> tuple[RowSet, Arrays, Array | None, int]:
    """What is left without the rows that the graph declines, and how many these were. Raises
    ExportError where they are many.
    """
    declined = got["refused"].ravel()
    if row_set.name == "heldout" and declined.mean() > _MOST_DECLINED:
        raise ExportError(
            f"of {row_set.rows} rows drawn from X {int(declined.sum())} are answered otherwise by the "
            "library itself on another processor or in another batch; use SimpleImputer or "
            "IterativeImputer instead of KNNImputer, and floats instead of integers for LightGBM"
        )
    kept = ~declined
    scores = None if graph_scores is None else graph_scores[kept]
    return keep_rows(row_set, kept), take(got, kept), scores, int(declined.sum())


def _compare(
    judge: Judge, row_set: RowSet, got: Arrays, graph_scores: Array | None, rules: Rules
) -> tuple[Array, int, Array]:
    """Flipped rows, how many more differ only by rounding, and each row's largest difference of a
    number, the decision function's relative to its usual size.
    """
    oracle, signature = judge.oracle, judge.signature
    expected = expected_outputs(oracle, signature, judge.classes, row_set.table)
    flipped, difference = apart_by_target(signature, expected, got)
    if row_set.rows == 0:
        flipped, difference = by_rows(flipped, difference)
        return flipped, 0, difference
    scores = oracle.decisions(row_set.table)
    if scores is not None and judge.gives_decisions and graph_scores is not None:
        size = np.maximum(rules.scale, np.abs(scores))
        with np.errstate(invalid="ignore"):  # where both are infinite
            decided = by_row(relative_difference(scores / size, graph_scores / size))
        largest = [part.max(axis=1, initial=0.0) for part in by_target(signature, decided)]
        difference = np.maximum(difference, np.column_stack(largest))
    elif scores is None:
        proba = signature.output("probabilities")
        scores = None if proba is None else expected[proba.tensor]
    else:
        graph_scores = None
    rows = np.flatnonzero((flipped | (difference > rules.bar)).any(axis=1))
    if not len(rows):
        flipped, difference = by_rows(flipped, difference)
        return flipped, 0, difference
    suspects = Suspects(
        take(row_set.table, rows),
        {name: values[rows] for name, values in expected.items()},
        flipped[rows],
        difference[rows],
        None if scores is None else by_target(signature, scores[rows]),
        None if graph_scores is None else by_target(signature, graph_scores[rows]),
    )
    on_boundary = row_set.name == "ties"
    fine = excused(oracle, signature, judge.classes, suspects, rules, on_boundary=on_boundary)
    if row_set.name == "heldout":
        fine = for_few(fine, suspects, rules, row_set.rows)
    excuse = rows[fine]
    flipped[excuse], difference[excuse] = False, 0.0
    flipped, difference = by_rows(flipped, difference)
    return flipped, len(excuse), difference


def feeds(signature: Signature, row_set: RowSet) -> Arrays:
    names = list(row_set.table)
    if row_set.shuffled:
        names = names[::-1]
    return pack(signature, {name: row_set.table[name] for name in names}, row_set.rows)
