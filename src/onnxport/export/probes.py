"""What the estimator answers and what it refuses, found by trying it, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from onnxport.export.oracle import Oracle
from onnxport.export.rows import UNSEEN
from onnxport.export.sample import Table, rows_of, take
from onnxport.signature import Feature

_PROBE_ROWS = 4
_BEYOND_FLOAT32, _WITHIN_FLOAT32 = 1e39, 3.4e38


def probe(
    oracle: Oracle, base: Table, feature: Feature, candidates: Mapping[str, set[Any]]
) -> Feature:
    """The feature with what the estimator was seen to accept in it.

    base: rows that it answers. candidates: categories by feature that an encoder was fitted with.
    """
    few = take(base, np.arange(min(_PROBE_ROWS, rows_of(base))))
    if feature.is_string:
        nullable = _answers(oracle, few, feature, None)
        unknown = not _answers(oracle, few, feature, UNSEEN)
    else:
        nullable = _answers(oracle, few, feature, np.nan)
        unknown = feature.kind != "boolean" and _refuses_unseen(oracle, few, feature, candidates)
    feature = replace(feature, nullable=nullable, refuses_unknown=unknown)
    if unknown:
        return replace(feature, categories=_accepted(oracle, few, feature, candidates))
    if feature.is_string or feature.kind == "boolean":
        return feature
    overflow = not _answers(oracle, few, feature, _BEYOND_FLOAT32) and _answers(
        oracle, few, feature, _WITHIN_FLOAT32
    )
    infinite = _answers(oracle, few, feature, np.inf) and _answers(oracle, few, feature, -np.inf)
    return replace(feature, overflow="float32" if overflow else None, infinite=infinite)


def _answers(oracle: Oracle, base: Table, feature: Feature, value: Any) -> bool:
    column = np.empty(rows_of(base), dtype=object if feature.is_string else np.float64)
    column[:] = value
    return oracle.answers({**base, feature.name: column})


def _refuses_unseen(
    oracle: Oracle, base: Table, feature: Feature, candidates: Mapping[str, set[Any]]
) -> bool:
    """Numbers are categories only where an encoder was fitted on them."""
    known = candidates.get(feature.name)
    if not known:
        return False
    unseen = max(float(value) for value in known) + 12345.0
    return not _answers(oracle, base, feature, unseen)


def _accepted(
    oracle: Oracle, base: Table, feature: Feature, candidates: Mapping[str, set[Any]]
) -> tuple[Any, ...]:
    """The categories that it answers, in order."""
    seen = {value for value in base[feature.name] if value is not None and value == value}
    values = sorted(candidates.get(feature.name, set()) | seen)
    one = take(base, [0])
    table = {name: np.repeat(column, len(values)) for name, column in one.items()}
    column = np.empty(len(values), dtype=table[feature.name].dtype)
    column[:] = values
    answered = oracle.answered({**table, feature.name: column})
    kept = [value for value, ok in zip(values, answered, strict=True) if ok]
    return tuple(_category(feature, value) for value in kept)


def _category(feature: Feature, value: Any) -> Any:
    if feature.is_string:
        return str(value)
    return int(value) if feature.kind == "integer" else float(value)
