"""Whole compositions as people write them: columns, search, calibration and thresholds, one in
another, on real data.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

import onnxport
from tests.export import data
from tests.export.test_estimators import _prove

Calibrated = CalibratedClassifierCV
LINE = LogisticRegression(max_iter=1000)
FOREST = RandomForestClassifier(10, max_depth=4, random_state=0)
HISTOGRAM = HistGradientBoostingClassifier(max_iter=8, random_state=0)
BOOSTED = GradientBoostingClassifier(n_estimators=5, random_state=0)
F1 = make_scorer(f1_score, pos_label="yes")


def _columns(numbers: list[str], strings: list[str]) -> ColumnTransformer:
    """Imputed and scaled numbers, one-hot strings; other columns are dropped."""
    filled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    hot = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("numbers", filled, numbers), ("strings", hot, strings)])


def _mixed() -> ColumnTransformer:
    return _columns(["age", "income (k€)"], ["city"])


def _penguins() -> ColumnTransformer:
    names = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    return _columns(names, ["island"])


def _cars() -> ColumnTransformer:
    """Without the name, which is free text."""
    return _columns(["Miles_per_Gallon", "Cylinders", "Horsepower", "Weight_in_lbs"], [])


COMPOSITIONS: dict[str, tuple[Any, Callable[[], data.Data]]] = {
    "threshold of search of pipeline": (
        TunedThresholdClassifierCV(
            GridSearchCV(make_pipeline(_mixed(), LINE), {"logisticregression__C": [0.1, 1]}, cv=2),
            scoring=F1,
            cv=2,
            thresholds=20,
        ),
        data.mixed,
    ),
    "threshold of calibration of pipeline": (
        FixedThresholdClassifier(
            Calibrated(make_pipeline(_mixed(), FOREST), method="isotonic", cv=2),
            threshold=0.3,
            pos_label="yes",
        ),
        data.mixed,
    ),
    "calibration of search of pipeline": (
        Calibrated(
            RandomizedSearchCV(
                make_pipeline(_penguins(), FOREST),
                {"randomforestclassifier__max_depth": [2, 3]},
                n_iter=2,
                cv=2,
                random_state=0,
            ),
            method="isotonic",
            cv=2,
        ),
        data.penguins,
    ),
    "votes of pipelines": (
        VotingClassifier(
            [
                ("line", make_pipeline(_penguins(), LINE)),
                ("forest", make_pipeline(_penguins(), FOREST)),
                ("margin", Calibrated(make_pipeline(_penguins(), LinearSVC(random_state=0)), cv=2)),
            ],
            voting="soft",
        ),
        data.penguins,
    ),
    "stack of pipelines": (
        StackingClassifier(
            [
                ("line", make_pipeline(_penguins(), LINE)),
                ("trees", make_pipeline(_penguins(), HISTOGRAM)),
            ],
            cv=2,
        ),
        data.penguins,
    ),
    "stack inside a pipeline": (
        make_pipeline(
            _penguins(),
            StackingClassifier([("l", LINE), ("f", FOREST)], final_estimator=BOOSTED, cv=2),
        ),
        data.penguins,
    ),
    "one against the rest": (OneVsRestClassifier(make_pipeline(_cars(), LINE)), data.cars),
    "one against one": (make_pipeline(_cars(), OneVsOneClassifier(FOREST)), data.cars),
    "search over selection and projection": (
        GridSearchCV(
            make_pipeline(_cars(), SelectKBest(k=3), PCA(2), LINE),
            {"pca__n_components": [1, 2]},
            cv=2,
        ),
        data.cars,
    ),
    "temperature of a pipeline": (
        Calibrated(make_pipeline(StandardScaler(), LINE), method="temperature", cv=2),
        data.weather,
    ),
    "search over a transformed target of a mean": (
        GridSearchCV(
            TransformedTargetRegressor(
                VotingRegressor(
                    [
                        ("line", make_pipeline(StandardScaler(), Ridge())),
                        ("forest", RandomForestRegressor(8, max_depth=4, random_state=0)),
                    ]
                ),
                transformer=MinMaxScaler(),
            ),
            {"regressor__line__ridge__alpha": [0.1, 1]},
            cv=2,
        ),
        data.diabetes,
    ),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_compositions(name: str, tmp_path: Path) -> None:
    model, make = COMPOSITIONS[name]
    _prove(model, *make(), tmp_path)


def test_a_logarithm_behind_columns(tmp_path: Path) -> None:
    X, _ = data.mixed()
    model = TransformedTargetRegressor(
        make_pipeline(_columns(["age"], ["city"]), Ridge()), func=np.log1p, inverse_func=np.expm1
    )
    income = X["income (k€)"].clip(lower=0).to_numpy()
    _prove(model, X.drop(columns="income (k€)"), income, tmp_path)


def test_columns_that_no_member_reads_are_no_features(tmp_path: Path) -> None:
    X, y = data.cars()
    model = Calibrated(make_pipeline(_cars(), LINE), cv=2).fit(X, y)
    report = onnxport.save(model, tmp_path / "m.onnx", X)
    names = [feature.name for feature in report.signature.features]
    assert names == ["Miles_per_Gallon", "Cylinders", "Horsepower", "Weight_in_lbs"]


def test_without_a_sample(tmp_path: Path) -> None:
    X, y = data.mixed()
    model = FixedThresholdClassifier(
        make_pipeline(_mixed(), LINE), threshold=0.4, pos_label="no"
    ).fit(X, y)
    report = onnxport.save(model, tmp_path / "m.onnx")
    kinds = {feature.name: feature.kind for feature in report.signature.features}
    assert kinds["city"] == "categorical"
    answers = onnxport.load(tmp_path / "m.onnx").predict(X[list(kinds)])
    assert [answer["prediction"] for answer in answers] == model.predict(X).tolist()
