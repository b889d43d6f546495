"""Selection of columns, and projections to fewer.

Sources: `sklearn/feature_selection`, `sklearn/decomposition/_base.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import feature_selection
from sklearn.decomposition import PCA, TruncatedSVD

from onnxport.export.graph import Columns, number_columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    emits,
    finite_only,
    numbers_only,
)
from onnxport.export.sparse import product


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
def emit_selection(_emission: Emission, estimator: Any, columns: Columns) -> Columns:
    return columns.pick(np.flatnonzero(estimator.get_support()).tolist())


@emits(PCA, TruncatedSVD)
def emit_projection(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """x · componentsᵀ - mean · componentsᵀ, whitened where asked."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:
        emission.relax(TOLERANT_BAR)
    graph, components = emission.graph, estimator.components_
    x = product(graph, columns, components.T)
    mean = getattr(estimator, "mean_", None)
    if mean is not None:
        x = graph.node("Sub", x, graph.constant(np.ravel(mean) @ components.T))
    if getattr(estimator, "whiten", False):
        scale = np.sqrt(estimator.explained_variance_)
        x = graph.node("Div", x, graph.constant(np.maximum(scale, np.finfo(scale.dtype).eps)))
    return number_columns(x, len(components), exact=False)
