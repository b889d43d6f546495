"""Which estimators inside another one get X as it came in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline

_STACKING = (StackingClassifier, StackingRegressor)
_HISTOGRAM = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_MANY = (
    *_STACKING,
    MultiOutputClassifier,
    MultiOutputRegressor,
    OneVsRestClassifier,
    OutputCodeClassifier,
    VotingClassifier,
    VotingRegressor,
)


def readers(estimator: Any) -> Iterator[Any]:
    """The estimators that read X, those inside others instead of what is around them."""
    inner = _inside(estimator)
    if not inner:
        yield estimator
    for each in inner:
        yield from readers(each)


def _inside(estimator: Any) -> list[Any]:
    """What is handed the same X, or nothing where the estimator itself looks at it."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        return steps[:1]
    if isinstance(estimator, BaseSearchCV):
        return [estimator.best_estimator_] if hasattr(estimator, "best_estimator_") else []
    if isinstance(estimator, (FixedThresholdClassifier, TunedThresholdClassifierCV)):
        return [getattr(estimator, "estimator_", estimator.estimator)]
    if isinstance(estimator, TransformedTargetRegressor):
        return [estimator.regressor_]
    if isinstance(estimator, FrozenEstimator):
        return [estimator.estimator]
    if isinstance(estimator, _HISTOGRAM) and getattr(estimator, "_preprocessor", None) is not None:
        return [estimator._preprocessor]
    if isinstance(estimator, CalibratedClassifierCV):
        return [fold.estimator for fold in estimator.calibrated_classifiers_]
    if isinstance(estimator, _STACKING) and estimator.passthrough:
        return []
    return list(estimator.estimators_) if isinstance(estimator, _MANY) else []
