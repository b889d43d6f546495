"""Training statistics that travel in the file, so that a service can tell later whether its input
has drifted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from onnxport.export.graph import Array
from onnxport.export.sample import SampleColumn
from onnxport.signature import Signature

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BINS = 20
_MOST_COMMON = 50
_RARE = 5  # a value held by fewer rows could name a person


def column_statistics(column: SampleColumn, *, redacted: bool) -> dict[str, Any]:
    """Counts, mean, standard deviation (ddof 0), quantiles and a histogram of numbers; the common
    values of strings.

    values of strings; of texts only their lengths in characters.

    redacted: only counts. Without at least 5 rows no value is shown at all.
    """
    values = column.values
    if column.kind == "text":
        return _text_statistics(values, redacted=redacted)
    if column.is_string:
        return _string_statistics(values, redacted=redacted)
    known = values[np.isfinite(values)]
    statistics: dict[str, Any] = {"n": len(values), "nulls": int(np.isnan(values).sum())}
    if redacted or len(known) < _RARE:
        return statistics
    return statistics | number_statistics(known)


def answer_statistics(signature: Signature, answers: Array) -> dict[str, Any]:
    """How often each label was answered, by target where there are several; statistics of a
    regressor's numbers.
    """
    if signature.target_classes:
        named = zip(signature.targets, answers.T, strict=True)
        return {"targets": {name: _label_statistics(labels) for name, labels in named}}
    if signature.classes:
        return _label_statistics(answers)
    known = answers[np.isfinite(answers)]
    return number_statistics(known) if len(known) else {}


def _label_statistics(labels: Array) -> dict[str, Any]:
    values, counts = np.unique(labels, return_counts=True)
    return {"labels": {str(v): int(c) for v, c in zip(values, counts, strict=True)}}


def number_statistics(known: Array) -> dict[str, Any]:
    """Statistics of finite numbers, at least one; none where they overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        quantiles = [float(q) for q in np.quantile(known, QUANTILES)]
        statistics = {"mean": float(known.mean()), "std": float(known.std())}
    if not np.isfinite([*statistics.values(), *quantiles]).all():
        return {}
    return statistics | {"quantiles": quantiles, "hist": _histogram(known)}


def _histogram(known: Array) -> dict[str, Any]:
    """Twenty bins, or one where the numbers lie too close together for so many."""
    try:
        counts, edges = np.histogram(known, bins=_BINS)
    except ValueError:
        counts, edges = np.array([len(known)]), np.array([known.min(), known.max()])
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _text_statistics(values: Array, *, redacted: bool) -> dict[str, Any]:
    texts = [value for value in values.tolist() if value is not None]
    statistics = {
        "n": len(values),
        "nulls": len(values) - len(texts),
        "distinct": len(set(texts)),
    }
    if redacted or len(texts) < _RARE:
        return statistics
    return statistics | {"length": number_statistics(np.array([float(len(t)) for t in texts]))}


def _string_statistics(values: Array, *, redacted: bool) -> dict[str, Any]:
    counts = Counter(value for value in values.tolist() if value is not None)
    known = counts.total()
    statistics = {"n": len(values), "nulls": len(values) - known, "distinct": len(counts)}
    if redacted:
        return statistics
    top = [[value, n] for value, n in counts.most_common(_MOST_COMMON) if n >= _RARE]
    return statistics | {"top": top, "other": known - sum(n for _, n in top)}
