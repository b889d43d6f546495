"""Whether a step hands on a sparse matrix: its zeros aren't stored then, and to some libraries what
isn't stored is missing.

Sources: the `transform` methods of scikit-learn; `_hstack` of `sklearn/compose/_column_transformer.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomTreesEmbedding
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from onnxport.export.graph import Columns

# What is made of others, or chosen from them, is as these are; a union is sparse where a part is.
_MADE_OF_OTHERS = (Pipeline, FeatureUnion, BaseSearchCV, FrozenEstimator)
_KEEP = (
    Binarizer,
    MaxAbsScaler,
    Normalizer,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    SelectorMixin,
    SimpleImputer,
    StandardScaler,
    TfidfTransformer,
)


def stored_like(estimator: Any, before: Columns, after: Columns) -> Columns:
    """The columns that a step gives, marked by whether they stand in a sparse matrix."""
    sparse = _gives_sparse(estimator, before, after)
    if all(column.sparse == sparse for column in after.items):
        return after
    return Columns(tuple(replace(column, sparse=sparse) for column in after.items))


def _gives_sparse(estimator: Any, before: Columns, after: Columns) -> bool:
    if isinstance(estimator, ColumnTransformer):
        return bool(estimator.sparse_output_)
    if isinstance(estimator, _MADE_OF_OTHERS):
        return after.sparse
    if isinstance(estimator, (CountVectorizer, HashingVectorizer)):
        return True
    if isinstance(estimator, (OneHotEncoder, RandomTreesEmbedding, SplineTransformer)):
        return bool(estimator.sparse_output)
    if isinstance(estimator, KBinsDiscretizer):
        return bool(estimator.encode == "onehot")
    if isinstance(estimator, MissingIndicator):
        return estimator.sparse is True or (estimator.sparse == "auto" and before.sparse)
    return before.sparse and isinstance(estimator, _KEEP)
