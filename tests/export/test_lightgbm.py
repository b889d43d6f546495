"""LightGBM's models against LightGBM itself, on rows that it wasn't trained on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import onnxport
from onnxport.errors import UnsupportedModel, ValidationError
from onnxport.export.boosters.lightgbm_boosters import adapt_booster
from onnxport.signature import NULL_TOKEN
from tests.export import data
from tests.export.answering import expected_answers, same

Classifier, Regressor, Ranker = lgb.LGBMClassifier, lgb.LGBMRegressor, lgb.LGBMRanker
SMALL: dict[str, Any] = {
    "n_estimators": 10,
    "min_child_samples": 5,
    "num_leaves": 12,
    "n_jobs": 1,
    "verbose": -1,
}
QUIET: dict[str, Any] = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 12}
ROWS = 1500


def _answers_alike(model: Any, X: Any, rows: Any, folder: Path, *, bar: float = 1e-9) -> None:
    """Saves a fitted model, and compares it with the file on other rows."""
    report = onnxport.save(model, folder / "m.onnx", X)
    assert report.parity.label_flips == 0
    loaded = onnxport.load(folder / "m.onnx")
    asked = adapt_booster(model) if isinstance(model, lgb.Booster) else model
    wanted, found = expected_answers(asked, rows), loaded.predict(rows)
    apart = [i for i in range(len(found)) if not same(wanted[i], found[i], bar)]
    assert not apart, (len(apart), wanted[apart[0]], found[apart[0]])


def _splits(model: Any) -> dict[str, Any]:
    """The split points of each feature, as LightGBM tells them."""
    booster = model if isinstance(model, lgb.Booster) else model.booster_
    frame = booster.trees_to_dataframe()
    frame = frame[frame["decision_type"] == "<="]
    return {
        name: part["threshold"].astype(float).to_numpy()
        for name, part in frame.groupby("split_feature")
    }


def _fresh(X: Any, model: Any = None, rows: int = ROWS) -> Any:
    """Rows of numbers like those of X, with null, with numbers on split points and beside them, and with
    those that are next to nothing, or huge.
    """
    rng = np.random.default_rng(5)
    splits = {} if model is None else _splits(model)
    matrix = np.asarray(X, dtype=np.float64)
    columns = []
    for i, column in enumerate(matrix.T):
        values = rng.choice(column, rows)
        known = column[np.isfinite(column)]
        values += np.where(rng.random(rows) < 0.3, rng.normal(0, known.std() + 1e-9, rows), 0)
        name = str(X.columns[i]).replace(" ", "_") if hasattr(X, "columns") else f"Column_{i}"
        if len(points := splits.get(name, np.zeros(0))):
            on = rng.random(rows) < 0.3
            sides = np.array([0.0, np.inf, -np.inf])[rng.integers(3, size=on.sum())]
            chosen = rng.choice(points, on.sum())
            values[on] = np.where(sides == 0, chosen, np.nextafter(chosen, sides))
        odd = [np.nan, 0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, 1e12, -1e300, 2.0**24 + 1, -0.5]
        odd += [float(np.float32(1e-35)), -float(np.float32(1e-35))]
        where = rng.random(rows) < 0.2
        values[where] = rng.choice(odd, where.sum())
        columns.append(values)
    table = np.column_stack(columns)
    return pd.DataFrame(table, columns=X.columns) if hasattr(X, "columns") else table


def _numbers(rows: int = 500) -> tuple[Any, Any]:
    """Numbers, whole ones with many zeros, and holes; a score that hangs on all of them."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "plain": rng.normal(size=rows),
            "whole": rng.integers(-3, 4, rows).astype(float),
            "holes": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
            "sparse": np.where(rng.random(rows) < 0.6, 0.0, rng.normal(size=rows)),
        }
    )
    score = X["plain"] + np.sin(2 * X["whole"]) + X["holes"].isna() + 2 * (X["sparse"] == 0)
    return X, score.to_numpy()


def _classes(score: Any, count: int) -> Any:
    return np.digitize(score, np.quantile(score, np.linspace(0, 1, count + 1)[1:-1]))


REGRESSION = ["regression", "regression_l1", "huber", "fair", "quantile", "mape"]


@pytest.mark.parametrize(
    ("objective", "reg_sqrt"),
    [
        *((objective, False) for objective in [*REGRESSION, "poisson", "gamma", "tweedie"]),
        *((objective, True) for objective in ["regression", "huber", "quantile", "poisson"]),
    ],
)
def test_objectives_of_regression(objective: str, reg_sqrt: bool, tmp_path: Path) -> None:
    X, score = _numbers()
    model = Regressor(objective=objective, reg_sqrt=reg_sqrt, **SMALL).fit(X, np.exp(score / 2))
    _answers_alike(model, X, _fresh(X, model), tmp_path)


@pytest.mark.parametrize(
    "objective", ["binary", "cross_entropy", "cross_entropy_lambda", "regression", "poisson"]
)
def test_objectives_of_two_classes(objective: str, tmp_path: Path) -> None:
    X, score = _numbers()
    labels = np.array(["no", "yes"], dtype=object)[_classes(score, 2)]
    model = Classifier(objective=objective, sigmoid=2.5, **SMALL).fit(X, labels)
    _answers_alike(model, X, _fresh(X, model), tmp_path)


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
@pytest.mark.parametrize("classes", [2, 4])
def test_objectives_of_several_classes(objective: str, classes: int, tmp_path: Path) -> None:
    X, score = _numbers()
    model = Classifier(objective=objective, sigmoid=0.7, num_class=classes, **SMALL)
    model.fit(X, _classes(score, classes))
    _answers_alike(model, X, _fresh(X, model), tmp_path)


def test_of_probabilities_that_are_all_one_the_first_wins(tmp_path: Path) -> None:
    """Where raw scores still differ, LightGBM's probabilities are the same."""
    X, score = _numbers()
    parameters = {"objective": "multiclassova", "num_class": 3} | QUIET
    booster = lgb.train(parameters, lgb.Dataset(X, _classes(score, 3)), 1)
    for tree in range(3):
        for leaf in range(_leaves(booster, tree)):
            booster.set_leaf_output(tree, leaf, 118 + 100 * booster.get_leaf_output(tree, leaf))
    rows = _fresh(X, booster)
    ties = (booster.predict(rows) == 1.0).all(axis=1)
    raw = booster.predict(rows, raw_score=True)
    assert (ties & (raw.argmax(axis=1) > 0)).sum() > 50
    _answers_alike(booster, X, rows, tmp_path)


@pytest.mark.parametrize("sigmoid", [1.0, 2.5])
def test_a_probability_of_one_half(sigmoid: float, tmp_path: Path) -> None:
    """A score of 1e-16 is rounded to it, and is then no sign of the second class."""
    X, y = np.arange(40.0)[:, None], np.arange(40) % 2
    more = {"min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0, "min_data_in_bin": 1}
    parameters = QUIET | more | {"objective": "binary", "sigmoid": sigmoid, "num_leaves": 40}
    booster = lgb.train(parameters, lgb.Dataset(X, y), 1)
    scores = np.linspace(-1e-16, 2.4e-16, _leaves(booster, 0)) / sigmoid
    for leaf, score in enumerate(scores):
        booster.set_leaf_output(0, leaf, score)
    labels = booster.predict(X) > 0.5
    assert 0 < labels.sum() < (booster.predict(X, raw_score=True) > 0).sum()
    _answers_alike(booster, X, X, tmp_path)


def _leaves(booster: lgb.Booster, tree: int) -> int:
    return int(booster.dump_model()["tree_info"][tree]["num_leaves"])


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_ranking(objective: str, tmp_path: Path) -> None:
    X, score = _numbers()
    model = Ranker(objective=objective, **SMALL).fit(X, _classes(score, 4), group=[50] * 10)
    _answers_alike(model, X, _fresh(X, model), tmp_path)


@pytest.mark.parametrize(
    "parameters",
    [
        {"zero_as_missing": True},
        {"use_missing": False},
        {"boosting_type": "rf", "subsample": 0.6, "subsample_freq": 1},
        {"boosting_type": "dart", "drop_rate": 0.5},
        {"data_sample_strategy": "goss", "top_rate": 0.3},
        {"linear_tree": True, "linear_lambda": 0.1},
        {"extra_trees": True, "max_bin": 7},
        {"boost_from_average": False, "is_unbalance": True, "max_depth": 1},
        {"num_leaves": 300, "min_child_samples": 1, "learning_rate": 1.0},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_ways_to_grow_trees(parameters: dict[str, Any], tmp_path: Path) -> None:
    X, score = _numbers()
    three = Classifier(**SMALL | parameters).fit(X, _classes(score, 3))
    _answers_alike(three, X, _fresh(X, three), tmp_path)
    value = Regressor(**SMALL | parameters).fit(X, score)
    _answers_alike(value, X, _fresh(X, value), tmp_path, bar=1e-12)


def test_one_feature_with_two_kinds_of_missing(tmp_path: Path) -> None:
    """The later trees take 0 for missing, the first ones NaN alone."""
    X, score = _numbers()
    first = Regressor(**SMALL).fit(X, score)
    both = Regressor(zero_as_missing=True, **SMALL).fit(X, score**2, init_model=first)
    _answers_alike(both, X, _fresh(X, both), tmp_path)


def test_linear_leaves_behind_holes_and_infinity(tmp_path: Path) -> None:
    """The gate tries infinity; there LightGBM's probabilities are NaN, which is the largest to numpy."""
    X, score = _numbers()
    X = X[["plain", "holes"]]
    model = Classifier(objective="multiclassova", linear_tree=True, **SMALL)
    model.fit(X, _classes(score, 3))
    infinite = X.assign(plain=np.inf)
    proba = model.predict_proba(infinite)
    assert (np.isnan(proba).any(axis=1) & np.isfinite(proba[:, 0])).any()
    _answers_alike(model, X, _fresh(X, model), tmp_path)


def test_trees_without_a_split(tmp_path: Path) -> None:
    X, _ = _numbers()
    for linear in (False, True):
        model = Regressor(linear_tree=linear, **SMALL).fit(X, np.full(len(X), 2.5))
        _answers_alike(model, X, _fresh(X), tmp_path)


def test_sums_are_equal_to_the_last_bit(tmp_path: Path) -> None:
    """Thresholds and leaves are read as the doubles that LightGBM computes with."""
    X, y = data.diabetes()
    model = Regressor(**SMALL | {"n_estimators": 60}).fit(X, y * 1e6 / 7)
    rows = _fresh(X, model)
    onnxport.save(model, tmp_path / "m.onnx", X)
    found = [answer["prediction"] for answer in onnxport.load(tmp_path / "m.onnx").predict(rows)]
    assert found == model.predict(rows).tolist()


def _categories(rows: int = 600) -> tuple[Any, Any]:
    """Categories of every type, some missing, beside a number."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(
        {
            "amount": rng.normal(size=rows),
            "city": pd.Categorical(rng.choice(["Graz", "Paris", "東京", "", "Oslo", "Bonn"], rows)),
            "zip": pd.Categorical(rng.choice([70000, 9, -4, 1010, 88], rows)),
            "rate": pd.Categorical(rng.choice([0.5, 1.0, 2.25], rows)),
            "member": pd.Categorical(rng.random(rows) < 0.4),
            "size": pd.Categorical(
                rng.choice(["S", "M", "L"], rows), categories=["S", "M", "L"], ordered=True
            ),
        }
    )
    for name in ("city", "zip", "size"):
        X.loc[rng.random(rows) < 0.1, name] = None
    score = X["amount"] + X["city"].cat.codes % 3 - X["zip"].cat.codes % 2 + X["size"].cat.codes
    return X, (score + 2 * X["member"].astype(float)).to_numpy()


def _strangers(X: Any) -> Any:
    """Rows of X, with null and with categories that nobody saw."""
    rows = X.sample(900, replace=True, random_state=1, ignore_index=True)
    rng = np.random.default_rng(1)
    for name, unseen in {"city": "Wien", "zip": 70001, "rate": 0.75, "size": "XL"}.items():
        column = rows[name].cat.add_categories([unseen])
        column[rng.random(len(rows)) < 0.2] = unseen
        column[rng.random(len(rows)) < 0.1] = None
        rows[name] = column
    return rows


CATEGORICAL = {"cat_smooth": 1, "min_data_per_group": 5}


@pytest.mark.parametrize("onehot", [1, 64])
def test_pandas_categories(onehot: int, tmp_path: Path) -> None:
    X, score = _categories()
    model = Classifier(max_cat_to_onehot=onehot, **CATEGORICAL, **SMALL)
    model.fit(X, _classes(score, 3))
    _answers_alike(model, X, _strangers(X), tmp_path)


def test_codes_of_pandas_categories_as_numbers_and_as_sets(tmp_path: Path) -> None:
    """An ordered column is a number to LightGBM, unless it is told otherwise, as an unordered one is."""
    X, score = _categories()
    model = Regressor(**CATEGORICAL, **SMALL).fit(X, score, categorical_feature=["size", "zip"])
    _answers_alike(model, X, _strangers(X), tmp_path)


def test_categories_of_training_in_another_order(tmp_path: Path) -> None:
    X, score = _categories()
    model = Regressor(**CATEGORICAL, **SMALL).fit(X, score)
    other = X.assign(city=X["city"].cat.set_categories(["Oslo", "", "Rom", "Graz", "東京", "Bonn"]))
    _answers_alike(model, other, _strangers(X), tmp_path)


def test_the_sign_for_null_is_no_category(tmp_path: Path) -> None:
    X, score = _categories()
    trained = X.assign(city=X["city"].cat.rename_categories({"Graz": NULL_TOKEN}))
    model = Regressor(**CATEGORICAL, **SMALL).fit(trained, score + 9 * (X["city"] == "Graz"))
    known = trained[trained["city"] != NULL_TOKEN]
    _answers_alike(model, known, known, tmp_path)


@pytest.mark.parametrize("linear_tree", [False, True])
def test_codes_in_an_array_are_cut_off(linear_tree: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    codes = rng.choice([0, 1, 2, 7, 40, 123_456_789], 600)
    X = np.column_stack([codes, rng.normal(size=600), 1.5 * rng.integers(-2, 6, 600)])
    y = np.sin(X[:, 0]) + X[:, 1] + (X[:, 2] == 3)
    model = Regressor(linear_tree=linear_tree, **CATEGORICAL, **SMALL)
    model.fit(X, y, categorical_feature=[0, 2])
    rows = _fresh(X, model)
    odd = [np.nan, -0.9, -1, 0.9, 1.999, 2**31, 2**32 + 1, -(2.0**40), 1e300, 123_456_789.5, 41]
    rows[: len(odd), 0], rows[: len(odd), 2] = odd, odd[::-1]
    _answers_alike(model, X, rows, tmp_path)


def test_thousands_of_categories(tmp_path: Path) -> None:
    """The sets take no more room in the file than in LightGBM's own."""
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 2000, 5000)
    X = pd.DataFrame({"shop": pd.Categorical([f"s{code}" for code in codes]), "x": codes % 7 * 1.0})
    y = rng.normal(size=2000)[codes] + X["x"]
    model = Regressor(max_cat_threshold=400, **CATEGORICAL, **SMALL | {"n_estimators": 40})
    model.fit(X, y)
    rows = X.sample(2000, random_state=0, ignore_index=True)
    rows["shop"] = rows["shop"].cat.add_categories(["s2000"]).where(rows.index % 9 > 0, "s2000")
    _answers_alike(model, X, rows, tmp_path)
    assert (tmp_path / "m.onnx").stat().st_size < len(model.booster_.model_to_string())


def test_ids_and_times(tmp_path: Path) -> None:
    X, y = data.ids()
    model = Classifier(**SMALL).fit(X, y)
    rows = pd.concat([X] * 4, ignore_index=True) + np.random.default_rng(0).integers(
        -3, 4, (4 * len(X), 2)
    )
    _answers_alike(model, X, rows, tmp_path)


def test_whole_numbers_in_arrays(tmp_path: Path) -> None:
    X, y = data.ids()
    small, floats = X.to_numpy() % 10_000, X.to_numpy(float)
    for array in (small, floats):
        model = Classifier(**SMALL).fit(array, y)
        _answers_alike(model, array, array[::-1], tmp_path)


@pytest.mark.parametrize("linear_tree", [False, True])
def test_rows_that_hang_on_their_batch_are_refused(linear_tree: bool, tmp_path: Path) -> None:
    """LightGBM rounds an array of whole numbers to float32, unless a NaN in it makes it float64."""
    X, y = data.ids()
    array = X.to_numpy().copy()
    if linear_tree:
        array %= 2**23
    model = Regressor(linear_tree=linear_tree, **SMALL).fit(array, y * 1.0)
    report = onnxport.save(model, tmp_path / "m.onnx", array)
    assert report.signature.output("refused") is not None
    loaded = onnxport.load(tmp_path / "m.onnx")
    points = np.concatenate(list(_splits(model).values()))
    rng = np.random.default_rng(0)
    rows = array[rng.integers(len(array), size=200)]
    rows[:, 0] = np.floor(rng.choice(points, 200)) + rng.integers(-40, 40, 200)
    rows[::9, 0] += 2**24 if linear_tree else 0
    alone, apart = model.predict(rows), model.predict(rows.astype(float))
    clear = alone == apart
    assert 20 < clear.sum() < 200
    found = [answer["prediction"] for answer in loaded.predict(rows[clear])]
    assert found == alone[clear].tolist()
    for row in rows[~clear][:10]:
        with pytest.raises(ValidationError, match="a number is too large for it"):
            loaded.predict(row[None, :])


@pytest.mark.parametrize("dtype", ["float32", "object"])
def test_arrays_of_other_dtypes(dtype: str, tmp_path: Path) -> None:
    X, y = data.cancer()
    array = X.to_numpy(float)[:, :6].astype(dtype)
    model = Classifier(**SMALL).fit(array, y)
    rows = _fresh(array, model)
    rows[np.abs(rows) > 1e30] = 1e30
    _answers_alike(model, array, rows.astype(dtype), tmp_path)


def test_names_as_the_frame_spells_them(tmp_path: Path) -> None:
    """LightGBM writes spaces as underscores, and whole numbers as strings."""
    X, y = data.cancer()
    odd = X[["mean radius", "mean area"]].set_axis(["Tree=0", "a\tb = é "], axis=1)
    _answers_alike(Classifier(**SMALL).fit(odd, y), odd, _fresh(odd), tmp_path)
    X = X[["mean radius", "mean texture", "worst area"]]
    model = Classifier(**SMALL).fit(X, y)
    assert list(model.feature_names_in_) == ["mean_radius", "mean_texture", "worst_area"]
    _answers_alike(model, X, _fresh(X, model), tmp_path)
    assert onnxport.load(tmp_path / "m.onnx").signature.names == tuple(X.columns)
    numbered = X.set_axis([0, 1, 2], axis=1)
    report = onnxport.save(Classifier(**SMALL).fit(numbered, y), tmp_path / "n.onnx", numbered)
    assert report.signature.names == ("0", "1", "2")


def test_without_a_sample(tmp_path: Path) -> None:
    X, score = _numbers()
    model = Regressor(zero_as_missing=True, **SMALL).fit(X, score)
    onnxport.save(model, tmp_path / "m.onnx")
    rows = _fresh(X, model)
    found = [answer["prediction"] for answer in onnxport.load(tmp_path / "m.onnx").predict(rows)]
    assert found == model.predict(rows).tolist()


BOOSTERS: list[tuple[dict[str, Any], int]] = [
    ({"objective": "binary", "sigmoid": 2.0}, 2),
    ({"objective": "multiclass", "num_class": 3}, 3),
    ({"objective": "multiclassova", "num_class": 3}, 3),
    ({"objective": "poisson"}, 3),
    ({"objective": "cross_entropy"}, 2),
]


@pytest.mark.parametrize(
    ("parameters", "classes"), BOOSTERS, ids=[case[0]["objective"] for case in BOOSTERS]
)
def test_bare_boosters(parameters: dict[str, Any], classes: int, tmp_path: Path) -> None:
    X, score = _categories()
    trained = lgb.Dataset(X, _classes(score, classes))
    booster = lgb.train(parameters | QUIET | CATEGORICAL, trained, 8)
    _answers_alike(booster, X, _strangers(X), tmp_path)
    booster.save_model(tmp_path / "model.txt")
    _answers_alike(lgb.Booster(model_file=tmp_path / "model.txt"), X, _strangers(X), tmp_path)


def test_a_booster_answers_with_classes_or_numbers(tmp_path: Path) -> None:
    X, score = _numbers()
    array = X.to_numpy().copy()
    two = lgb.train({"objective": "binary"} | QUIET, lgb.Dataset(array, _classes(score, 2)), 5)
    report = onnxport.save(two, tmp_path / "m.onnx", array)
    assert (report.signature.task, report.signature.classes) == ("binary_classification", (0, 1))
    assert report.signature.names == ("x0", "x1", "x2", "x3")
    values = lgb.train(QUIET, lgb.Dataset(array, score), 5, keep_training_booster=True)
    assert onnxport.save(values, tmp_path / "m.onnx", array).signature.task == "regression"
    values.update()
    _answers_alike(values, array, _fresh(array, values), tmp_path)


def _squares(scores: Any, trained: Any) -> tuple[Any, Any]:
    wanted = trained.get_label() if hasattr(trained, "get_label") else trained
    wanted = wanted if scores.ndim == 1 else wanted[:, None]
    return scores - wanted, np.ones_like(scores)


def test_an_objective_that_is_a_function_gives_raw_scores(tmp_path: Path) -> None:
    X, score = _numbers()
    for more in ({}, {"num_class": 2}):
        parameters = {"objective": _squares} | more | QUIET
        booster = lgb.train(parameters, lgb.Dataset(X, score), 5)
        _answers_alike(booster, X, _fresh(X, booster), tmp_path)
    model = Regressor(objective=lambda y, scores: _squares(scores, y), **SMALL).fit(X, score)
    _answers_alike(model, X, _fresh(X, model), tmp_path)
    many = Classifier(objective="multiclass", num_class=3, **SMALL).fit(X, _classes(score, 2))
    with pytest.raises(UnsupportedModel, match="parameter num_class"):
        onnxport.save(many, tmp_path / "m.onnx", X)
    labels = Classifier(objective=lambda y, scores: _squares(scores, y), **SMALL)
    with pytest.raises(UnsupportedModel, match="parameter objective"):
        onnxport.save(labels.fit(X, _classes(score, 2)), tmp_path / "m.onnx", X)


def test_the_best_iteration(tmp_path: Path) -> None:
    X, score = _numbers()
    y = _classes(score, 2)
    model = Classifier(**SMALL | {"n_estimators": 80, "learning_rate": 0.6})
    stop = lgb.early_stopping(3, verbose=False)
    model.fit(X[:300], y[:300], eval_X=X[300:], eval_y=y[300:], callbacks=[stop])
    assert model.best_iteration_ < 80
    _answers_alike(copy.deepcopy(model), X, _fresh(X, model), tmp_path)
    booster = model.booster_
    booster.best_iteration = 2
    _answers_alike(booster, X, _fresh(X, booster), tmp_path)


def test_models_that_were_trained_on_or_changed(tmp_path: Path) -> None:
    X, score = _numbers()
    start = np.random.default_rng(0).normal(size=len(X))
    model = Regressor(**SMALL).fit(X, score, init_score=start)
    _answers_alike(model, X, _fresh(X, model), tmp_path)
    refitted = model.booster_.refit(X, -score)
    refitted.set_leaf_output(0, 0, 0.1234567890123)
    _answers_alike(refitted, X, _fresh(X, refitted), tmp_path)


def _mixed() -> tuple[Any, Any]:
    X, y = data.mixed()
    rng = np.random.default_rng(0)
    X = X.rename(columns={"income (k€)": "income k€"}).assign(zone=rng.choice(list("abc"), len(X)))
    X = X.astype({"zone": "category"})
    X.loc[rng.random(len(X)) < 0.1, "income k€"] = np.nan
    return X, y


def test_behind_a_column_transformer(tmp_path: Path) -> None:
    X, y = _mixed()
    coded = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["income k€"]),
        (OneHotEncoder(handle_unknown="ignore"), ["city"]),
        (OrdinalEncoder(), ["class"]),
        ("passthrough", ["age", "2nd"]),
    )
    model = make_pipeline(coded, Classifier(**SMALL)).fit(X, y)
    _answers_alike(model, X, X.sample(frac=3, replace=True, random_state=0), tmp_path)


def test_behind_steps_that_give_frames_with_categories(tmp_path: Path) -> None:
    """An imputer gives numbers of a column of categories; what is passed on keeps them."""
    X, y = _mixed()
    X = X.assign(age=X["age"].astype("category"))
    coded = make_column_transformer(
        (OrdinalEncoder(), ["city", "class"]),
        (SimpleImputer(), ["age"]),
        ("passthrough", ["zone", "income k€", "2nd"]),
    ).set_output(transform="pandas")
    model = make_pipeline(coded, Classifier(**CATEGORICAL, **SMALL)).fit(X, y)
    rows = X.sample(frac=3, replace=True, random_state=0, ignore_index=True)
    rows["zone"] = rows["zone"].cat.add_categories(["q"]).where(rows.index % 5 > 0, "q")
    _answers_alike(model, X, rows, tmp_path)


def _around(model: Any) -> list[Any]:
    """Classifiers around one."""
    return [
        ensemble.VotingClassifier([("a", model), ("b", LogisticRegression())], voting="soft"),
        ensemble.StackingClassifier([("a", model)], final_estimator=LogisticRegression()),
        CalibratedClassifierCV(model, cv=2),
        CalibratedClassifierCV(model, cv=2, method="isotonic"),
        GridSearchCV(model, {"num_leaves": [3, 6]}, cv=2),
        OneVsRestClassifier(model),
        ensemble.BaggingClassifier(model, n_estimators=2, random_state=0),
        make_pipeline(StandardScaler(), model),
    ]


@pytest.mark.parametrize("place", range(8))
def test_inside_other_classifiers(place: int, tmp_path: Path) -> None:
    X, y = data.cancer()
    X = X[["mean radius", "mean texture", "worst area"]]
    model = _around(Classifier(**SMALL))[place].fit(X, y)
    _answers_alike(model, X, X + 0.01, tmp_path)


def test_inside_other_models_with_categories(tmp_path: Path) -> None:
    X, score = _categories()
    model, value = Classifier(**CATEGORICAL, **SMALL), Regressor(**CATEGORICAL, **SMALL)
    both = np.column_stack([_classes(score, 2), _classes(-score, 3)])
    for around, y in [
        (MultiOutputClassifier(model), both),
        (MultiOutputRegressor(value), np.column_stack([score, score**2])),
        (ensemble.VotingRegressor([("a", value), ("b", Regressor(**SMALL))]), score),
        (ensemble.StackingRegressor([("a", value)], final_estimator=Ridge()), score),
        (TransformedTargetRegressor(value, func=np.arcsinh, inverse_func=np.sinh), score),
    ]:
        _answers_alike(around.fit(X, y), X, _strangers(X), tmp_path)


def test_what_a_switch_of_prediction_changes_is_refused(tmp_path: Path) -> None:
    X, score = _numbers()
    model = Classifier(pred_early_stop=True, pred_early_stop_margin=0.1, **SMALL)
    model.fit(X, _classes(score, 2))
    with pytest.raises(UnsupportedModel, match="parameter pred_early_stop"):
        onnxport.save(model, tmp_path / "m.onnx", X)
    model.set_params(pred_early_stop=False)
    _answers_alike(model, X, _fresh(X, model), tmp_path)


def test_categories_that_are_not_known_are_refused(tmp_path: Path) -> None:
    X, score = _categories()
    two = Classifier(**SMALL).fit(X, _classes(score, 2))
    with pytest.raises(UnsupportedModel, match="5 columns of dtype category, and gets 0"):
        onnxport.save(two, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModel, match="5 columns of dtype category, and gets 4"):
        onnxport.save(two, tmp_path / "m.onnx", X.assign(zip=1.0))
    huge = X.assign(zip=pd.Categorical(np.where(score > 0, 2**60, 2**60 + 1)))
    with pytest.raises(UnsupportedModel, match=r"parameter categories.*beyond 2\^53"):
        onnxport.save(Regressor(**SMALL).fit(huge, score), tmp_path / "m.onnx", huge)
    coded = X.apply(lambda column: column.cat.codes if column.name != "amount" else column)
    named = lgb.Dataset(coded.to_numpy(float), score, feature_name=list(X.columns))
    with pytest.raises(UnsupportedModel, match="no record of pandas' categories"):
        onnxport.save(lgb.train(QUIET, named, 3), tmp_path / "m.onnx", X)


def test_a_booster_without_trees_is_refused(tmp_path: Path) -> None:
    X, score = _numbers()
    with pytest.raises(UnsupportedModel, match="holds no trees"):
        onnxport.save(lgb.Booster(QUIET, lgb.Dataset(X, score)), tmp_path / "m.onnx", X)
    assert not (tmp_path / "m.onnx").exists()
