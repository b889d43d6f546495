"""Estimators made of estimators in a row or side by side: Pipeline, ColumnTransformer,
FeatureUnion, searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.model_selection._search_successive_halving import (
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
)
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils._set_output import _get_output_config

from onnxport.export.graph import Columns, joined, number_columns, with_dtype
from onnxport.export.registry import (
    Emission,
    Emitted,
    Refusal,
    emit,
    emit_transformer,
    emits,
    transforms,
)


@emits(Pipeline)
def emit_pipeline(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """Step after step; the last may be a predictor."""
    *before, (last_name, last) = estimator.steps
    columns = _one_by_one(emission, before, columns)
    if last is None or last == "passthrough":
        return columns
    with emission.inside(last_name):
        return emit(emission, last, columns)


@transforms(Pipeline)
def emit_pipeline_step(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Step after step; the last transforms too, as a KMeans does."""
    return _one_by_one(emission, estimator.steps, columns)


def _one_by_one(emission: Emission, steps: Sequence[tuple[str, Any]], columns: Columns) -> Columns:
    for name, step in steps:
        if step is not None and step != "passthrough":
            with emission.inside(name):
                columns = emit_transformer(emission, step, columns)
    return columns


@emits(ColumnTransformer)
def emit_column_transformer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Each transformer on its own columns, side by side in the order of `transformers_`."""
    weights = estimator.transformer_weights or {}
    parts = []
    for name, transformer, _ in estimator.transformers_:
        indices = estimator._transformer_to_input_indices[name]
        if (isinstance(transformer, str) and transformer == "drop") or len(indices) == 0:
            continue
        part = columns.pick([int(i) for i in indices])
        if not isinstance(transformer, str):
            with emission.inside(name):
                part = emit_transformer(emission, transformer, part)
        parts.append(_weighted(emission, part, weights.get(name)))
    return _stacked(estimator, joined(parts))


@emits(FeatureUnion)
def emit_feature_union(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """All transformers on the same columns, side by side."""
    weights = estimator.transformer_weights or {}
    parts = []
    for name, transformer in estimator.transformer_list:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        part = columns
        if not isinstance(transformer, str):
            with emission.inside(name):
                part = emit_transformer(emission, transformer, columns)
        parts.append(_weighted(emission, part, weights.get(name)))
    return _stacked(estimator, joined(parts))


def _stacked(estimator: Any, columns: Columns) -> Columns:
    """numpy.hstack brings all columns to one dtype; a DataFrame keeps each column's own."""
    if _get_output_config("transform", estimator)["dense"] != "default":
        return columns
    return with_dtype(columns, str(columns.dtype))


def _weighted(emission: Emission, columns: Columns, weight: float | None) -> Columns:
    if weight is None:
        return columns
    graph = emission.graph
    factor = graph.constant(np.float64(weight))
    return number_columns(graph.node("Mul", graph.matrix(columns), factor), len(columns))


@emits(FrozenEstimator)
def emit_frozen(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """What was frozen."""
    with emission.inside("estimator"):
        return emit(emission, estimator.estimator, columns)


@transforms(FrozenEstimator)
def emit_frozen_step(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """What was frozen, as a step before others."""
    with emission.inside("estimator"):
        return emit_transformer(emission, estimator.estimator, columns)


@emits(RANSACRegressor)
def emit_ransac(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """The regressor that was fitted on the inliers."""
    with emission.inside("estimator_"):
        return emit(emission, estimator.estimator_, columns)


@emits(SelfTrainingClassifier)
def emit_self_training(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """The classifier that was fitted last; it gets X as one array."""
    with emission.inside("estimator_"):
        return emit(emission, estimator.estimator_, with_dtype(columns, str(columns.dtype)))


def _refit_check(estimator: Any) -> Refusal | None:
    if hasattr(estimator, "best_estimator_"):
        return None
    return Refusal(
        "refit",
        "without it a search keeps no fitted estimator",
        "Set refit=True, or fit the pipeline with best_params_ and save that.",
    )


@emits(
    GridSearchCV,
    RandomizedSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    check=_refit_check,
)
def emit_search(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """The best estimator, refitted."""
    with emission.inside("best_estimator_"):
        return emit(emission, estimator.best_estimator_, columns)


@transforms(
    GridSearchCV,
    RandomizedSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    check=_refit_check,
)
def emit_search_step(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The best estimator as a step before others."""
    with emission.inside("best_estimator_"):
        return emit_transformer(emission, estimator.best_estimator_, columns)
