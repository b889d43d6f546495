"""Selection of columns.

Source: `sklearn/feature_selection/_base.py`, `_rfe.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import feature_selection
from sklearn.utils._set_output import _get_output_config

from onnxport.export.graph import Columns
from onnxport.export.registry import Emission, Emitted, emit, emits, finite_only, transforms


@emits(
    feature_selection.VarianceThreshold,
    feature_selection.SelectKBest,
    feature_selection.SelectPercentile,
    feature_selection.SelectFpr,
    feature_selection.SelectFdr,
    feature_selection.SelectFwe,
    feature_selection.GenericUnivariateSelect,
    feature_selection.SelectFromModel,
    feature_selection.SequentialFeatureSelector,
)
@transforms(feature_selection.RFE, feature_selection.RFECV)
def emit_selection(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The chosen columns. All must be finite where the library checks them: not in a DataFrame."""
    whole = _get_output_config("transform", estimator)["dense"] == "default"
    if whole and not _allows_nan(estimator):
        numbers = [i for i, column in enumerate(columns.items) if column.kind == "number"]
        finite_only(emission, columns.pick(numbers))
    return columns.pick(np.flatnonzero(estimator.get_support()).tolist())


def _allows_nan(estimator: Any) -> bool:
    if hasattr(estimator, "_get_tags"):  # before scikit-learn 1.6
        return bool(estimator._get_tags()["allow_nan"])
    return bool(estimator.__sklearn_tags__().input_tags.allow_nan)


@emits(feature_selection.RFE, feature_selection.RFECV)
def emit_elimination(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """The inner estimator on the columns that were kept."""
    kept = emit_selection(emission, estimator, columns)
    with emission.inside("estimator_"):
        return emit(emission, estimator.estimator_, kept)
