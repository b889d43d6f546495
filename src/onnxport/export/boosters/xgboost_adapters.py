"""XGBoost's models where they aren't asked as they are: a bare Booster, several labels a row, and
categories.

Sources: `xgboost/core.py` (Booster.predict), `xgboost/sklearn.py` (XGBClassifier).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from sklearn.base import ClassifierMixin, RegressorMixin

from onnxport.errors import ExportError
from onnxport.export.adapted import Adapted
from onnxport.export.boosters.xgboost_dump import (
    Codes,
    groups_of,
    keys_of,
    known_codes,
    objective_of,
)
from onnxport.export.graph import Array
from onnxport.export.registry import adapts

_BINARY = frozenset({"binary:hinge", "binary:logistic", "binary:logitraw"})
MULTICLASS = frozenset({"multi:softmax", "multi:softprob"})
_GIVING_SHARES = frozenset({"binary:logistic", "multi:softprob"})


def _check_categorical(X: Any, codes: Mapping[int, Codes]) -> None:
    """Raises ValueError where X lacks the categories that its columns had in training."""
    for feature in codes if isinstance(X, pd.DataFrame) else ():
        if not isinstance(X.dtypes.iloc[feature], pd.CategoricalDtype):
            name = X.columns[feature]
            raise ValueError(f"{name!r} was a column of categories in training, and isn't in X")


def _check_known(X: Any, codes: Mapping[int, Codes]) -> None:
    """Raises ValueError for a category that training hadn't: XGBoost means to, and takes all but the
    last in the alphabet for the one that comes next (`SearchSorted` of `src/encoder/ordinal.h`).
    """
    for feature, known in codes.items() if isinstance(X, pd.DataFrame) else ():
        column = X.iloc[:, feature]
        if isinstance(column.dtype, pd.CategoricalDtype):
            categories = list(column.cat.categories)
            keys = enumerate(keys_of(categories))
            new = [place for place, key in keys if key not in known]
            if column.cat.codes.isin(new).any():
                raise ValueError(f"{column.name!r} holds a category that training hadn't")


class _Booster(Adapted):
    """A Booster, asked by a DMatrix as its users do."""

    native: xgboost.Booster

    def __init__(self, native: xgboost.Booster) -> None:
        super().__init__(native)
        self.codes = known_codes(native)

    @property
    def n_features_in_(self) -> int:
        return int(self.native.num_features())

    @property
    def feature_names_in_(self) -> Array:
        """str [features]. Raises AttributeError where it was trained without names."""
        if self.native.feature_names is None:
            raise AttributeError("feature_names_in_")
        return np.array(self.native.feature_names, dtype=object)

    def get_params(self, **_: Any) -> dict[str, Any]:
        return {"config": self.native.save_config()}

    def _said(self, X: Any) -> Array:
        _check_known(X, self.codes)
        booster = self.native
        own = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
        described = {} if hasattr(X, "columns") else own
        answers: Array = booster.predict(xgboost.DMatrix(X, enable_categorical=True, **described))
        return answers


class BoosterRegressor(RegressorMixin, _Booster):  # type: ignore[misc]  # scikit-learn has no types
    """A Booster whose answers are numbers."""

    def predict(self, X: Any) -> Array:
        """[N], or [N, targets] of several."""
        return self._said(X)


class BoosterClassifier(ClassifierMixin, _Booster):  # type: ignore[misc]
    """A Booster of classes 0 to n - 1 that gives no probabilities."""

    @property
    def classes_(self) -> Array:
        return np.arange(max(2, groups_of(self.native)))

    def predict(self, X: Any) -> Array:
        """The class of each row, int [N]: by the sign of binary:logitraw's margins."""
        answers, objective = self._said(X), objective_of(self.native)
        if objective == "multi:softprob":
            return np.asarray(answers.argmax(axis=1))
        if objective == "multi:softmax":
            return np.asarray(answers, dtype=int)
        return np.asarray(answers > (0 if objective == "binary:logitraw" else 0.5), dtype=int)


class BoosterClassifierWithShares(BoosterClassifier):
    """A Booster of classes 0 to n - 1 that gives probabilities."""

    def predict_proba(self, X: Any) -> Array:
        """[N, classes]."""
        answers = self._said(X)
        return answers if answers.ndim == 2 else np.column_stack([1 - answers, answers])


class BoosterLabels(ClassifierMixin, _Booster):  # type: ignore[misc]
    """A Booster of binary:logistic on several targets."""

    @property
    def classes_(self) -> list[Array]:
        return [np.array([0, 1])] * groups_of(self.native)

    def predict(self, X: Any) -> Array:
        """Which labels each row has, int [N, targets]."""
        return (self._said(X) > 0.5).astype(int)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each label, [N, targets]."""
        return self._said(X)


class ClassifierLabels(ClassifierMixin, Adapted):  # type: ignore[misc]
    """An XGBClassifier of several labels, which tells its classes as if it had one."""

    native: Any

    @property
    def n_features_in_(self) -> int:
        return int(self.native.n_features_in_)

    @property
    def feature_names_in_(self) -> Array:
        names: Array = self.native.feature_names_in_
        return names

    @property
    def classes_(self) -> list[Array]:
        return [np.array([0, 1])] * groups_of(self.native.get_booster())

    def get_params(self, **_: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = self.native.get_params()
        return parameters

    def predict(self, X: Any) -> Array:
        answers: Array = self.native.predict(X)
        return answers

    def predict_proba(self, X: Any) -> Array:
        shares: Array = self.native.predict_proba(X)
        return shares


@adapts(xgboost.Booster)
def adapt_booster(booster: xgboost.Booster) -> Any:
    """By its objective: a classifier, one of several labels, or a regressor. Raises ExportError for
    one that was never trained.
    """
    try:
        objective, groups = objective_of(booster), groups_of(booster)
    except xgboost.core.XGBoostError as err:
        raise ExportError("the Booster holds no model; train or load one before saving") from err
    if objective in _BINARY and groups > 1:
        return (
            BoosterLabels(booster) if objective == "binary:logistic" else BoosterRegressor(booster)
        )
    if objective in _BINARY or objective in MULTICLASS:
        shares = objective in _GIVING_SHARES
        return (BoosterClassifierWithShares if shares else BoosterClassifier)(booster)
    return BoosterRegressor(booster)


class KnownCategories(Adapted):
    """A model that refuses categories which it wasn't trained on, and else is what it is."""

    def __init__(self, native: Any, codes: Mapping[int, Codes]) -> None:
        super().__init__(native)
        self.codes = codes

    def __getattr__(self, name: str) -> Any:
        """What there is of predict, predict_proba, classes_ and so on."""
        if name == "native":
            raise AttributeError(name)
        found = getattr(self.native, name)
        return self._checked(found) if name.startswith("predict") else found

    def __sklearn_tags__(self) -> Any:
        return self.native.__sklearn_tags__()

    def get_params(self, **_: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = self.native.get_params()
        return parameters

    def _checked(self, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def ask(X: Any) -> Any:
            _check_categorical(X, self.codes)
            _check_known(X, self.codes)
            return method(X)

        return ask


@adapts(
    xgboost.XGBClassifier,
    xgboost.XGBRFClassifier,
    xgboost.XGBRegressor,
    xgboost.XGBRFRegressor,
)
def adapt_model(model: Any) -> Any:
    """The model itself, unless it gives several labels a row or knows categories."""
    if not model.__sklearn_is_fitted__():
        return model
    booster = model.get_booster()
    asked = ClassifierLabels(model) if gives_labels(model) else model
    codes = known_codes(booster)
    return KnownCategories(asked, codes) if codes else asked


def gives_labels(model: Any) -> bool:
    """Whether it is a classifier of several labels a row."""
    if getattr(model, "n_classes_", None) != 2:
        return False
    booster = model.get_booster()
    return groups_of(booster) > 1 and objective_of(booster) not in MULTICLASS
