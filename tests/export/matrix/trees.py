"""Kinds 13-21: trees and ensembles of trees."""

from __future__ import annotations

from sklearn import ensemble, linear_model, tree

from tests.export import data
from tests.export.matrix import frames
from tests.export.matrix.case import cases

Histogram = ensemble.HistGradientBoostingClassifier
HistogramRegressor = ensemble.HistGradientBoostingRegressor
Extra = ensemble.ExtraTreesClassifier
Forest = ensemble.RandomForestClassifier
Boosted = ensemble.GradientBoostingClassifier
STUMP = tree.DecisionTreeClassifier(max_depth=2, random_state=0)

TREES = [
    *cases(
        13,
        (tree.DecisionTreeClassifier(random_state=0), data.holes),
        (tree.DecisionTreeClassifier(max_depth=4, random_state=0), frames.numeric_penguins),
        (tree.DecisionTreeRegressor(max_depth=5, random_state=0), frames.heavy_cars),
    ),
    *cases(
        14,
        (Forest(12, random_state=0), data.holes),
        (Forest(12, random_state=0), frames.numeric_penguins),
        (Forest(10, random_state=0), data.digits),
        (ensemble.RandomForestRegressor(10, random_state=0), data.diabetes),
    ),
    *cases(
        15,
        (Extra(10, random_state=0), data.iris),
        (Extra(8, bootstrap=True, random_state=0), frames.seattle),
        (ensemble.ExtraTreesRegressor(10, random_state=0), frames.heavy_cars),
    ),
    *cases(
        16,
        (Boosted(loss="exponential", n_estimators=12, random_state=0), data.cancer),
        (
            Boosted(
                init=linear_model.LogisticRegression(max_iter=3000), n_estimators=8, random_state=0
            ),
            frames.measured_penguins,
        ),
        (
            ensemble.GradientBoostingRegressor(
                init=linear_model.Ridge(), n_estimators=15, random_state=0
            ),
            data.diabetes,
        ),
    ),
    *cases(
        17,
        (Histogram(max_iter=12), data.holes),
        (Histogram(max_iter=8), frames.numeric_penguins),
        (HistogramRegressor(max_iter=15), frames.heavy_cars),
    ),
    *cases(
        18,
        (Histogram(max_iter=8, categorical_features="from_dtype"), frames.category_penguins),
        (HistogramRegressor(max_iter=8, categorical_features="from_dtype"), frames.category_cars),
        (HistogramRegressor(max_iter=8, categorical_features=[0]), frames.coded_cars),
    ),
    *cases(
        19,
        (Histogram(max_iter=12), data.ids),
        (HistogramRegressor(loss="poisson", max_iter=12), frames.times),
        (HistogramRegressor(loss="gamma", max_iter=12), frames.dated_cars),
    ),
    *cases(
        20,
        (ensemble.AdaBoostClassifier(STUMP, n_estimators=8, random_state=0), data.wine),
        (ensemble.AdaBoostClassifier(n_estimators=12, random_state=0), data.cancer),
    ),
    *cases(
        21,
        (ensemble.BaggingClassifier(max_features=0.5, random_state=0), data.wine),
        (
            ensemble.BaggingClassifier(max_samples=0.4, bootstrap_features=True, random_state=0),
            frames.seattle,
        ),
        (ensemble.BaggingRegressor(max_features=0.6, random_state=0), data.diabetes),
    ),
]
