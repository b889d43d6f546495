"""Imputers.

Source: `sklearn/impute/_base.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer

from onnxport.export.graph import Columns, number_columns
from onnxport.export.registry import (
    Emission,
    Refusal,
    emits,
    refuse,
)


def _imputer_check(estimator: Any) -> Refusal | None:
    if estimator.add_indicator:
        return Refusal(
            "add_indicator", "indicator columns don't convert yet", "Set add_indicator=False."
        )
    if not (isinstance(estimator.missing_values, float) and np.isnan(estimator.missing_values)):
        return Refusal(
            "missing_values",
            f"only NaN converts as the missing value, not {estimator.missing_values!r}",
            "Replace it by NaN before fitting.",
        )
    return None


@emits(SimpleImputer, check=_imputer_check)
def emit_simple_imputer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """NaN becomes the column's statistic; columns without one are dropped, as the library does."""
    if columns.strings:
        reason = "imputing string columns doesn't convert yet"
        nearest = "Fill the missing strings before fitting and before calling the model."
        raise refuse(emission, estimator, Refusal("", reason, nearest))
    statistics = np.asarray(estimator.statistics_, dtype=np.float64)
    kept = [
        i
        for i, value in enumerate(statistics)
        if not np.isnan(value) or estimator.keep_empty_features
    ]
    columns, statistics = columns.pick(kept), statistics[kept]
    graph = emission.graph
    x = graph.matrix(columns)
    x = graph.node("Where", graph.node("IsNaN", x), graph.constant(statistics), x)
    x = graph.rounded(x) if columns.single else x
    dtype = "float32" if columns.single else "float64"
    origins = [column.origin for column in columns.items]
    return number_columns(
        x,
        len(columns),
        dtype=dtype,
        origins=origins,
        finite=columns.finite,
        exact=columns.exact,
    )
