"""A ParityError for people: the worst row, both answers, and the step and the column that matter."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxport.codec import answer_rows
from onnxport.errors import ParityError, shorten
from onnxport.export.clean_run import run_clean
from onnxport.export.convert import Conversion
from onnxport.export.departure import find_departure
from onnxport.export.graph import Array
from onnxport.export.oracle import apart, expected_outputs
from onnxport.export.parity import Judge, Parity, Worst, feeds
from onnxport.export.registry import ROUGH_BAR
from onnxport.export.rows import RowSet
from onnxport.export.sample import rows_of, take
from onnxport.signature import Signature
from onnxport.tensors import Arrays

_NUDGE, _NUDGES = 1e-9, 16
_SEED = 11


def explain(judge: Judge, conversion: Conversion, found: Worst, parity: Parity) -> ParityError:
    """The error with the worst row, both answers, the step where they part, and the column that
    matters.
    """
    table = take(found.row_set.table, [found.index])
    expected = expected_outputs(judge.oracle, judge.signature, judge.classes, table)
    got = run_clean(judge.content, [feeds(judge.signature, RowSet("worst", table))])[0]
    row = {name: values.tolist()[0] for name, values in table.items()}
    column = _column_that_matters(judge, found)
    departure = find_departure(judge, conversion, table)
    wanted, given = _spoken(judge.signature, expected), _spoken(judge.signature, got)
    matters = f", where {column!r} = {shorten(repr(row[column]))} matters most" if column else ""
    message = (
        f"the converted graph answers differently from the estimator: {parity.label_flips} label flips in "
        f"{parity.rows} rows, worst difference {parity.max_abs:.3g} (allowed {parity.tolerance:g}). "
        f"Worst row, of the set {found.row_set.name!r}{matters}: {_shown(row)}; the estimator says {wanted}, "
        f"the graph {given}. {departure.sentence} Nothing was written. {_advice(judge, found, parity)}"
    )
    return ParityError(
        message,
        row=row,
        row_set=found.row_set.name,
        column=column,
        step=departure.step,
        expected=wanted,
        got=given,
    )


def _advice(judge: Judge, found: Worst, parity: Parity) -> str:
    noise = _own_noise(judge, found)
    if noise > max(parity.tolerance, 1000 * _NUDGE):
        return (
            f"The estimator's own answer to this row moves by {noise:.2g} when its numbers change in "
            "their 9th digit, so rounding decides it and no conversion can be held to it: regularize "
            "the estimator (a larger alpha, reg_param, reg_covar, ...), scale the features, leave out "
            "columns that repeat others, or set algorithm='kd_tree' where neighbours are searched"
        )
    if parity.tolerance > ROUGH_BAR:
        return (
            "A part of this estimator is computed in float32, where large numbers are coarse, or by an "
            "isotonic calibration so steep that it turns the last digits of a score into a probability: "
            "scale the features first, for example with StandardScaler, train on float64, and calibrate "
            "with method='sigmoid'"
        )
    return (
        "This should convert exactly, so it is a defect of onnxport: please report the estimator's class "
        "and parameters. Until then, another class of docs/reference/estimators.md does"
    )


def _own_noise(judge: Judge, found: Worst) -> float:
    """How far the estimator's numbers for the worst row move, relative to max(1, |answer|), when its
    numbers are nudged by 1e-9 of their column's spread: about as much where the problem is well
    posed. Models that jump at split points have no such measure.
    """
    if judge.strict:
        return 0.0
    rng = np.random.default_rng(_SEED)
    table = take(found.row_set.table, np.full(_NUDGES + 1, found.index))
    for name, values in found.row_set.table.items():
        if values.dtype != object:
            known = values[np.isfinite(values)]
            spread = float(known.std()) if len(known) else 0.0
            nudges = rng.normal(0, _NUDGE * spread, _NUDGES + 1)
            table[name] = table[name] + np.concatenate([[0.0], nudges[1:]])
    table = take(table, judge.oracle.answered(table))
    rows = rows_of(table)
    if rows < 2:
        return 0.0
    answers = expected_outputs(judge.oracle, judge.signature, judge.classes, table)
    first = {name: np.repeat(values[:1], rows, axis=0) for name, values in answers.items()}
    return float(apart(judge.signature, first, answers)[1].max())


def _column_that_matters(judge: Judge, found: Worst) -> str | None:
    """The feature whose replacement by a usual value makes most of the difference go away."""
    base = found.row_set.table
    rows = [
        {
            name: take(base, [found.index])[name] if name != changed else _usual(base[name])
            for name in base
        }
        for changed in base
    ]
    tables = [row for row in rows if judge.oracle.answers(row)]
    names = [name for name, row in zip(base, rows, strict=True) if judge.oracle.answers(row)]
    if not tables:
        return None
    answers = run_clean(judge.content, [feeds(judge.signature, RowSet("probe", t)) for t in tables])
    left = []
    for table, got in zip(tables, answers, strict=True):
        wanted = expected_outputs(judge.oracle, judge.signature, judge.classes, table)
        flipped, difference = apart(judge.signature, wanted, got)
        left.append(float("inf") if flipped[0] else float(difference[0]))
    best = int(np.argmin(left))
    return names[best] if left[best] < found.difference else None


def _usual(values: Array) -> Array:
    """A value from the middle of a column, as an array of one."""
    if values.dtype == object:
        known = sorted(value for value in values.tolist() if value is not None)
        return np.array([known[len(known) // 2]] if known else [None], dtype=object)
    known_numbers = np.sort(values[np.isfinite(values)])
    return known_numbers[len(known_numbers) // 2 :][:1] if len(known_numbers) else values[:1]


def _spoken(signature: Signature, outputs: Arrays) -> str:
    """An answer in words."""
    answer = answer_rows(signature, outputs)[0]
    label = repr(answer.get("prediction", answer.get("output")))
    if "score" in answer:
        return f"{label} with the score {answer['score']!r}"
    proba = signature.output("probabilities")
    return label if proba is None else f"{label} with {outputs[proba.tensor][0].tolist()}"


def _shown(row: dict[str, Any]) -> str:
    parts = [f"{name}={shorten(repr(value))}" for name, value in list(row.items())[:12]]
    return ", ".join(parts) + (", …" if len(row) > 12 else "")
