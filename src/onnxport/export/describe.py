"""Features as the sample and the caller describe them, before the estimator is tried."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxport.errors import ExportError
from onnxport.export.sample import Sample, SampleColumn
from onnxport.signature import NULL_TOKEN, Feature

_NOTE_KEYS = ("description", "unit")


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """`features=` read: names for an array's columns, or notes by feature name."""

    names: tuple[str, ...] | None
    notes: Mapping[str, Mapping[str, str]]


def read_feature_options(features: Any) -> FeatureOptions:
    """Reads `features=`. Raises ExportError for what is neither a list of names nor a mapping of
    notes.
    """
    if features is None:
        return FeatureOptions(None, {})
    if isinstance(features, Mapping):
        for name, note in features.items():
            if not isinstance(note, Mapping) or not all(isinstance(v, str) for v in note.values()):
                raise ExportError(f"features[{name!r}] takes {{description, unit}} as strings")
            wrong = [key for key in note if key not in _NOTE_KEYS]
            if wrong:
                raise ExportError(
                    f"features[{name!r}] has the key {wrong[0]!r}; it takes description and unit"
                )
        return FeatureOptions(None, features)
    if isinstance(features, str) or not isinstance(features, Iterable):
        raise ExportError("features= takes a list of names, or {name: {description, unit}}")
    names = tuple(features)
    if not all(isinstance(name, str) for name in names):
        raise ExportError("features= takes a list of names, or {name: {description, unit}}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ExportError(f"features= holds the name {twice!r} twice")
    return FeatureOptions(names, {})


def describe_features(
    sample: Sample,
    places: Mapping[str, tuple[str, int]],
    redact: Sequence[str],
    notes: Mapping[str, Mapping[str, str]],
) -> list[Feature]:
    """One feature for each used column, with ranges and categories where they may be told."""
    known = [column.name for column in sample.used]
    for name in (*redact, *notes):
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            listed = ", ".join(repr(each) for each in known[:10]) + (", …" if known[10:] else "")
            hint = f"did you mean {near[0]!r}?" if near else f"the features are {listed}"
            raise ExportError(f"there is no feature {name!r}; {hint}")
    return [
        _feature(column, places[column.name], sample.real and column.name not in redact, notes)
        for column in sample.used
    ]


def _feature(
    column: SampleColumn,
    place: tuple[str, int],
    telling: bool,
    notes: Mapping[str, Mapping[str, str]],
) -> Feature:
    _check_name(column.name)
    low, high = _range(column) if telling else (None, None)
    note = notes.get(column.name, {})
    return Feature(
        name=column.name,
        kind=column.kind,
        dtype=column.dtype,
        tensor=place[0],
        column=place[1],
        categories=_categories(column) if telling else None,
        minimum=low,
        maximum=high,
        unit=note.get("unit"),
        description=note.get("description"),
    )


def _check_name(name: str) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as err:
        raise ExportError(f"the column name {name!r} is no valid Unicode; rename it") from err


def _range(column: SampleColumn) -> tuple[float | None, float | None]:
    if column.is_string or column.kind == "boolean":
        return None, None
    known = column.values[np.isfinite(column.values)]
    return (float(known.min()), float(known.max())) if len(known) else (None, None)


def _categories(column: SampleColumn) -> tuple[str, ...] | None:
    if column.kind != "categorical":
        return None
    values = sorted({value for value in column.values.tolist() if value is not None})
    for value in values:
        if "\0" in value or value == NULL_TOKEN:
            raise ExportError(
                f"the column {column.name!r} holds a string with a NUL or the reserved null token; clean it"
            )
    return tuple(values)
