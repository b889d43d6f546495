"""Kinds 22-30: estimators made of estimators."""

from __future__ import annotations

import numpy as np
from sklearn import (
    calibration,
    compose,
    ensemble,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    svm,
    tree,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.export import data
from tests.export.matrix import frames
from tests.export.matrix.case import cases

LINE = make_pipeline(StandardScaler(), linear_model.LogisticRegression(max_iter=1000))
TREE = tree.DecisionTreeClassifier(max_depth=3, random_state=0)
FOREST = ensemble.RandomForestClassifier(8, max_depth=4, random_state=0)
MEMBERS = [("line", LINE), ("tree", TREE), ("bayes", naive_bayes.GaussianNB())]
VALUES = [("line", linear_model.Ridge()), ("tree", tree.DecisionTreeRegressor(max_depth=3))]
MACHINE = svm.LinearSVC(random_state=0)
Isotonic = calibration.CalibratedClassifierCV

COMBINED = [
    *cases(
        22,
        (ensemble.VotingClassifier(MEMBERS), data.wine),
        (ensemble.VotingClassifier(MEMBERS, voting="soft"), frames.measured_penguins),
        (ensemble.VotingRegressor(VALUES), data.diabetes),
    ),
    *cases(
        23,
        (ensemble.StackingClassifier(MEMBERS, passthrough=True), data.iris),
        (ensemble.StackingClassifier(MEMBERS[:2], LINE, passthrough=True), data.cancer),
        (ensemble.StackingRegressor(VALUES, passthrough=True), frames.heavy_cars),
    ),
    *cases(
        24,
        (calibration.CalibratedClassifierCV(MACHINE, cv=3), data.iris),
        (calibration.CalibratedClassifierCV(FOREST, cv=3), data.cancer),
    ),
    *cases(
        25,
        (Isotonic(naive_bayes.GaussianNB(), method="isotonic", cv=3), data.iris),
        (Isotonic(FOREST, method="isotonic", cv=3), data.cancer),
        (Isotonic(MACHINE, method="isotonic", cv=3), frames.measured_penguins),
    ),
    *cases(
        26,
        (multiclass.OneVsOneClassifier(LINE), data.iris),
        (multiclass.OneVsOneClassifier(svm.LinearSVC(random_state=0)), data.wine),
        (multiclass.OneVsRestClassifier(LINE), frames.measured_penguins),
    ),
    *cases(
        27,
        (multioutput.MultiOutputClassifier(FOREST), frames.two_targets),
        (multioutput.ClassifierChain(LINE, random_state=0), frames.two_targets),
        (multioutput.RegressorChain(linear_model.Ridge()), frames.two_measures),
        (
            multioutput.MultiOutputRegressor(tree.DecisionTreeRegressor(max_depth=4)),
            frames.two_measures,
        ),
    ),
    *cases(
        28,
        (model_selection.FixedThresholdClassifier(LINE, threshold=0.3), data.cancer),
        (model_selection.TunedThresholdClassifierCV(FOREST, cv=3, random_state=0), data.cancer),
        (model_selection.TunedThresholdClassifierCV(LINE, cv=3), frames.lilies),
    ),
    *cases(
        29,
        (model_selection.GridSearchCV(TREE, {"max_depth": [2, 4]}, cv=3), data.iris),
        (
            model_selection.RandomizedSearchCV(
                LINE, {"logisticregression__C": [0.1, 1.0, 10.0]}, n_iter=2, cv=3, random_state=0
            ),
            data.cancer,
        ),
    ),
    *cases(
        30,
        (
            compose.TransformedTargetRegressor(
                linear_model.Ridge(), func=np.log, inverse_func=np.exp
            ),
            data.diabetes,
        ),
        (
            compose.TransformedTargetRegressor(
                tree.DecisionTreeRegressor(max_depth=5, random_state=0),
                func=np.log1p,
                inverse_func=np.expm1,
            ),
            frames.heavy_cars,
        ),
    ),
]
