"""What the estimator answers and what it refuses, found by trying it, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onnxport.export.graph import Array
from onnxport.export.oracle import Oracle
from onnxport.export.rows import UNSEEN
from onnxport.export.sample import Table, take
from onnxport.signature import Feature

_BEYOND_FLOAT32, _WITHIN_FLOAT32 = 1e39, 3.4e38


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
    unseen = _answers(oracle, base, _unseen(features, categories))
    numbers = [f for f in features if not f.is_string and f.kind != "boolean"]
    beyond = _answers(oracle, base, dict.fromkeys(numbers, _BEYOND_FLOAT32))
    within = _answers(oracle, base, dict.fromkeys(numbers, _WITHIN_FLOAT32))
    above = _answers(oracle, base, dict.fromkeys(numbers, np.inf))
    below = _answers(oracle, base, dict.fromkeys(numbers, -np.inf))
    probed = []
    for feature in features:
        name = feature.name
        found = replace(
            feature, nullable=nullable[name], refuses_unknown=not unseen.get(name, True)
        )
        if found.refuses_unknown:
            found = replace(found, categories=_accepted(oracle, base, sample, found, categories))
        elif name in beyond:
            overflow = "float32" if within[name] and not beyond[name] else None
            found = replace(found, overflow=overflow, infinite=above[name] and below[name])
        probed.append(found)
    return probed


def _unseen(features: Sequence[Feature], categories: Mapping[str, set[Any]]) -> dict[Feature, Any]:
    """A value that nobody saw; numbers are categories only where an encoder was fitted on them."""
    values: dict[Feature, Any] = {f: UNSEEN for f in features if f.is_string}
    for feature in features:
        known = categories.get(feature.name)
        if known and not feature.is_string and feature.kind != "boolean":
            values[feature] = max(float(value) for value in known) + 12345.0
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
    return int(value) if feature.kind == "integer" else float(value)
