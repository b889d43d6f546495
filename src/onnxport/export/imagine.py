"""A sample where none was given: columns from the estimator's own record, rows around its split
points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onnxport.export.learned import NOTHING, Learned, learned
from onnxport.export.sample import Sample, SampleColumn
from onnxport.export.subject import Subject

_ROWS = 512
_SEED = 7


def imagine_columns(subject: Subject, names: Sequence[str] | None) -> tuple[SampleColumn, ...]:
    """Numbers, but for the columns that an encoder was fitted on with strings."""
    usual = ["text"] if subject.flat else [f"x{i}" for i in range(subject.width)]
    chosen = names or usual
    known = learned(subject.estimator, subject.width)
    return tuple(
        _imagine_column(name, known.get(i, NOTHING), used=bool(subject.used[i]))
        for i, name in enumerate(chosen)
    )


def _imagine_column(name: str, known: Learned, *, used: bool) -> SampleColumn:
    if any(isinstance(value, str) for value in known.categories):
        values = np.array(sorted(str(v) for v in known.categories), dtype=object)
        null = known.nulls[0] if known.nulls else None
        return SampleColumn(name, "categorical", "string", np.dtype(object), values, used, null)
    values = np.array(sorted(float(value) for value in known.categories))
    return SampleColumn(name, "numeric", "float64", np.dtype(np.float64), values, used)


def imagine_sample(
    subject: Subject, columns: Sequence[SampleColumn], splits: Mapping[str, set[float]]
) -> Sample:
    """Categories where there are any, else numbers around the split points, else standard normal
    ones.
    """
    rng = np.random.default_rng(_SEED)
    filled = tuple(
        replace(column, values=_values(column, sorted(splits.get(column.name, ())), rng))
        for column in columns
    )
    return Sample(filled, subject.names is not None, real=False, flat=subject.flat)


def _values(column: SampleColumn, splits: Sequence[float], rng: np.random.Generator) -> Any:
    if len(column.values):
        return column.values[rng.integers(len(column.values), size=_ROWS)]
    if not splits:
        return rng.normal(size=_ROWS)
    margin = (splits[-1] - splits[0]) * 0.1 or 1.0
    return rng.uniform(splits[0] - margin, splits[-1] + margin, _ROWS)
