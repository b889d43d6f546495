"""A bare LightGBM Booster, asked like an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from onnxport.export.adapted import Adapted
from onnxport.export.graph import Array

_BINARY, _SEVERAL = "binary", ("multiclass", "multiclassova")


class LightGBMBooster(Adapted):
    """What the two have in common: the features, and `Booster.predict` up to the best iteration."""

    native: lightgbm.Booster

    @property
    def n_features_in_(self) -> int:
        return int(self.native.num_feature())

    @property
    def feature_names_in_(self) -> Array:
        """Of a DataFrame only: an array has no names but Column_0, Column_1, ...  Raises AttributeError."""
        names = self.native.feature_name()
        usual = [f"Column_{i}" for i in range(len(names))]
        if names == usual and self.native.pandas_categorical is None:
            raise AttributeError("trained without feature names")
        return np.array(names, dtype=object)

    def predict(self, X: Any) -> Array:
        return np.asarray(self.native.predict(X))


class LightGBMClassifierBooster(ClassifierMixin, LightGBMBooster):  # type: ignore[misc]
    """The classes are 0 and 1, or 0 to n - 1."""

    @property
    def classes_(self) -> Array:
        return np.arange(max(2, int(self.native.num_model_per_iteration())))

    def predict(self, X: Any) -> Array:
        labels: Array = self.predict_proba(X).argmax(axis=1)
        return labels

    def predict_proba(self, X: Any) -> Array:
        answers = super().predict(X)
        return answers if answers.ndim == 2 else np.column_stack([1.0 - answers, answers])


class LightGBMRegressorBooster(RegressorMixin, LightGBMBooster):  # type: ignore[misc]
    """Whatever else it was trained for: a number, or one a class where the objective is a function."""


def adapt_booster(booster: lightgbm.Booster) -> LightGBMBooster:
    """By its objective."""
    name = objective_of(booster)
    classifies = name == _BINARY or name in _SEVERAL
    return LightGBMClassifierBooster(booster) if classifies else LightGBMRegressorBooster(booster)


def objective_of(booster: lightgbm.Booster) -> str:
    """The objective's name in the model, "" where it was a function."""
    text = booster.model_to_string(num_iteration=1)
    found = [
        line for line in text.split("\nTree=")[0].splitlines() if line.startswith("objective=")
    ]
    return found[0].partition("=")[2].partition(" ")[0] if found else ""
