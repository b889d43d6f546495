"""An object of another library that is no scikit-learn estimator, asked like one."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator


class Adapted(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The base of such estimators; always fitted. native: the object itself."""

    def __init__(self, native: Any) -> None:
        self.native = native

    def fit(self, *_: Any) -> Adapted:
        """scikit-learn takes what has no `fit` for no estimator."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True
