"""The parity gate: the estimator against the graph, on every set of rows, before anything is
written.

The graph runs in a clean process of its own, which holds nothing but the standard library, numpy
and onnxruntime, so that what is proven is what will serve.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxport import runtime
from onnxport.compare import by_row, relative_difference, worst
from onnxport.errors import ExportError, ParityError
from onnxport.export.graph import Array
from onnxport.export.probes import Oracle
from onnxport.export.registry import ROUGH_BAR
from onnxport.export.rows import RowSet, without_overflow
from onnxport.export.sample import Table, rows_of, take
from onnxport.signature import Signature
from onnxport.tensors import Arrays, pack

_TIMEOUT = 600
# Below this, relative to the scores' size, the library's own sums decide by their rounding.
_TIE = 1e-12
_NUDGES = 4
_SEED = 3


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
class _Expected:
    """The estimator's answers to one set of rows, by tensor, and the rows in which its own label
    hangs on rounding.
    """

    outputs: Arrays
    tied: Array | None


@dataclass(frozen=True)
class _Worst:
    """The row that differs most: in which set, where in it, and by how much (infinite for a flipped
    label).
    """

    row_set: RowSet
    index: int
    difference: float


def expected_outputs(oracle: Oracle, signature: Signature, classes: Any, table: Table) -> Arrays:
    """The estimator's answers as the graph's tensors."""
    rows = rows_of(table)
    if rows == 0:
        return _nothing(signature)
    outputs: Arrays = {}
    for output in signature.outputs:
        if output.role == "label_code":
            outputs[output.tensor] = _codes(classes, oracle.predict(table))
        elif output.role == "probabilities":
            outputs[output.tensor] = np.asarray(oracle.call("predict_proba", table), np.float64)
        elif output.role == "value":
            values = np.asarray(oracle.predict(table), dtype=np.float64)
            outputs[output.tensor] = values.reshape(rows, -1)
        else:
            outputs[output.tensor] = np.zeros((rows, 1), dtype=bool)
    return outputs


def _nothing(signature: Signature) -> Arrays:
    """Answers to no rows at all, which scikit-learn refuses and the graph must not."""
    return {
        output.tensor: np.zeros((0,) if output.width is None else (0, output.width))
        for output in signature.outputs
    }


def _codes(classes: Any, labels: Array) -> Array:
    order = {label: code for code, label in enumerate(np.asarray(classes).tolist())}
    return np.array([order[label] for label in np.ravel(labels).tolist()], dtype=np.int64)


def prove(
    content: bytes,
    oracle: Oracle,
    signature: Signature,
    classes: Any,
    row_sets: Sequence[RowSet],
    bar: float,
) -> tuple[Parity, ParityError | None]:
    """Compares on all rows. Returns the certificate, and the error to raise where the graph answers
    differently.
    """
    kept, refused = _answerable(oracle, row_sets)
    scale = _score_scale(oracle, kept[0].table)
    expected = [_ask(oracle, signature, classes, row_set, bar, scale) for row_set in kept]
    answers = run_clean(content, [_feeds(signature, row_set) for row_set in kept])
    flips = ties = 0
    largest, worst_row = 0.0, None
    for row_set, wanted, got in zip(kept, expected, answers, strict=True):
        flipped, tied, difference = _compare(signature, wanted, got)
        flips, ties = flips + int(flipped.sum()), ties + tied
        largest = max(largest, worst(difference))
        difference = np.where(flipped, np.inf, difference)
        if difference.size and (worst_row is None or difference.max() > worst_row.difference):
            worst_row = _Worst(row_set, int(difference.argmax()), float(difference.max()))
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
    return parity, _explain(content, oracle, signature, classes, worst_row, parity)


def _answerable(oracle: Oracle, row_sets: Sequence[RowSet]) -> tuple[list[RowSet], int]:
    """The row sets without the rows that the estimator itself refuses, and how many those were."""
    kept, refused = [], 0
    for row_set in row_sets:
        answered = oracle.answered(row_set.table)
        refused += int((~answered).sum())
        if row_set.rows == 0 or answered.any():
            kept.append(without_overflow(row_set, answered))
    return kept, refused


def _ask(
    oracle: Oracle, signature: Signature, classes: Any, row_set: RowSet, bar: float, scale: float
) -> _Expected:
    outputs = expected_outputs(oracle, signature, classes, row_set.table)
    if not signature.classes or row_set.rows == 0:
        return _Expected(outputs, None)
    table = row_set.table
    margin = _margin(oracle, signature, table, outputs, scale)
    if bar > ROUGH_BAR:  # computed in float32 somewhere
        tied = (margin <= bar) | _wavers(oracle, table, 1e-6)
    elif np.isinf(margin).all() and row_set.name == "ties":
        tied = _wavers(oracle, table, 1e-13)
    else:
        tied = margin <= _TIE
    return _Expected(outputs, tied)


def _scores(oracle: Oracle, table: Table) -> Array | None:
    try:
        return np.asarray(oracle.call("decision_function", table), dtype=np.float64)
    except AttributeError:
        return None


def _score_scale(oracle: Oracle, table: Table) -> float:
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


def _wavers(oracle: Oracle, table: Table, size: float) -> Array:
    """Rows whose label changes when their numbers are nudged by so much of their usual size, to
    either side.
    """
    rng = np.random.default_rng(_SEED)
    labels = oracle.predict(table)
    changed = np.zeros(rows_of(table), dtype=bool)
    for _ in range(_NUDGES):
        nudges = {
            name: rng.normal(0, size * _usual_size(values), len(values))
            for name, values in table.items()
            if values.dtype != object
        }
        for sign in (1, -1):
            nudged = table | {name: table[name] + sign * nudge for name, nudge in nudges.items()}
            if oracle.answers(nudged):
                changed |= oracle.predict(nudged) != labels
    return changed


def _usual_size(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(np.abs(known))) if len(known) else 0.0


def _compare(signature: Signature, wanted: _Expected, got: Arrays) -> tuple[Array, int, Array]:
    """Flipped rows, how many more differ only in a tie, and each row's largest difference of a
    number.
    """
    rows = len(next(iter(wanted.outputs.values())))
    flipped, ties = np.zeros(rows, dtype=bool), 0
    difference = np.zeros(rows)
    for output in signature.outputs:
        expected, found = wanted.outputs[output.tensor], got[output.tensor]
        if output.role in ("label_code", "refused"):
            other = by_row(expected != found).any(axis=1)
            if output.role == "label_code" and wanted.tied is not None:
                ties += int((other & wanted.tied).sum())
                other &= ~wanted.tied
            flipped |= other
        else:
            apart = by_row(relative_difference(expected, found)).max(axis=1, initial=0.0)
            difference = np.maximum(difference, apart)
    return flipped, ties, difference


def _feeds(signature: Signature, row_set: RowSet) -> Arrays:
    names = list(row_set.table)
    if row_set.shuffled:
        names = names[::-1]
    return pack(signature, {name: row_set.table[name] for name in names}, row_set.rows)


def run_clean(content: bytes, feeds: Sequence[Arrays]) -> list[Arrays]:
    """Runs the graph in a clean process: `python -I`, with an import hook that keeps everything
    else out.
    """
    with tempfile.TemporaryDirectory(prefix="onnxport-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(content)
        listed = [_put(folder, index, arrays) for index, arrays in enumerate(feeds)]
        (folder / "feeds.json").write_text(json.dumps(listed), "utf-8")
        command = [sys.executable, "-I", str(Path(runtime.__file__)), name]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, text=True)
        except subprocess.TimeoutExpired as err:
            raise ExportError(
                f"the parity gate's process took over {_TIMEOUT} s; save a smaller model"
            ) from err
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ExportError(
                f"ONNX Runtime {runtime.VERSION} can't run the converted graph: {last[0]}"
            )
        return [_take(folder / f"answers-{index}.npz") for index in range(len(feeds))]


def _put(folder: Path, index: int, arrays: Arrays) -> dict[str, Any]:
    """Numbers as .npy files; strings as JSON, which keeps every character."""
    listed: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.dtype == object:
            listed[name] = array.ravel().tolist()
        else:
            listed[name] = f"{index}-{name}.npy"
            np.save(folder / listed[name], array)
    return listed


def _take(path: Path) -> Arrays:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _explain(
    content: bytes,
    oracle: Oracle,
    signature: Signature,
    classes: Any,
    found: _Worst,
    parity: Parity,
) -> ParityError:
    """The error with the worst row, both answers, and the column that matters."""
    table = take(found.row_set.table, [found.index])
    expected = expected_outputs(oracle, signature, classes, table)
    got = run_clean(content, [_feeds(signature, RowSet("worst", table))])[0]
    row = {name: values.tolist()[0] for name, values in table.items()}
    column = _column_that_matters(content, oracle, signature, classes, found)
    wanted, given = _spoken(signature, expected), _spoken(signature, got)
    matters = f", where {column!r} = {row[column]!r} matters most" if column else ""
    message = (
        f"the converted graph answers differently from the estimator: {parity.label_flips} label flips in "
        f"{parity.rows} rows, worst difference {parity.max_abs:.3g} (allowed {parity.tolerance:g}). "
        f"Worst row, of the set {found.row_set.name!r}{matters}: {_shown(row)}; the estimator says {wanted}, "
        f"the graph {given}. Nothing was written. {_advice(parity)}"
    )
    return ParityError(
        message, row=row, row_set=found.row_set.name, column=column, expected=wanted, got=given
    )


def _advice(parity: Parity) -> str:
    if parity.tolerance > ROUGH_BAR:
        return (
            "ONNX Runtime computes this family in float32: scale the features first, "
            "for example with StandardScaler"
        )
    return "Please report the estimator's class and parameters: this should convert exactly"


def _column_that_matters(
    content: bytes, oracle: Oracle, signature: Signature, classes: Any, found: _Worst
) -> str | None:
    """The feature whose replacement by a usual value makes most of the difference go away."""
    base = found.row_set.table
    rows = [
        {
            name: take(base, [found.index])[name] if name != changed else _usual(base[name])
            for name in base
        }
        for changed in base
    ]
    tables = [row for row in rows if oracle.answers(row)]
    names = [name for name, row in zip(base, rows, strict=True) if oracle.answers(row)]
    if not tables:
        return None
    answers = run_clean(content, [_feeds(signature, RowSet("probe", t)) for t in tables])
    left = []
    for table, got in zip(tables, answers, strict=True):
        wanted = _Expected(expected_outputs(oracle, signature, classes, table), None)
        flipped, _, difference = _compare(signature, wanted, got)
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
    code, proba = signature.output("label_code"), signature.output("probabilities")
    if code is None:
        value = signature.output("value")
        told = outputs[value.tensor][0].tolist() if value else []
        return repr(told[0] if len(told) == 1 else told)
    label = repr(signature.classes[int(outputs[code.tensor][0])])
    return label if proba is None else f"{label} with {outputs[proba.tensor][0].tolist()}"


def _shown(row: dict[str, Any]) -> str:
    parts = [f"{name}={value!r}" for name, value in list(row.items())[:12]]
    return ", ".join(parts) + (", …" if len(row) > 12 else "")
