"""What an estimator's first steps learned of the columns of X that they read: categories, and which
Python value they take for a null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline

from onnxport.export.readers import readers
from onnxport.export.texts import recombined

_TEXTS, _SEED = 512, 7


@dataclass(frozen=True, slots=True)
class Learned:
    """Of one column. categories: without nulls. nulls: None, NaN or pandas.NA, each at most once."""

    categories: frozenset[Any] = frozenset()
    nulls: tuple[Any, ...] = ()


NOTHING = Learned()


def is_missing(value: Any) -> bool:
    """None, NaN, pandas.NA or pandas.NaT."""
    return value is None or value is pd.NA or value is pd.NaT or bool(value != value)


def distinct_nulls(values: Iterable[Any]) -> tuple[Any, ...]:
    """The nulls among the values, all NaNs as one."""
    found: list[Any] = []
    for value in values:
        if is_missing(value):
            null = value if value is None or value is pd.NA or value is pd.NaT else np.nan
            if not any(null is other for other in found):
                found.append(null)
    return tuple(found)


def learned(estimator: Any, width: int) -> dict[int, Learned]:
    """What is known of the columns of an X of this width, by their index."""
    known: dict[int, Learned] = {}
    for column, categories, nulls in _facts(estimator, list(range(width))):
        before = known.get(column, NOTHING)
        known[column] = Learned(
            before.categories | {value for value in categories if not is_missing(value)},
            distinct_nulls([*before.nulls, *nulls]),
        )
    return known


_Fact = tuple[int, Sequence[Any], Sequence[Any]]


def _facts(estimator: Any, columns: Sequence[int]) -> Iterator[_Fact]:
    """(column, categories, nulls) of every step that reads columns of X directly."""
    if isinstance(estimator, Pipeline):
        yield from _in_a_row([step for _, step in estimator.steps], columns)
        return
    for reader in readers(estimator):
        yield from _read(reader, columns)


def _read(reader: Any, columns: Sequence[int]) -> Iterator[_Fact]:
    if isinstance(reader, ColumnTransformer):
        for name, transformer, _ in reader.transformers_:
            inner = [columns[i] for i in reader._transformer_to_input_indices.get(name, [])]
            yield from _facts(transformer, inner)
    elif isinstance(reader, FeatureUnion):
        for _, transformer in reader.transformer_list:
            yield from _facts(transformer, columns)
    elif isinstance(reader, (SimpleImputer, MissingIndicator)):
        nulls = distinct_nulls([reader.missing_values])
        statistics = getattr(reader, "statistics_", [None] * len(columns))
        for column, statistic in zip(columns, statistics, strict=True):
            yield column, [statistic] if isinstance(statistic, str) else [], nulls
    elif isinstance(reader, CountVectorizer):
        yield columns[0], _texts(reader), []
    elif len(categories := getattr(reader, "categories_", ())) == len(columns):
        for column, values in zip(columns, categories, strict=True):
            yield column, values.tolist(), distinct_nulls(values.tolist())


def _texts(vectorizer: CountVectorizer) -> list[str]:
    """Texts of the words that it knows."""
    between = " " if vectorizer.analyzer == "word" else ""
    terms = sorted(str(term) for term in vectorizer.vocabulary_)
    texts: list[str] = recombined(terms, _TEXTS, np.random.default_rng(_SEED), between).tolist()
    return texts


def _in_a_row(steps: Sequence[Any], columns: Sequence[int]) -> Iterator[_Fact]:
    """The first step that does something, and behind an imputer that keeps all columns the next."""
    for step in steps:
        if step is None or (isinstance(step, str) and step == "passthrough"):
            continue
        yield from _facts(step, columns)
        if not (
            isinstance(step, SimpleImputer) and len(step.get_feature_names_out()) == len(columns)
        ):
            return
