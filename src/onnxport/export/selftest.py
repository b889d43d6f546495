"""The rows that a file carries to prove itself: synthetic by default, each column drawn on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxport.compare import by_row
from onnxport.errors import ExportError
from onnxport.export.clean_run import run_clean
from onnxport.export.graph import Array
from onnxport.export.learned import Learned
from onnxport.export.oracle import apart, expected_outputs
from onnxport.export.parity import Judge, Parity, prove
from onnxport.export.rows import RowSet, redrawn
from onnxport.export.sample import (
    Sample,
    SampleColumn,
    Table,
    read_sample,
    read_texts,
    rows_of,
    take,
)
from onnxport.export.texts import common_words, recombined
from onnxport.manifest import CAPS, SELFTEST_KEY, SelfTest
from onnxport.signature import Feature, Signature
from onnxport.tensors import Arrays, pack

ROWS = 32
_SEED = 32
_STRINGS = Learned(frozenset({""}))
_MIN_TOLERANCE = 1e-6  # other processors and releases round differently


def make_selftest(
    judge: Judge, sample: Sample, parity: Parity, sample_rows: Any, redact: Sequence[str]
) -> SelfTest:
    """At most 32 rows with the estimator's answers (the graph's own where a mismatch was accepted)."""
    signature = judge.signature
    if sample_rows is None:
        table = _draw(sample, signature, redact)
    else:
        table = _given(sample, sample_rows)
    answered = np.flatnonzero(judge.oracle.answered(table))[:ROWS]
    if not len(answered):
        raise ExportError(
            "the estimator refuses every row that could test the file; pass rows that it answers as sample_rows="
        )
    table = take(table, answered)
    if parity.accepted_mismatch:
        outputs = run_clean(judge.content, [pack(signature, table, rows_of(table))])[0]
    else:
        outputs = expected_outputs(judge.oracle, signature, judge.classes, table)
    tolerance = max(parity.tolerance, _MIN_TOLERANCE)
    if (parity.ties or judge.declines) and not parity.accepted_mismatch:
        steady = np.flatnonzero(_steady(judge, table, outputs, tolerance))
        table, outputs = take(table, steady), take(outputs, steady)
    return _fitting(signature, table, outputs, tolerance)


def _steady(judge: Judge, table: Table, outputs: Arrays, tolerance: float) -> Array:
    """Rows in which the estimator's answer doesn't hang on rounding, bool [rows]: those where the
    graph agrees, or all where the gate doesn't excuse the others.
    """
    got = run_clean(judge.content, [pack(judge.signature, table, rows_of(table))])[0]
    flipped, difference = apart(judge.signature, outputs, got)
    same: Array = ~flipped & (difference <= tolerance)
    if same.all() or prove(judge, [RowSet("selftest", table)])[1] is not None:
        return np.ones(len(same), dtype=bool)
    return same


def _given(sample: Sample, sample_rows: Any) -> Table:
    """The first of the caller's rows, read like X."""
    try:
        read = _read_like(sample, sample_rows)
    except ExportError as err:
        raise ExportError(f"sample_rows=: {err}") from err
    return take(read.table(), np.arange(min(read.rows, 4 * ROWS)))


def _read_like(sample: Sample, sample_rows: Any) -> Sample:
    if sample.flat:
        return read_texts(sample_rows, [sample.columns[0].name])
    return read_sample(
        sample_rows,
        [column.name for column in sample.columns],
        as_frame=sample.as_frame,
        used=np.array([column.used for column in sample.columns]),
        known={i: _STRINGS for i, column in enumerate(sample.columns) if column.is_string},
    )


def _draw(sample: Sample, signature: Signature, redact: Sequence[str]) -> Table:
    """Each column by itself: no row of it is a row of X. The last rows hold nulls where they may."""
    rng = np.random.default_rng(_SEED)
    table = {}
    for column in sample.used:
        feature = signature.by_name[column.name]
        if feature.refuses_unknown:
            values = _some(feature.categories or (), column, rng)
        elif column.name in redact:
            values = _some(("redacted",), column, rng) if column.is_string else np.zeros(ROWS)
        elif column.kind == "text":
            values = recombined(common_words(column.values), ROWS, rng)
        elif column.is_string or column.kind == "boolean":
            known = [v for v in column.values.tolist() if v is not None and v == v]
            values = _some(sorted(set(known)), column, rng)
        else:
            values = redrawn(column.values, ROWS, rng, _digits(column))
        table[column.name] = _with_nulls(feature, values, rng)
    return table


def _some(choices: Sequence[Any], column: SampleColumn, rng: np.random.Generator) -> Array:
    values = np.empty(ROWS, dtype=object if column.is_string else np.float64)
    if choices:
        values[:] = [choices[i] for i in rng.integers(len(choices), size=ROWS)]
    else:
        values[:] = None if column.is_string else 0
    return values


def _with_nulls(feature: Feature, values: Array, rng: np.random.Generator) -> Array:
    if feature.nullable:
        last = np.arange(ROWS * 3 // 4, ROWS)
        values[last[rng.random(len(last)) < 0.5]] = None if feature.is_string else np.nan
    return values


def _digits(column: SampleColumn) -> int:
    """As many decimals as the column itself uses, at most 6."""
    known = column.values[np.isfinite(column.values)][:100]
    if column.kind == "integer":
        return 0
    return next((d for d in range(6) if bool((np.round(known, d) == known).all())), 6)


def _fitting(signature: Signature, table: Table, outputs: Arrays, tolerance: float) -> SelfTest:
    """As many rows as stay under the cap, at least one; rows with infinite answers stay out, JSON
    has none.
    """
    finite = np.ones(rows_of(table), dtype=bool)
    for values in outputs.values():
        finite &= by_row(np.isfinite(values.astype(np.float64))).all(axis=1)
    indices = np.flatnonzero(finite)
    while len(indices):
        made = SelfTest(
            {f.name: _listed(f, table[f.name][indices]) for f in signature.features},
            {name: values[indices].tolist() for name, values in outputs.items()},
            tolerance,
        )
        if len(made.to_json().encode()) <= CAPS[SELFTEST_KEY]:
            return made
        indices = indices[: len(indices) // 2]
    raise ExportError(
        "no row with finite answers fits into the file's self-test; pass sample_rows="
    )


def _listed(feature: Feature, values: Array) -> list[Any]:
    """A column as JSON: null for NaN, whole numbers for integers, true and false for booleans."""
    convert: Any = {"integer": _integer, "boolean": bool}.get(feature.kind, lambda v: v)
    return [None if v is None or v != v else convert(v) for v in values.tolist()]


def _integer(value: float) -> int | float:
    return int(value) if value.is_integer() else value
