"""The rows that a model of whole tensors carries to prove itself: drawn ones, or patterns where rows are too large to
be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from onnxport.datatypes import BY_NAME
from onnxport.errors import ExportError
from onnxport.export.graph import Array
from onnxport.manifest import CAPS, SELFTEST_KEY, SelfTest
from onnxport.signature import NULL_TOKEN, Feature, Signature
from onnxport.stored import restore, store, store_pattern, store_some
from onnxport.tensors import Arrays

ROWS = 32
_MIN_TOLERANCE = 1e-6  # other processors and releases round differently
_PATTERNS = 2  # rows, where they are too large to be stored
_LARGEST = 16 * 1024  # bytes of one row's tensor that are stored as they are
_SOME = 1024  # elements of a large output that are stored


def make_selftest(
    signature: Signature, rows: Arrays, ask: Callable[[Arrays], Arrays], tolerance: float
) -> SelfTest:
    """At most 32 of these rows with the answers that `ask` gives; rows with infinite answers stay out,
    JSON has none. rows: by the graph's inputs, [rows, *shape].
    """
    chosen = {name: array[:ROWS] for name, array in rows.items()}
    large = [
        f for f in signature.features if f.is_tensor and chosen[f.tensor][:1].nbytes > _LARGEST
    ]
    entries = {f.name: list(_patterns(f, chosen[f.tensor])) for f in large}
    if large:
        chosen = {name: array[:_PATTERNS] for name, array in chosen.items()}
        count = len(next(iter(chosen.values())))
        for feature in large:
            entries[feature.name] = entries[feature.name][:count]
            chosen[feature.tensor] = np.stack([restore(e) for e in entries[feature.name]])
    answers = ask(chosen)
    kept = np.flatnonzero(_finite(answers))
    tolerance = max(tolerance, _MIN_TOLERANCE)
    while len(kept):
        made = SelfTest(
            {
                f.name: [entries[f.name][i] for i in kept]
                if f.name in entries
                else _inputs(f, chosen[f.tensor][kept])
                for f in signature.features
            },
            {o.tensor: _expected(answers[o.tensor][kept], o.datatype) for o in signature.outputs},
            tolerance,
        )
        if len(made.to_json().encode()) <= CAPS[SELFTEST_KEY]:
            return made
        kept = kept[: len(kept) // 2]
    raise ExportError(
        "no row with finite answers fits into the file's self-test; pass other rows (sample_rows=, or "
        "--sample of adopt)"
    )


def _patterns(feature: Feature, rows: Array) -> Iterator[dict[str, Any]]:
    """Numbers between the smallest and the largest of the rows given."""
    if feature.dtype == "BYTES":
        raise ExportError(
            f"the input {feature.name!r} takes so many strings a row that none can be stored"
        )
    low, high = float(rows.min()), float(rows.max())
    whole = BY_NAME[feature.dtype].json != "number"
    limits = (int(low), int(high)) if whole else (low, high)
    for seed in range(_PATTERNS):
        yield store_pattern(rows.shape[1:], feature.dtype, seed, *limits)


def _inputs(feature: Feature, rows: Array) -> list[Any]:
    """A feature's values as they are stored; of a matrix, its column's."""
    if feature.is_tensor:
        return [store(row, feature.dtype) for row in rows]
    return [_plain(feature, value) for value in rows[:, feature.column].tolist()]


def _plain(feature: Feature, value: Any) -> Any:
    """As a request would hold it: null for NaN and the null token."""
    if value == NULL_TOKEN or value != value:
        return None
    if feature.kind == "integer" and isinstance(value, float):
        return int(value) if value.is_integer() else value
    return bool(value) if feature.kind == "boolean" else value


def _expected(rows: Array, datatype: str | None) -> list[Any]:
    """An output's values as they are stored: whole tensors, else codes and numbers."""
    if datatype is None:
        listed: list[Any] = rows.tolist()
        return listed
    return [
        store(row, datatype)
        if row.nbytes <= _LARGEST or datatype == "BYTES"
        else store_some(row, datatype, _SOME)
        for row in rows
    ]


def _finite(answers: Arrays) -> Array:
    """Rows whose answers are finite numbers, bool [rows]."""
    finite = np.ones(len(next(iter(answers.values()))), dtype=bool)
    for values in answers.values():
        if values.dtype.kind == "f" and values.size:
            finite &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return finite
