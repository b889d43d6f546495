"""Kinds 1-12: linear models, machines, neighbours, networks."""

from __future__ import annotations

from sklearn import linear_model, naive_bayes, neural_network, svm
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.export import data
from tests.export.matrix import frames
from tests.export.matrix.case import cases

LINE = linear_model.LogisticRegression(max_iter=3000)
SGD = linear_model.SGDClassifier(loss="log_loss", random_state=0)
NET = neural_network.MLPClassifier((12,), max_iter=300, random_state=0)


def _scaled(model: object) -> object:
    return make_pipeline(StandardScaler(), model)


SIMPLE = [
    *cases(1, (LINE, data.cancer), (LINE, frames.lilies)),
    *cases(2, (LINE, data.iris), (LINE, data.wine), (LINE, frames.seattle)),
    *cases(
        3,
        (svm.LinearSVC(random_state=0), data.cancer),
        (_scaled(svm.LinearSVC(random_state=0)), frames.airport_west),
    ),
    *cases(
        4,
        (SGD, data.cancer),
        (SGD, data.wine),
        (SGD, data.iris),
        (
            linear_model.SGDClassifier(loss="modified_huber", random_state=0),
            frames.measured_penguins,
        ),
    ),
    *cases(
        5,
        (svm.SVC(probability=True, random_state=0), data.iris),
        (_scaled(svm.SVC(probability=True, random_state=0)), data.cancer),
        (_scaled(svm.NuSVC(nu=0.2, probability=True, random_state=0)), frames.measured_penguins),
    ),
    *cases(
        6,
        (linear_model.Ridge(), frames.large_diabetes),
        (_scaled(linear_model.PoissonRegressor()), frames.heavy_cars),
        (linear_model.TweedieRegressor(power=1.5), data.diabetes),
        (_scaled(linear_model.GammaRegressor()), frames.heavy_cars),
    ),
    *cases(7, (naive_bayes.GaussianNB(), data.wine), (naive_bayes.GaussianNB(), frames.seattle)),
    *cases(
        8,
        (KNeighborsClassifier(), data.iris),
        (_scaled(KNeighborsClassifier(7)), frames.measured_penguins),
        (KNeighborsRegressor(), frames.heavy_cars),
    ),
    *cases(
        9,
        (KNeighborsClassifier(weights="distance"), data.iris),
        (_scaled(KNeighborsClassifier(3, weights="distance")), frames.seattle),
        (KNeighborsRegressor(weights="distance"), frames.heavy_cars),
    ),
    *cases(
        10,
        (_scaled(NET), data.wine),
        (NET, data.iris),
        (
            _scaled(
                neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=400, random_state=0)
            ),
            data.diabetes,
        ),
    ),
    *cases(
        11,
        (LinearDiscriminantAnalysis(), data.wine),
        (LinearDiscriminantAnalysis(), frames.lilies),
        (QuadraticDiscriminantAnalysis(reg_param=0.01), data.iris),
        (QuadraticDiscriminantAnalysis(reg_param=0.01), frames.measured_penguins),
    ),
    *cases(
        12,
        (make_pipeline(PCA(3), LINE), frames.distant_iris),
        (make_pipeline(PCA(4, whiten=True), LINE), frames.distant_wine),
        (make_pipeline(StandardScaler(), PCA(2), LINE), frames.measured_penguins),
    ),
]
