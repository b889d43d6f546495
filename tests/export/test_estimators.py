"""Every family that converts: fit, save, load, and ask both on rows that the fit never saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import (
    calibration,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    multiclass,
    naive_bayes,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import onnxport
from tests.export import data

make_pipeline = pipeline.make_pipeline
LogisticRegression = linear_model.LogisticRegression
Forest = ensemble.RandomForestClassifier


def _encoded(**options: Any) -> compose.ColumnTransformer:
    """Imputed and scaled numbers, one-hot strings, and a boolean as it is; `class` is dropped."""
    numbers = make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    return compose.ColumnTransformer(
        [
            ("numbers", numbers, ["age", "income (k€)"]),
            ("city", preprocessing.OneHotEncoder(**options), ["city"]),
            ("flag", "passthrough", ["2nd"]),
        ]
    )


def _ordinal(**options: Any) -> compose.ColumnTransformer:
    encoder = preprocessing.OrdinalEncoder(**options)
    return compose.ColumnTransformer(
        [("o", encoder, ["city", "class"])], remainder=preprocessing.MinMaxScaler()
    )


def _voters() -> list[tuple[str, Any]]:
    return [
        ("line", LogisticRegression(max_iter=2000)),
        ("tree", tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("bayes", naive_bayes.GaussianNB()),
    ]


CLASSIFIERS: list[Any] = [
    LogisticRegression(max_iter=300),
    linear_model.SGDClassifier(loss="log_loss", random_state=0),
    linear_model.SGDClassifier(loss="modified_huber", random_state=0),
    linear_model.SGDClassifier(random_state=0),
    linear_model.RidgeClassifier(),
    linear_model.Perceptron(random_state=0),
    svm.LinearSVC(random_state=0),
    svm.SVC(),
    svm.SVC(kernel="poly"),
    svm.NuSVC(nu=0.2),
    naive_bayes.GaussianNB(),
    naive_bayes.MultinomialNB(),
    naive_bayes.ComplementNB(),
    naive_bayes.BernoulliNB(binarize=1.0),
    neural_network.MLPClassifier(max_iter=40, random_state=0),
    discriminant_analysis.LinearDiscriminantAnalysis(),
    tree.DecisionTreeClassifier(random_state=0),
    tree.ExtraTreeClassifier(random_state=0),
    Forest(30, max_depth=3, random_state=0),
    ensemble.ExtraTreesClassifier(20, min_samples_leaf=3, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=5, init="zero", random_state=0),
    ensemble.HistGradientBoostingClassifier(max_iter=15, random_state=0),
    ensemble.AdaBoostClassifier(n_estimators=8, random_state=0),
    ensemble.BaggingClassifier(max_features=0.5, random_state=0),
    ensemble.VotingClassifier(_voters(), voting="soft", weights=[1, 3, 2]),
    ensemble.VotingClassifier(_voters()),
    ensemble.StackingClassifier(_voters(), passthrough=True),
    multiclass.OneVsRestClassifier(LogisticRegression(max_iter=300)),
    multiclass.OneVsRestClassifier(tree.DecisionTreeClassifier(max_depth=3, random_state=0)),
    calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=0)),
    calibration.CalibratedClassifierCV(Forest(8, max_depth=3, random_state=0)),
    GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.1, 1]}),
]
BINARY_ONLY: list[Any] = [
    ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=10, random_state=0),
    linear_model.LogisticRegression(solver="liblinear"),
]
REGRESSORS: list[Any] = [
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.Lasso(),
    linear_model.ElasticNet(),
    linear_model.BayesianRidge(),
    linear_model.HuberRegressor(max_iter=1000),
    linear_model.RANSACRegressor(random_state=0),
    linear_model.PoissonRegressor(),
    linear_model.GammaRegressor(),
    linear_model.TweedieRegressor(power=1.5),
    linear_model.TweedieRegressor(power=0),
    svm.SVR(),
    svm.NuSVR(),
    svm.LinearSVR(random_state=0),
    neural_network.MLPRegressor(max_iter=40, random_state=0),
    tree.DecisionTreeRegressor(random_state=0),
    ensemble.RandomForestRegressor(15, random_state=0),
    ensemble.ExtraTreesRegressor(15, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=30, random_state=0),
    ensemble.GradientBoostingRegressor(loss="quantile", n_estimators=10, random_state=0),
    ensemble.HistGradientBoostingRegressor(max_iter=15),
    ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=15),
    ensemble.HistGradientBoostingRegressor(loss="gamma", max_iter=15),
    ensemble.BaggingRegressor(max_features=0.5, random_state=0),
    ensemble.VotingRegressor(
        [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3))]
    ),
    ensemble.StackingRegressor(
        [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3))]
    ),
]
TRANSFORMERS: list[Any] = [
    preprocessing.StandardScaler(),
    preprocessing.StandardScaler(with_mean=False),
    preprocessing.MinMaxScaler(clip=True),
    preprocessing.MaxAbsScaler(),
    preprocessing.RobustScaler(),
    preprocessing.Normalizer(),
    preprocessing.Normalizer("l1"),
    preprocessing.Normalizer("max"),
    preprocessing.Binarizer(threshold=2.0),
    preprocessing.PolynomialFeatures(2),
    preprocessing.PolynomialFeatures(3, interaction_only=True, include_bias=False),
    decomposition.PCA(4),
    decomposition.PCA(4, whiten=True),
    decomposition.TruncatedSVD(3),
    feature_selection.SelectKBest(k=4),
    feature_selection.VarianceThreshold(0.2),
    feature_selection.SelectFromModel(tree.DecisionTreeClassifier(random_state=0)),
    pipeline.FeatureUnion(
        [("a", preprocessing.StandardScaler()), ("b", decomposition.PCA(2))],
        transformer_weights={"b": 0.5},
    ),
]
HARD: list[tuple[str, Any, Callable[[], data.Data]]] = [
    ("forest with missing values", Forest(15, random_state=0), data.holes),
    ("tree with missing values", tree.DecisionTreeClassifier(random_state=0), data.holes),
    (
        "histogram with missing values",
        ensemble.HistGradientBoostingClassifier(max_iter=15),
        data.holes,
    ),
    (
        "imputed",
        make_pipeline(
            impute.SimpleImputer(strategy="median"),
            preprocessing.StandardScaler(),
            LogisticRegression(max_iter=500),
        ),
        data.holes,
    ),
    ("tree on ids", tree.DecisionTreeClassifier(random_state=0), data.ids),
    ("histogram on ids", ensemble.HistGradientBoostingClassifier(max_iter=15), data.ids),
    (
        "scaled tree on ids",
        make_pipeline(preprocessing.StandardScaler(), tree.DecisionTreeClassifier(random_state=0)),
        data.ids,
    ),
    (
        "scaled line on ids",
        make_pipeline(preprocessing.StandardScaler(), LogisticRegression()),
        data.ids,
    ),
    ("one-hot, error", make_pipeline(_encoded(), LogisticRegression(max_iter=500)), data.mixed),
    (
        "one-hot, ignore",
        make_pipeline(_encoded(handle_unknown="ignore"), Forest(15, random_state=0)),
        data.mixed,
    ),
    (
        "one-hot, drop",
        make_pipeline(
            _encoded(drop="first"),
            ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
        ),
        data.mixed,
    ),
    (
        "ordinal, error",
        make_pipeline(_ordinal(), tree.DecisionTreeClassifier(random_state=0)),
        data.mixed,
    ),
    (
        "ordinal, value",
        make_pipeline(
            _ordinal(handle_unknown="use_encoded_value", unknown_value=-1),
            Forest(10, random_state=0),
        ),
        data.mixed,
    ),
    ("bare array", Forest(20, random_state=0), data.digits),
    ("bare array, line", LogisticRegression(max_iter=50), data.digits),
]


def _name(case: Any) -> str:
    return type(case).__name__


def _prove(estimator: Any, X: Any, y: Any, folder: Path) -> onnxport.Model:
    """Fits on half, saves, and compares on the other half through the loaded file."""
    cut = len(X) // 2
    order = np.random.default_rng(5).permutation(len(X))
    half, other = order[:cut], order[cut:]
    rows = X.iloc if hasattr(X, "iloc") else X
    labels = np.asarray(y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        estimator.fit(rows[half], labels[half])
    report = onnxport.save(estimator, folder / "m.onnx", rows[half], labels[half])
    assert report.parity.label_flips == 0
    assert report.parity.max_abs <= report.parity.tolerance
    assert report.parity.rows > 2000
    model = onnxport.load(folder / "m.onnx")
    answers = model.predict(rows[other])
    expected = estimator.predict(rows[other])
    found = [answer["prediction"] for answer in answers]
    if report.signature.classes:
        assert found == expected.tolist()
    else:
        np.testing.assert_allclose(found, np.asarray(expected).reshape(np.shape(found)), rtol=1e-5)
    if hasattr(estimator, "predict_proba"):
        proba = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(proba, estimator.predict_proba(rows[other]), atol=1e-5)
    return model


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=_name)
def test_classifiers_of_three_strings(estimator: Any, tmp_path: Path) -> None:
    _prove(estimator, *data.wine(), tmp_path)


@pytest.mark.parametrize(
    "estimator", CLASSIFIERS[:1] + CLASSIFIERS[1:27:2] + BINARY_ONLY, ids=_name
)
def test_classifiers_of_two_booleans(estimator: Any, tmp_path: Path) -> None:
    _prove(estimator, *data.cancer(), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("make", [data.cancer, data.iris, data.ids], ids=["cancer", "iris", "ids"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=_name)
def test_all_classifiers_on_more_data(
    estimator: Any, make: Callable[[], data.Data], tmp_path: Path
) -> None:
    _prove(estimator, *make(), tmp_path)


@pytest.mark.parametrize("estimator", REGRESSORS, ids=_name)
def test_regressors(estimator: Any, tmp_path: Path) -> None:
    _prove(estimator, *data.diabetes(), tmp_path)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=_name)
def test_transformers_before_a_line(transformer: Any, tmp_path: Path) -> None:
    _prove(make_pipeline(transformer, LogisticRegression(max_iter=100)), *data.wine(), tmp_path)


@pytest.mark.parametrize(("name", "estimator", "make"), HARD, ids=[case[0] for case in HARD])
def test_hard_data(
    name: str, estimator: Any, make: Callable[[], data.Data], tmp_path: Path
) -> None:
    assert name
    _prove(estimator, *make(), tmp_path)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=200),
        Forest(15, random_state=0),
        ensemble.HistGradientBoostingClassifier(max_iter=10),
        make_pipeline(preprocessing.StandardScaler(), Forest(15, random_state=0)),
        make_pipeline(preprocessing.MinMaxScaler(), tree.DecisionTreeClassifier(random_state=0)),
    ],
    ids=_name,
)
def test_float32_training_data(estimator: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    _prove(estimator, X.to_numpy(np.float32), y, tmp_path)


def test_two_targets(tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = _prove(linear_model.LinearRegression(), X, np.column_stack([y, -y]), tmp_path)
    answer = model.predict(X.iloc[0].to_dict())
    assert len(answer["prediction"]) == 2
    assert answer["prediction"][0] == pytest.approx(-answer["prediction"][1])


def test_several_targets_in_a_forest(tmp_path: Path) -> None:
    X, y = data.diabetes()
    forest = ensemble.RandomForestRegressor(10, random_state=0)
    _prove(forest, X, np.column_stack([y, y**2, -y]), tmp_path)


def test_labels_that_do_not_start_at_zero(tmp_path: Path) -> None:
    X, _ = data.iris()
    y = np.repeat([7, 3, 11], 50)
    model = _prove(Forest(10, random_state=0), X, y, tmp_path)
    assert list(model.predict(X.iloc[0].to_dict())["probabilities"]) == ["3", "7", "11"]
