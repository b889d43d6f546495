"""A sample where none was given: columns from the estimator's own record, rows around its split
points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import FeatureUnion

from onnxport.export.readers import readers
from onnxport.export.sample import Sample, SampleColumn
from onnxport.export.subject import Subject
from onnxport.export.texts import recombined

_ROWS = 512
_SEED = 7


def imagine_columns(subject: Subject, names: Sequence[str] | None) -> tuple[SampleColumn, ...]:
    """Numbers, but for the columns that an encoder was fitted on with strings."""
    usual = ["text"] if subject.flat else [f"x{i}" for i in range(subject.width)]
    chosen = names or usual
    categories = _encoder_categories(subject.estimator, list(range(subject.width)))
    return tuple(
        _imagine_column(name, categories.get(i, set()), used=bool(subject.used[i]))
        for i, name in enumerate(chosen)
    )


def _imagine_column(name: str, categories: set[Any], *, used: bool) -> SampleColumn:
    if any(isinstance(value, str) for value in categories):
        values = np.array(sorted(str(v) for v in categories), dtype=object)
        return SampleColumn(name, "categorical", "string", np.dtype(object), values, used)
    values = np.array(sorted(float(value) for value in categories))
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


def _encoder_categories(estimator: Any, columns: Sequence[int]) -> dict[int, set[Any]]:
    """The categories that encoders were fitted with, by the column of X that they read directly."""
    found: dict[int, set[Any]] = {}
    for reader in readers(estimator):
        for column, known in _known_categories(reader, columns).items():
            found.setdefault(column, set()).update(known)
    return found


def _known_categories(reader: Any, columns: Sequence[int]) -> dict[int, set[Any]]:
    if isinstance(reader, CountVectorizer):
        between = " " if reader.analyzer == "word" else ""
        terms = sorted(str(term) for term in reader.vocabulary_)
        rng = np.random.default_rng(_SEED)
        return {columns[0]: set(recombined(terms, _ROWS, rng, between).tolist())}
    if isinstance(reader, FeatureUnion):
        union: dict[int, set[Any]] = {}
        for _, part in reader.transformer_list:
            for column, values in _encoder_categories(part, columns).items():
                union[column] = union.get(column, set()) | values
        return union
    if isinstance(reader, ColumnTransformer):
        found: dict[int, set[Any]] = {}
        for name, transformer, _ in reader.transformers_:
            if not isinstance(transformer, str):
                inner = [columns[i] for i in reader._transformer_to_input_indices[name]]
                found |= _encoder_categories(transformer, inner)
        return found
    categories = getattr(reader, "categories_", None)
    if categories is None or len(categories) != len(columns):
        return {}
    return {
        column: {value for value in values.tolist() if value is not None and value == value}
        for column, values in zip(columns, categories, strict=True)
    }
