"""XGBoost: every objective and booster, categories, missing numbers, Boosters, early stopping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFClassifier, XGBRFRegressor

import onnxport
from onnxport.errors import ExportError, UnsupportedModel, ValidationError
from tests.export import data

_USUAL = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1, "random_state": 0}


def _fresh(X: pd.DataFrame, count: int = 1500) -> pd.DataFrame:
    """Rows nobody trained on: columns swapped between rows, numbers moved, missing, huge, and ids
    that float32 can't hold.
    """
    rng = np.random.default_rng(5)
    rows = X.iloc[rng.integers(len(X), size=count)].reset_index(drop=True)
    other = X.iloc[rng.integers(len(X), size=count)].reset_index(drop=True)
    for name in rows.columns:
        rows[name] = rows[name].where(rng.random(count) < 0.7, other[name])
        if not isinstance(X[name].dtype, pd.CategoricalDtype):
            rows[name] = _moved(rows[name].to_numpy(dtype=float), rng)
    return rows


def _moved(numbers: Any, rng: np.random.Generator) -> Any:
    moved = numbers * np.where(rng.random(len(numbers)) < 0.3, 1.07, 1.0)
    for share, value in ((0.05, np.nan), (0.02, 2.0**24 + 1), (0.02, -1e30), (0.02, 0.0)):
        moved = np.where(rng.random(len(numbers)) < share, value, moved)
    return moved


def _agree(estimator: Any, X: Any, folder: Path, rows: Any = None, model: Any = None) -> Any:
    """Saves the model (the estimator, unless another is given), and compares with what the
    estimator says of rows, in the last bit.
    """
    report = onnxport.save(estimator if model is None else model, folder / "m.onnx", X)
    loaded = onnxport.load(folder / "m.onnx")
    if rows is None:
        rows = _fresh(pd.DataFrame(X))
        rows = rows if isinstance(X, pd.DataFrame) else rows.to_numpy()
    answers = loaded.predict(rows)
    found = [answer["prediction"] for answer in answers]
    np.testing.assert_array_equal(found, estimator.predict(rows))
    if "probabilities" in answers[0] and not report.signature.target_classes:
        shares = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(shares, estimator.predict_proba(rows), rtol=0, atol=2e-7)
    return report


def _positive() -> data.Data:
    X, y = data.diabetes()
    return X, y / 100


CLASSIFIERS: list[tuple[str, Any, Any]] = [
    ("two classes", XGBClassifier(**_USUAL), data.holes),
    ("hinge", XGBClassifier(objective="binary:hinge", **_USUAL), data.holes),
    ("margins", XGBClassifier(objective="binary:logitraw", **_USUAL), data.cancer),
    ("as a regression", XGBClassifier(objective="reg:squarederror", **_USUAL), data.cancer),
    ("forest", XGBRFClassifier(**_USUAL), data.holes),
    ("lines", XGBClassifier(booster="gblinear", n_estimators=12), data.cancer),
    ("ids", XGBClassifier(**_USUAL), data.ids),
    ("dropout", XGBClassifier(booster="dart", rate_drop=0.3, **_USUAL), data.cancer),
]


@pytest.mark.parametrize(
    ("name", "estimator", "make"), CLASSIFIERS, ids=[c[0] for c in CLASSIFIERS]
)
def test_two_classes(name: str, estimator: Any, make: Any, tmp_path: Path) -> None:
    assert name
    X, y = make()
    _agree(estimator.fit(X, y.astype(int)), X, tmp_path, rows=None if name != "lines" else X)


@pytest.mark.parametrize(
    "estimator",
    [
        XGBClassifier(**_USUAL),
        XGBClassifier(objective="multi:softmax", **_USUAL),
        XGBClassifier(num_parallel_tree=3, subsample=0.7, **_USUAL),
        XGBClassifier(booster="dart", rate_drop=0.5, skip_drop=0.2, **_USUAL),
        XGBClassifier(booster="gblinear", n_estimators=12, missing=0.0),
        XGBRFClassifier(**_USUAL),
    ],
    ids=["softprob", "softmax", "parallel trees", "dropout", "lines", "forest"],
)
def test_three_classes(estimator: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    codes = np.unique(y, return_inverse=True)[1]
    lines = estimator.booster == "gblinear"
    _agree(estimator.fit(X, codes), X, tmp_path, rows=X if lines else None)


@pytest.mark.parametrize(
    "objective",
    [
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:gamma",
        "reg:tweedie",
        "count:poisson",
        "survival:cox",
    ],
)
def test_regression(objective: str, tmp_path: Path) -> None:
    X, y = _positive()
    _agree(XGBRegressor(objective=objective, **_USUAL).fit(X, y), X, tmp_path)


def test_quantiles_are_several_targets(tmp_path: Path) -> None:
    X, y = data.diabetes()
    alphas = np.array([0.1, 0.5, 0.9])
    regressor = XGBRegressor(objective="reg:quantileerror", quantile_alpha=alphas, **_USUAL)
    report = _agree(regressor.fit(X, y), X, tmp_path)
    assert report.signature.outputs[0].width == 3


def test_survival_times_with_limits(tmp_path: Path) -> None:
    X, y = data.diabetes()
    matrix = xgboost.DMatrix(X)
    matrix.set_float_info("label_lower_bound", y / 100)
    matrix.set_float_info("label_upper_bound", y / 100 + 1)
    booster = xgboost.train({"objective": "survival:aft", "nthread": 1}, matrix, 12)
    _agree(_Asked(booster), X, tmp_path, model=booster)


def test_ranks_forests_dropout_and_lines(tmp_path: Path) -> None:
    X, y = data.diabetes()
    _agree(XGBRFRegressor(**_USUAL).fit(X, y), X, tmp_path)
    groups = np.repeat(np.arange(34), 13)
    for objective in ("rank:ndcg", "rank:pairwise", "rank:map"):
        ranker = XGBRanker(objective=objective, **_USUAL)
        _agree(ranker.fit(X, (y > 140).astype(int), qid=groups), X, tmp_path)
    dropout = XGBRegressor(booster="dart", sample_type="weighted", rate_drop=0.4, **_USUAL)
    _agree(dropout.fit(X, y), X, tmp_path)
    lines = XGBRegressor(booster="gblinear", n_estimators=12, objective="count:poisson")
    _agree(lines.fit(X, y), X, tmp_path, rows=X.mask(X > 0.06))


@pytest.mark.parametrize("strategy", ["one_output_per_tree", "multi_output_tree"])
def test_several_targets_and_labels(strategy: str, tmp_path: Path) -> None:
    X, y = data.diabetes()
    targets = np.column_stack([y, y**2, -y])
    options = {"multi_strategy": strategy, "tree_method": "hist", **_USUAL}
    _agree(XGBRegressor(**options).fit(X, targets), X, tmp_path)
    labels = (targets > np.median(targets, axis=0)).astype(int)
    classifier = XGBClassifier(**options).fit(X, labels)
    _agree(classifier, X, tmp_path)
    row = X.iloc[0].to_dict()
    answer = onnxport.load(tmp_path / "m.onnx").predict(row)
    shares = [part["1.0"] for part in answer["probabilities"]]
    np.testing.assert_array_equal(shares, classifier.predict_proba(X.head(1))[0])
    _agree(make_pipeline(StandardScaler(), classifier).fit(X, labels), X, tmp_path, rows=X)


def test_early_stopping_uses_the_best_round(tmp_path: Path) -> None:
    X, y = data.cancer()
    codes = y.astype(int)
    for booster in ("gbtree", "dart"):
        classifier = XGBClassifier(
            n_estimators=60, early_stopping_rounds=3, n_jobs=1, booster=booster, learning_rate=0.9
        )
        classifier.fit(X[:300], codes[:300], eval_set=[(X[300:], codes[300:])], verbose=False)
        assert classifier.best_iteration + 1 < classifier.get_booster().num_boosted_rounds()
        _agree(classifier, X, tmp_path)
        _agree(_Asked(classifier.get_booster()), X, tmp_path, model=classifier.get_booster())


class _Asked:
    """A Booster as its users ask it: labels 0 and 1 of a binary one."""

    def __init__(self, booster: Any, **options: Any) -> None:
        self._booster, self._options = booster, options

    def predict_proba(self, X: Any) -> Any:
        shares = self._booster.predict(xgboost.DMatrix(X, enable_categorical=True, **self._options))
        return shares if shares.ndim == 2 else np.column_stack([1 - shares, shares])

    def predict(self, X: Any) -> Any:
        answers = self._booster.predict(
            xgboost.DMatrix(X, enable_categorical=True, **self._options)
        )
        name = self._booster.save_config()
        if '"multi:softprob"' in name:
            return answers.argmax(axis=1)
        return (answers > 0.5).astype(int) if '"binary:' in name else answers


@pytest.mark.parametrize(
    ("parameters", "make"),
    [
        ({"objective": "binary:logistic"}, data.cancer),
        ({"objective": "binary:hinge"}, data.cancer),
        ({"objective": "multi:softprob", "num_class": 3}, data.wine),
        ({"objective": "multi:softmax", "num_class": 3}, data.wine),
        ({"objective": "reg:logistic"}, data.cancer),
        ({"booster": "dart", "rate_drop": 0.5, "objective": "binary:logistic"}, data.cancer),
        ({"booster": "gblinear", "objective": "binary:logistic", "nthread": 1}, data.cancer),
    ],
    ids=["binary", "hinge", "softprob", "softmax", "regression", "dropout", "lines"],
)
def test_boosters(parameters: dict[str, Any], make: Any, tmp_path: Path) -> None:
    X, y = make()
    codes = np.unique(y, return_inverse=True)[1]
    matrix = xgboost.DMatrix(X, label=codes)
    booster = xgboost.train({"nthread": 1, **parameters}, matrix, 8)
    rows = _fresh(X).clip(-1e30, 1e30) if parameters.get("booster") != "gblinear" else X
    _agree(_Asked(booster), X, tmp_path, rows=rows, model=booster)
    bare = xgboost.train({"nthread": 1, **parameters}, xgboost.DMatrix(X.to_numpy(), codes), 8)
    _agree(_Asked(bare), X.to_numpy(), tmp_path, rows=X.to_numpy(), model=bare)


def test_a_booster_of_margins_and_named_labels(tmp_path: Path) -> None:
    X, y = data.cancer()
    matrix = xgboost.DMatrix(X, label=y)
    booster = xgboost.train({"objective": "binary:logitraw", "nthread": 1}, matrix, 8)
    onnxport.save(booster, tmp_path / "m.onnx", X, labels=["benign", "malignant"])
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    expected = np.where(booster.predict(matrix) > 0, "malignant", "benign")
    assert [answer["prediction"] for answer in answers] == expected.tolist()
    assert "probabilities" not in answers[0]


def _categories() -> tuple[pd.DataFrame, Any]:
    """Categories of strings, beyond ASCII too, of integers and in an order, with nulls in them."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(
        {
            "city": pd.Categorical(rng.choice(["Graz", "Zürich", "東京", "é", "ê", "ë"], 600)),
            "x": rng.normal(size=600),
            "code": pd.Categorical(rng.integers(0, 40, 600) * 3 - 9),
            "size (m²)": pd.Categorical(rng.choice(["s", "m", "l"], 600), ordered=True),
            "id": rng.integers(0, 10**9, 600),
            "flag": rng.random(600) < 0.4,
        }
    )
    y = X["x"] + X["city"].cat.codes % 3 + X["code"].cat.codes % 4 + (X["id"] > 5e8)
    for name in ("city", "code"):
        X.loc[rng.random(600) < 0.1, name] = None
    return X, y.to_numpy()


@pytest.mark.parametrize("onehot", [1, 5, 100])
@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_categories(onehot: int, booster: str, tmp_path: Path) -> None:
    X, y = _categories()
    options = {"enable_categorical": True, "max_cat_to_onehot": onehot, **_USUAL}
    _agree(XGBRegressor(booster=booster, **options).fit(X, y), X, tmp_path)
    _agree(XGBClassifier(booster=booster, **options).fit(X, y > 3), X, tmp_path)
    matrix = xgboost.DMatrix(X, label=y, enable_categorical=True)
    bare = xgboost.train({"max_cat_to_onehot": onehot, "booster": booster}, matrix, 8)
    _agree(_Asked(bare), X, tmp_path, model=bare)


def test_unknown_categories_are_refused(tmp_path: Path) -> None:
    """XGBoost refuses the last in the alphabet, and takes others for the next in the alphabet."""
    X, y = _categories()
    options = {"enable_categorical": True, **_USUAL}
    onnxport.save(XGBRegressor(**options).fit(X, y), tmp_path / "m.onnx", X)
    model = onnxport.load(tmp_path / "m.onnx")
    row = {"city": "Graz", "x": 0.5, "code": 3, "size (m²)": "s", "id": 5, "flag": True}
    assert isinstance(model.predict(row)["prediction"], float)
    for change in ({"city": "Aachen"}, {"city": "zzz"}, {"code": 4}, {"code": 999}):
        with pytest.raises(ValidationError, match="no known category"):
            model.predict(row | change)
    handed_on = ColumnTransformer([("x", SimpleImputer(), ["x"])], remainder="passthrough")
    pipeline = make_pipeline(handed_on.set_output(transform="pandas"), XGBRegressor(**options))
    onnxport.save(pipeline.fit(X, y), tmp_path / "p.onnx", X)
    with pytest.raises(ValidationError):
        onnxport.load(tmp_path / "p.onnx").predict(row | {"city": "Aachen"})


@pytest.mark.parametrize("missing", [np.nan, -999.0, 0.1, 3.0, 0.0])
def test_codes_and_what_means_missing(missing: float, tmp_path: Path) -> None:
    """Codes that are plain numbers: fractional, negative and unknown ones; and in all columns a
    number that means missing, which NaN does too.
    """
    rng = np.random.default_rng(4)
    X = np.column_stack([rng.integers(0, 40, 700), rng.normal(size=700), rng.integers(0, 3, 700)])
    X[rng.random(X.shape) < 0.1] = missing
    y = np.nan_to_num(X[:, 0]) % 5 + np.nan_to_num(X[:, 1])
    codes = [0.5, -0.5, -1, 39.9, 40, 63, 64, 1e6, 2.0**24 - 1, 2.0**24, 1e30, np.inf, -np.inf]
    rows = X[rng.integers(700, size=2000)]
    rows[:, 0] = np.where(rng.random(2000) < 0.4, rng.choice(codes, 2000), rows[:, 0])
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[:, 2] = np.where(rng.random(2000) < 0.1, np.float32(missing), rows[:, 2])
    options = {"feature_types": ["c", "q", "c"], "enable_categorical": True, "missing": missing}
    model = XGBRegressor(**options, **_USUAL)
    _agree(model.fit(X, y), X, tmp_path, rows=rows)


def test_on_the_split_points(tmp_path: Path) -> None:
    """Splits, the float32 beside them, halfway between, and one double beside that."""
    X = np.random.default_rng(0).normal(size=(400, 1))
    regressor = XGBRegressor(max_bin=2000, n_estimators=5, max_depth=8, n_jobs=1)
    regressor.fit(X, np.arange(400.0))
    table = regressor.get_booster().trees_to_dataframe()
    splits = table["Split"].dropna().to_numpy(dtype=np.float32)
    sides = [np.nextafter(splits, np.float32(way)) for way in (-np.inf, np.inf)]
    halves = np.concatenate([(splits.astype(float) + side) / 2 for side in sides])
    steps = [np.nextafter(halves, way) for way in (-np.inf, np.inf)]
    rows = np.concatenate([splits, *sides, halves, *steps]).astype(float)[:, None]
    _agree(regressor, X, tmp_path, rows=rows)


@pytest.mark.parametrize(
    "parameters",
    [
        {"tree_method": "exact", "gamma": 1.0, "max_depth": 6},
        {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0, "tree_method": "hist"},
        {"tree_method": "approx", "subsample": 0.5, "colsample_bytree": 0.4},
        {"base_score": 0.9, "monotone_constraints": (1, *[0] * 29)},
        {"gamma": 1e6},
        {"n_estimators": 0},
    ],
    ids=["pruned", "by loss", "samples", "base score", "no split", "no round"],
)
def test_ways_to_grow(parameters: dict[str, Any], tmp_path: Path) -> None:
    X, y = data.holes()
    classifier = XGBClassifier(**(_USUAL | parameters)).fit(X, y.astype(int))
    _agree(classifier, X, tmp_path)


def test_a_forest_large_enough_for_turned_splits(tmp_path: Path) -> None:
    X, y = data.holes()
    classifier = XGBClassifier(n_estimators=400, max_depth=9, learning_rate=0.02, n_jobs=1)
    _agree(classifier.fit(X, y.astype(int)), X, tmp_path)


def test_frames_of_odd_dtypes_and_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    X = pd.DataFrame(
        {
            "a b": rng.normal(size=400).astype(np.float32),
            "a_b": rng.integers(0, 9, 400).astype(np.int8),
            "ü {x}": pd.array(rng.integers(0, 9, 400), dtype="Int64"),
            'q"': rng.random(400) < 0.5,
            "f": pd.array(rng.normal(size=400), dtype="Float64"),
        }
    )
    X.loc[X.index % 9 == 0, "ü {x}"] = pd.NA
    y = X["a b"] + X["a_b"] + X['q"']
    model = XGBRegressor(**_USUAL).fit(X, y)
    onnxport.save(model, tmp_path / "m.onnx", X)
    found = [answer["prediction"] for answer in onnxport.load(tmp_path / "m.onnx").predict(X)]
    np.testing.assert_array_equal(found, model.predict(X))


def test_inside_other_estimators(tmp_path: Path) -> None:
    X, y = data.penguins()
    X = X.drop(columns="year")
    numbers = [name for name in X.columns if name != "island"]
    codes = np.unique(y, return_inverse=True)[1]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prepare = ColumnTransformer([("n", SimpleImputer(), numbers), ("c", encoder, ["island"])])
    classifier = XGBClassifier(**_USUAL)
    final = LogisticRegression(max_iter=2000)
    for estimator in (
        classifier,
        VotingClassifier([("a", classifier), ("b", XGBClassifier(max_depth=1))], voting="soft"),
        StackingClassifier([("a", classifier)], final_estimator=final, cv=3),
        StackingClassifier([("a", make_pipeline(StandardScaler(), final))], classifier, cv=3),
        CalibratedClassifierCV(classifier, cv=3, method="isotonic"),
    ):
        pipeline = make_pipeline(prepare, estimator).fit(X, codes)
        _agree(pipeline, X, tmp_path, rows=X)


@pytest.mark.parametrize("threshold", [0.0, 1.0], ids=["dense", "sparse"])
def test_zeros_of_a_sparse_matrix_are_missing(threshold: float, tmp_path: Path) -> None:
    """One-hot columns, and numbers beside them that are 0, as XGBoost sees them in each."""
    rng = np.random.default_rng(8)
    X = pd.DataFrame(
        {
            "word": rng.choice(["a", "b", "c", "d", "e"], 500),
            "x": rng.integers(-2, 3, 500).astype(float),
        }
    )
    y = ((X["word"] == "b") ^ (X["x"] == 0)).to_numpy().astype(int)
    encoder = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer(
        [("c", encoder, ["word"]), ("n", "passthrough", ["x"])], sparse_threshold=threshold
    )
    rows = X.assign(word=np.where(rng.random(500) < 0.1, "z", X["word"]))
    for steps in ([], [MaxAbsScaler()]):
        pipeline = make_pipeline(prepare, *steps, XGBClassifier(**_USUAL)).fit(X, y)
        _agree(pipeline, X, tmp_path, rows=rows)


def test_what_is_refused_and_how(tmp_path: Path) -> None:
    X, y = data.cancer()
    two = XGBClassifier(objective="multi:softprob", num_class=2, **_USUAL).fit(X, y.astype(int))
    with pytest.raises(UnsupportedModel, match="binary:logistic"):
        onnxport.save(two, tmp_path / "m.onnx", X)
    X, target = _categories()
    model = XGBRegressor(enable_categorical=True, **_USUAL).fit(X, target)
    with pytest.raises(ExportError, match="'city' was a column of categories in training"):
        onnxport.save(model, tmp_path / "m.onnx", X.assign(city=0))
    more = X["city"].cat.add_categories("Linz")
    with pytest.raises(UnsupportedModel, match="has the category 'Linz', which training hadn't"):
        onnxport.save(model, tmp_path / "m.onnx", X.assign(city=more))
    assert not (tmp_path / "m.onnx").exists()


def test_an_objective_of_ones_own_answers_as_its_booster_does(tmp_path: Path) -> None:
    def squares(labels: Any, answers: Any) -> tuple[Any, Any]:
        return answers - labels, np.ones_like(answers)

    X, y = data.diabetes()
    _agree(XGBRegressor(objective=squares, **_USUAL).fit(X, y), X, tmp_path)
