"""What the estimator answers and what it refuses, found by trying it, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from onnxport.errors import ExportError
from onnxport.export.graph import Array
from onnxport.export.oracle import Oracle
from onnxport.export.rows import UNSEEN
from onnxport.export.sample import Sample, Table, take
from onnxport.signature import Feature

_ROWS_WITH_NULL = 32
_BEYOND_FLOAT32, _WITHIN_FLOAT32 = 1e39, 3.4e38


def check_nulls(estimator: Any, sample: Sample) -> None:
    """Refuses a column with several spellings of null that the estimator tells apart: a request
    has only one.
    """
    for column in sample.used:
        answers = [_answers_to_null(estimator, sample, column.name, n) for n in column.nulls]
        if any(answer is None or not np.array_equal(answer, answers[0]) for answer in answers[1:]):
            listed = " and ".join(repr(null) for null in column.nulls)
            raise ExportError(
                f"the column {column.name!r} holds {listed}, which the estimator tells apart, and "
                "the API knows only one null; use one of them in training and in X"
            )


def _answers_to_null(estimator: Any, sample: Sample, name: str, null: Any) -> Any:
    """What it answers to a few rows with this null in this column, or None where it refuses them."""
    columns = tuple(replace(c, null=null) if c.name == name else c for c in sample.columns)
    oracle = Oracle(estimator, replace(sample, columns=columns))
    table = take(sample.table(), np.arange(min(sample.rows, _ROWS_WITH_NULL)))
    table[name] = np.full_like(table[name], None if table[name].dtype == object else np.nan)
    try:
        if hasattr(estimator, "predict_proba"):
            return np.asarray(oracle.call("predict_proba", table))
        return oracle.predict(table)
    except Exception:  # an estimator may refuse with any exception
        return None


def probe(
    oracle: Oracle,
    sample: Table,
    features: Sequence[Feature],
    categories: Mapping[str, set[Any]],
) -> list[Feature]:
    """The features with what the estimator was seen to accept in each.

    sample: rows that it answers. categories: by feature, what encoders were fitted with.
    """
    base = take(sample, [0])
    nullable = _answers(oracle, base, {f: None if f.is_string else np.nan for f in features})
    unseen = _answers(oracle, base, _unseen(features, categories, far=True))
    near = _answers(oracle, base, _unseen(features, categories, far=False))
    numbers = [f for f in features if not f.is_string and f.kind != "boolean"]
    beyond = _answers(oracle, base, dict.fromkeys(numbers, _BEYOND_FLOAT32))
    large = [f for f in numbers if not beyond[f.name]]
    within = _answers(oracle, base, dict.fromkeys(large, _WITHIN_FLOAT32))
    above = _answers(oracle, base, dict.fromkeys(numbers, np.inf))
    infinite = [f for f in numbers if above[f.name]]
    below = _answers(oracle, base, dict.fromkeys(infinite, -np.inf))
    probed = []
    for feature in features:
        name = feature.name
        found = replace(
            feature,
            nullable=nullable[name],
            refuses_unknown=not (unseen.get(name, True) or near.get(name, True)),
        )
        if found.refuses_unknown:
            found = replace(found, categories=_accepted(oracle, base, sample, found, categories))
        elif name in beyond:
            overflow = "float32" if within.get(name) else None
            found = replace(found, overflow=overflow, infinite=below.get(name, False))
        probed.append(found)
    return probed


def _unseen(
    features: Sequence[Feature], categories: Mapping[str, set[Any]], *, far: bool
) -> dict[Feature, Any]:
    """A value that nobody saw; numbers are categories only where an encoder was fitted on them. far:
    beyond all of them, which a small integer dtype may not hold; else the first that is free.
    """
    values: dict[Feature, Any] = {f: UNSEEN for f in features if f.is_string}
    for feature in features:
        known = {float(v) for v in categories.get(feature.name, ()) if not feature.is_string}
        if known and feature.kind != "boolean":
            free = (float(n) for n in count(int(min(known))) if n not in known)
            values[feature] = max(known) + 12345.0 if far else next(free)
        elif known and not {0.0, 1.0} <= known:
            values[feature] = 0.0 if 1.0 in known else 1.0
    return values


def _answers(oracle: Oracle, base: Table, values: Mapping[Feature, Any]) -> dict[str, bool]:
    """By feature, whether the row `base` is answered with this value in it."""
    table = {name: np.repeat(column, len(values)) for name, column in base.items()}
    for row, (feature, value) in enumerate(values.items()):
        table[feature.name][row] = value
    answered = oracle.answered(table) if values else np.array([])
    return {f.name: bool(ok) for f, ok in zip(values, answered, strict=True)}


def _accepted(
    oracle: Oracle,
    base: Table,
    sample: Table,
    feature: Feature,
    categories: Mapping[str, set[Any]],
) -> tuple[Any, ...]:
    """The categories that it answers, in order: of those that encoders know and the sample holds."""
    seen = {v for v in sample[feature.name].tolist() if v is not None and v == v}
    values = sorted(seen | {_plain(feature, v) for v in categories.get(feature.name, set())})
    table = {name: np.repeat(column, len(values)) for name, column in base.items()}
    table[feature.name] = _column(feature, values)
    kept = [v for v, ok in zip(values, oracle.answered(table), strict=True) if ok]
    return tuple(_category(feature, value) for value in kept)


def _plain(feature: Feature, value: Any) -> Any:
    return str(value) if feature.is_string else float(value)


def _column(feature: Feature, values: Sequence[Any]) -> Array:
    column = np.empty(len(values), dtype=object if feature.is_string else np.float64)
    column[:] = values
    return column


def _category(feature: Feature, value: Any) -> Any:
    if feature.is_string:
        return str(value)
    if feature.kind == "boolean":
        return bool(value)
    return int(value) if feature.kind == "integer" else float(value)
