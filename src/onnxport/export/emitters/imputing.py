"""Imputers of one column at a time, and indicators of what is missing.

Source: `sklearn/impute/_base.py`, `sklearn/utils/_mask.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.utils._mask import _get_mask
from sklearn.utils._set_output import _get_output_config

from onnxport.export.graph import ML, Column, Columns, joined, with_dtype
from onnxport.export.registry import Emission, Refusal, emits, finite_only, refuse
from onnxport.signature import NULL_TOKEN


@dataclass(frozen=True, slots=True)
class Missing:
    """Where the columns hold what an imputer takes for missing.

    numbers: the places of the number columns. x: these, double [N, numbers]. matrix: bool of the
    same shape. texts: of each string column bool [N, 1], None where it never holds it.
    """

    numbers: tuple[int, ...]
    x: str
    matrix: str
    texts: Mapping[int, str | None]

    def indicators(self, emission: Emission, columns: Columns, features: Sequence[int]) -> Columns:
        """0 and 1 for some of the columns, as MissingIndicator gives them."""
        graph = emission.graph
        matrix = graph.to_double(self.matrix) if self.numbers else ""
        parts = []
        for feature in features:
            if feature in self.texts:
                text = self.texts[feature]
                found = _always(emission, columns.items[feature], 0.0)
                found = graph.to_double(text) if text else found
                parts.append(Column(found, 0, 1, "number", "bool"))
            else:
                index = self.numbers.index(feature)
                parts.append(Column(matrix, index, len(self.numbers), "number", "bool"))
        return Columns(tuple(parts))


def _always(emission: Emission, column: Column, value: float) -> str:
    """The same number for every row of a string column, double [N, 1]."""
    graph = emission.graph
    return graph.node("Expand", graph.constant([[value]]), graph.node("Shape", column.tensor))


def find_missing(emission: Emission, estimator: Any, columns: Columns) -> Missing:
    """Where the columns hold `missing_values`. Rows that the library refuses before are marked."""
    wanted = estimator.missing_values
    numbers = tuple(i for i, column in enumerate(columns.items) if column.kind == "number")
    picked = columns.pick(numbers)
    x = emission.graph.matrix(picked) if numbers else ""
    if columns.dtype != np.dtype(object):
        _finite_but(emission, columns, wanted)
    for column in columns.items:
        _note_category(emission, column, wanted)
    matrix = _missing_numbers(emission, picked, x, wanted, single=columns.single) if x else ""
    texts = {i: _missing_texts(emission, columns.items[i], wanted) for i in columns.strings}
    return Missing(numbers, x, matrix, texts)


def _finite_but(emission: Emission, columns: Columns, wanted: Any) -> None:
    """Marks rows as refused in which an earlier step overflowed; NaN is welcome if it is missing."""
    if columns.finite:
        return
    if not _is_missing(np.nan, wanted):
        finite_only(emission, columns)
        return
    graph = emission.graph
    infinite = graph.to_double(graph.node("IsInf", graph.matrix(columns)))
    found = graph.node("ReduceMax", infinite, graph.integers([1]), keepdims=1)
    emission.refused.append(graph.cast(found, TensorProto.BOOL))


def _note_category(emission: Emission, column: Column, wanted: Any) -> None:
    """A value that stands for missing is answered even where only known categories are."""
    if column.origin is None or isinstance(wanted, str) != (column.kind == "string"):
        return
    if isinstance(wanted, (str, int, float)) and wanted == wanted:
        emission.categories.setdefault(column.origin.feature, set()).add(wanted)


def _missing_numbers(
    emission: Emission, columns: Columns, x: str, wanted: Any, *, single: bool
) -> str:
    graph = emission.graph
    if isinstance(wanted, (int, float, np.number)) and wanted == wanted:
        return graph.node("Equal", x, graph.constant(np.float32(wanted) if single else wanted))
    meant = [_is_missing(column.missing, wanted) for column in columns.items]
    found = graph.node("IsNaN", x)
    return found if all(meant) else graph.node("And", found, graph.constant([meant], np.bool_))


def _missing_texts(emission: Emission, column: Column, wanted: Any) -> str | None:
    keys = [wanted] if isinstance(wanted, str) else []
    keys += [NULL_TOKEN] if _is_missing(column.missing, wanted) else []
    if not keys:
        return None
    graph = emission.graph
    found = graph.node(
        "LabelEncoder",
        column.tensor,
        domain=ML,
        keys_strings=keys,
        values_int64s=[1] * len(keys),
        default_int64=0,
    )
    return graph.cast(found, TensorProto.BOOL)


def _is_missing(null: Any, wanted: Any) -> bool:
    """Whether the library takes this null for `missing_values`."""
    try:
        return bool(_get_mask(np.array([[null]], dtype=object), wanted)[0, 0])
    except TypeError:  # it can't compare pandas.NA with others, and refuses such rows
        return False


@emits(SimpleImputer)
def emit_simple_imputer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """What is missing becomes the column's statistic; columns without one are dropped."""
    missing = find_missing(emission, estimator, columns)
    statistics = _statistics(estimator)
    kept = [i for i, value in enumerate(statistics) if value is not _DROPPED]
    filled = dict(zip(missing.numbers, _fill(emission, estimator, columns, missing), strict=True))
    for i in set(columns.strings).intersection(kept):
        column, text = columns.items[i], missing.texts[i]
        filled[i] = _fill_text(emission, estimator, column, text, statistics[i])
    exact = estimator.strategy in ("most_frequent", "constant")
    dtype = columns.dtype if exact else np.dtype(np.float32 if columns.single else np.float64)
    result = with_dtype(Columns(tuple(filled[i] for i in kept)), str(dtype))
    if not estimator.add_indicator:
        return result
    return with_indicators(emission, estimator, columns, missing, result)


def with_indicators(
    emission: Emission, estimator: Any, columns: Columns, missing: Missing, filled: Columns
) -> Columns:
    """The imputed columns, and behind them the indicators that add_indicator asks for."""
    features = estimator.indicator_.features_.tolist()
    both = joined([filled, missing.indicators(emission, columns, features)])
    return with_dtype(both, str(np.result_type(filled.dtype, np.bool_)))


_DROPPED = object()


def _statistics(estimator: Any) -> list[Any]:
    """What is filled in, in the dtype of training; _DROPPED for a column that is left out."""
    found = []
    for value in estimator.statistics_.tolist():
        if isinstance(value, float) and np.isnan(value) and not estimator.keep_empty_features:
            found.append(_DROPPED)
        else:
            plain = np.empty(1, dtype=object)
            plain[0] = value
            found.append(plain.astype(estimator._fill_dtype)[0])
    return found


def _fill(
    emission: Emission, estimator: Any, columns: Columns, missing: Missing
) -> Sequence[Column]:
    """The number columns with their statistics where they are missing."""
    if not missing.numbers:
        return ()
    statistics = [_statistics(estimator)[i] for i in missing.numbers]
    row = np.zeros(len(statistics))
    for i, value in enumerate(statistics):
        if value is None:  # None stays missing
            row[i] = np.nan
        elif value is not _DROPPED:
            if not isinstance(value, (int, float, np.number, np.bool_)):
                raise refuse(emission, estimator, _TYPES)
            row[i] = value
    x = emission.graph.node("Where", missing.matrix, emission.graph.constant(row), missing.x)
    return [
        replace(
            columns.items[place],
            tensor=x,
            index=i,
            width=len(row),
            null=None if statistics[i] is None else columns.items[place].null,
            categories=None,
        )
        for i, place in enumerate(missing.numbers)
    ]


def _fill_text(
    emission: Emission, estimator: Any, column: Column, mask: str | None, statistic: Any
) -> Column:
    """A string column with its statistic where it is missing."""
    if mask is None:
        if column.null is None and _get_output_config("transform", estimator)["dense"] != "default":
            raise refuse(emission, estimator, _FRAME)
        return column
    if statistic is None:
        return replace(column, null=None)
    if not isinstance(statistic, str):
        raise refuse(emission, estimator, _TYPES)
    if statistic == NULL_TOKEN:
        raise refuse(emission, estimator, _TOKEN)
    if column.origin is not None:
        emission.categories.setdefault(column.origin.feature, set()).add(statistic)
    graph = emission.graph
    tensor = graph.node("Where", mask, graph.text(statistic), column.tensor)
    return replace(column, tensor=tensor, index=0, width=1, categories=None)


@emits(MissingIndicator)
def emit_missing_indicator(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """0 and 1 for the features that held missing values in training, or for all."""
    missing = find_missing(emission, estimator, columns)
    features = estimator.features_.tolist()
    others = [i for i in range(len(columns)) if i not in features]
    if estimator.error_on_new and others:
        graph = emission.graph
        found = graph.matrix(missing.indicators(emission, columns, others))
        anywhere = graph.node("ReduceMax", found, graph.integers([1]), keepdims=1)
        emission.refused.append(graph.cast(anywhere, TensorProto.BOOL))
    return missing.indicators(emission, columns, features)


_TYPES = Refusal(
    "fill_value",
    "it fills strings into numbers or numbers into strings, and a column has one type",
    "Impute numbers and strings in separate steps of a ColumnTransformer.",
)
_FRAME = Refusal(
    "missing_values",
    "its DataFrame may turn the None that it leaves into NaN, depending on the other rows",
    "Set missing_values=None.",
)
_TOKEN = Refusal(
    "fill_value",
    "it is the string that stands for null in the graph",
    "Choose another fill_value.",
)
