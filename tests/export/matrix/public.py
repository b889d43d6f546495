"""The same cases through plain skl2onnx, as its own documentation advises, judged on the same rows; boosters through
onnxmltools, or CatBoost's own export.

Three ways are tried, and the best one counts: all numbers as float64, all as float32, and the data's
own types. Boosters take a matrix of float32.
Batches of no rows are left out, which many of these graphs can't answer.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)

from onnxport.compare import relative_difference, worst
from onnxport.export import saving
from onnxport.export.oracle import Oracle, expected_outputs
from onnxport.export.parity import Judge, _answerable, _compare, _scale
from onnxport.export.rows import RowSet, row_sets
from onnxport.export.sample import Sample, read_sample
from onnxport.export.subject import as_predicted, read_subject
from onnxport.export.targets import name_targets
from onnxport.export.ties import Rules
from onnxport.tensors import Arrays
from tests.export.matrix.public_boosters import (
    ask_booster,
    ask_treelite,
    booster_session,
    is_booster,
)
from tests.export.matrix.trial import Fitted

OPSET = {"": 21, "ai.onnx.ml": 3}
MILD_BAR = 1e-5  # what float32 can be expected to keep
_TYPES = {
    "float32": FloatTensorType,
    "float64": DoubleTensorType,
    "int64": Int64TensorType,
    "bool": BooleanTensorType,
    "object": StringTensorType,
}


@dataclass(frozen=True)
class Verdict:
    """How plain skl2onnx does. error: why there is no answer. flips: rows with another label.
    difference: the largest one of a number.
    """

    bar: float
    error: str = ""
    flips: int = 0
    difference: float = 0.0

    @property
    def passes(self) -> bool:
        return not self.error and not self.flips and self.difference <= self.bar

    @property
    def passes_mildly(self) -> bool:
        return not self.error and not self.flips and self.difference <= max(self.bar, MILD_BAR)

    def __str__(self) -> str:
        if self.error:
            return f"error: {self.error}"
        if self.flips:
            return f"{self.flips} wrong labels"
        return "passes" if self.passes else f"numbers differ by {self.difference:.1g}"


@dataclass(frozen=True)
class _Court:
    """The gate's judge and rows, for graphs of others."""

    judge: Judge
    sample: Sample
    sets: list[RowSet]


def try_public(fitted: Fitted) -> Verdict:
    """The best of the three ways."""
    court = _convene(fitted)
    verdicts: list[Verdict] = []
    for way in ("float32",) if is_booster(fitted.estimator) else ("float64", "float32", None):
        verdicts.append(_try(fitted, court, way))
        if verdicts[-1].passes:
            break
    return min(verdicts, key=lambda v: (bool(v.error), v.flips, v.difference))


def _convene(fitted: Fitted) -> _Court:
    subject = read_subject(fitted.estimator, None)
    sample, conversion = saving._convert(subject, fitted.seen, None)
    oracle = Oracle(fitted.estimator, sample)
    subject = as_predicted(subject, saving._check_answers(oracle, sample, subject), None)
    targets = name_targets(subject, sample, saving._width(conversion), None, ())
    signature = saving._signature(subject, sample, conversion, oracle, (), {}, targets)
    sets = list(row_sets(sample, signature, conversion.emission.splits, oracle))
    fresh = read_sample(fitted.fresh, subject.names, as_frame=sample.as_frame, used=subject.used)
    judge = replace(saving._judge(subject, signature, conversion, oracle), judged=None)
    kept = [row_set for row_set in _answerable(oracle, sets)[0] if row_set.rows]
    return _Court(judge, sample, [*kept, RowSet("fresh", fresh.table())])


def _try(fitted: Fitted, court: _Court, way: str | None) -> Verdict:
    judge, bar = court.judge, court.judge.bar
    rules = Rules(bar, _scale(judge.oracle, court.sets[0].table), judge.strict, judge.jumpy)
    flips, largest = 0, 0.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            session = _session(fitted, way)
            for row_set in court.sets:
                got = _answers(session, court, row_set, way)
                proba = judge.signature.output("probabilities")
                scores = None if proba is None else got[proba.tensor]
                flipped, _, difference = _compare(judge, row_set, got, scores, rules)
                flips, largest = flips + int(flipped.sum()), max(largest, worst(difference))
        except Exception as err:  # skl2onnx and ONNX Runtime raise anything
            told = (str(err).strip().splitlines() or [""])[0]
            return Verdict(bar, error=f"{type(err).__name__}: {told[:90]}")
    return Verdict(bar, flips=flips, difference=largest)


def _session(fitted: Fitted, way: str | None) -> Any:
    model = fitted.estimator
    if is_booster(model):
        return booster_session(model, fitted.seen)
    columns = _columns(fitted.seen, way)
    types = [(name, _TYPES[str(part.dtype)]([None, part.shape[1]])) for name, part in columns]
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    graph = to_onnx(model, initial_types=types, options=options, target_opset=OPSET)
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def _columns(X: Any, way: str | None) -> list[tuple[str, Any]]:
    """X as skl2onnx is given it: one matrix where all is of one type, else a column each."""
    if not isinstance(X, pd.DataFrame):
        return [("X", X.astype(way) if way else X)]
    parts = [(str(name), _plain(X[name], way)) for name in X.columns]
    if len({part.dtype for _, part in parts}) == 1 and parts[0][1].dtype != object:
        return [("X", np.hstack([part for _, part in parts]))]
    return parts


def _plain(column: Any, way: str | None) -> Any:
    """One column [N, 1] of a type that ONNX has."""
    if pd.api.types.is_bool_dtype(column.dtype):
        values = column.to_numpy(bool)
    elif pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(way)
        values = values if values.dtype.kind == "f" else values.astype(np.int64)
    else:
        values = np.array([None if v != v else v for v in column], dtype=object)
    return values.reshape(-1, 1)


def _answers(session: Any, court: _Court, row_set: RowSet, way: str | None) -> Arrays:
    """What the graph answers, in the terms of the gate. Inputs go by their order, since skl2onnx
    renames some.
    """
    X = court.sample.restore(row_set.table)
    if is_booster(court.judge.oracle.subject(row_set.table)[0]):
        return _in_our_terms(ask_booster(session, X), court.judge, row_set.rows)
    columns = _columns(X, way)
    kinds = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8"}
    feeds = {
        known.name: part.astype(kinds.get(known.type, part.dtype))
        for known, (_, part) in zip(session.get_inputs(), columns, strict=True)
    }
    return _in_our_terms(session.run(None, feeds), court.judge, row_set.rows)


def try_treelite(fitted: Fitted) -> Verdict:
    """treelite's reference evaluator on the same rows: numbers only."""
    court = _convene(fitted)
    judge, largest = court.judge, 0.0
    role = "probabilities" if judge.classes else "value"
    output = next(o for o in judge.signature.outputs if o.role == role)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for row_set in court.sets:
            wanted = expected_outputs(judge.oracle, judge.signature, judge.classes, row_set.table)
            try:
                got = ask_treelite(fitted.estimator, court.sample.restore(row_set.table))
            except Exception as err:  # treelite raises anything
                told = (str(err).strip().splitlines() or [""])[-1]
                return Verdict(judge.bar, error=f"{type(err).__name__}: {told[:90]}")
            if role == "probabilities" and got.shape[1] == 1:
                got = np.hstack([1 - got, got])
            largest = max(largest, worst(relative_difference(wanted[output.tensor], got)))
    return Verdict(judge.bar, difference=largest)


def _in_our_terms(given: list[Any], judge: Judge, rows: int) -> Arrays:
    got: Arrays = {}
    for output in judge.signature.outputs:
        if output.role == "label_code":
            labels = np.asarray(given[0]).reshape(rows, len(judge.classes)).T.tolist()
            codes = [
                [{_key(k): i for i, k in enumerate(classes.tolist())}.get(_key(v), -1) for v in row]
                for classes, row in zip(judge.classes, labels, strict=True)
            ]
            code = np.array(codes, dtype=np.int64).reshape(len(codes), rows).T
            got[output.tensor] = code[:, 0] if output.width is None else code
        elif output.role == "probabilities":
            shares = given[1] if isinstance(given[1], list) else np.asarray(given[1])
            shares = np.concatenate(list(shares), axis=1) if np.ndim(shares) == 3 else shares
            got[output.tensor] = np.asarray(shares, np.float64).reshape(rows, output.width or 1)
        elif output.role == "refused":
            got[output.tensor] = np.zeros((rows, 1), dtype=bool)
        else:
            got[output.tensor] = np.asarray(given[0], np.float64).reshape(rows, output.width or 1)
    return got


def _key(label: Any) -> str:
    """Booleans come out as integers."""
    return str(int(label)) if isinstance(label, bool) else str(label)
