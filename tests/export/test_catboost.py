"""CatBoost's models: trees of all forms, losses, categories, and what they stand inside of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble, linear_model
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import onnxport
from onnxport.errors import ExportError, UnsupportedModel, ValidationError
from tests.export import data

CatBoost, Classifier = catboost.CatBoost, catboost.CatBoostClassifier
Regressor, Ranker = catboost.CatBoostRegressor, catboost.CatBoostRanker
ROWS = 400
QUIET = {"verbose": 0, "allow_writing_files": False, "thread_count": 1, "random_seed": 0}
SMALL = QUIET | {"iterations": 20, "depth": 4, "learning_rate": 0.3}
RNG = np.random.default_rng(0)


def _numbers() -> pd.DataFrame:
    """Rounded numbers, so that rows meet split points, some missing, ids and whole numbers."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "plain": rng.normal(size=ROWS).round(1),
            "holes (%)": np.where(rng.random(ROWS) < 0.2, np.nan, rng.normal(size=ROWS)),
            "ids": rng.integers(10**8, 10**9, ROWS),
            "few": rng.integers(-3, 4, ROWS),
            "flag": rng.random(ROWS) < 0.4,
            "constant": np.ones(ROWS),
        }
    )


def _categories() -> pd.DataFrame:
    """Strings of many and of few values, whole numbers, booleans, and two numbers."""
    rng = np.random.default_rng(2)
    few = np.array(["a", "b c", "Zürich", "", "nan", "1"], dtype=object)
    return pd.DataFrame(
        {
            "many": rng.choice(np.array([f"v{i}" for i in range(40)], dtype=object), ROWS),
            "n": rng.normal(size=ROWS).round(2),
            "few": rng.choice(few, ROWS),
            "code": rng.integers(-2, 6, ROWS) * 10**7,
            "flag": rng.random(ROWS) < 0.3,
            "m": np.where(rng.random(ROWS) < 0.1, np.nan, rng.exponential(size=ROWS)),
        }
    )


NUMBERS, CATEGORIES = _numbers(), _categories()
CHOSEN = ["many", "few", "code", "flag"]
VALUE = (NUMBERS["plain"] + NUMBERS["holes (%)"].fillna(1) * NUMBERS["few"]).to_numpy()
POSITIVE = np.exp(VALUE / 3)
THREE = np.digitize(VALUE, [-0.8, 0.8])
BINARY = (VALUE > 0).astype(int)
LABELS = np.column_stack([VALUE > 0, VALUE > 1, NUMBERS["flag"]]).astype(int)
BY_CATEGORY = (
    CATEGORIES["n"]
    + CATEGORIES["many"].str[1:].astype(int) % 5 * (CATEGORIES["few"] > "a")
    + (CATEGORIES["code"] // 10**7) % 3
    + CATEGORIES["flag"]
).to_numpy()


def _fresh_numbers(model: Any) -> pd.DataFrame:
    """Rows that training hadn't: between its own, missing, huge, on and beside split points."""
    rng = np.random.default_rng(3)
    rows = {name: rng.choice(NUMBERS[name], 1200) for name in NUMBERS}
    X = pd.DataFrame(rows).astype({"plain": float})
    borders = model.get_borders() if hasattr(model, "get_borders") else {}
    for place, name in enumerate(["plain", "holes (%)"]):
        values = X[name].to_numpy() + np.where(rng.random(1200) < 0.3, rng.normal(size=1200), 0)
        values[rng.random(1200) < 0.1] = np.nan
        values[:7] = 1e30, -1e30, 1e39, -1e39, 1e-40, 2.0**24 + 1, 0.1
        split = np.array(borders.get(place) or [0.0])
        near = np.repeat(split, 3)[:300]
        sides = np.array([-np.inf, np.inf, 0.0])[np.arange(len(near)) % 3]
        with np.errstate(over="ignore"):
            values[100 : 100 + len(near)] = np.where(sides == 0, near, np.nextafter(near, sides))
            single = split.astype(np.float32)[:200]
            values[500 : 500 + len(single)] = np.nextafter(single, np.float32(np.inf))
        X[name] = values
    X.loc[:99, "ids"] = rng.integers(2**24, 2**53, 100)
    return X


def _fresh_categories() -> pd.DataFrame:
    """New combinations, and categories that training hadn't."""
    rng = np.random.default_rng(4)
    X = pd.DataFrame({name: rng.choice(CATEGORIES[name], 1500) for name in CATEGORIES})
    X["n"] += np.where(rng.random(1500) < 0.3, rng.normal(size=1500), 0)
    X.loc[rng.random(1500) < 0.1, ["n", "m"]] = np.nan
    X.loc[:80, "many"] = "never seen"
    X.loc[60:140, "few"] = "v1"
    X.loc[120:200, "code"] = 12345
    return X


def _same(model: onnxport.Model, estimator: Any, rows: Any, asked: Any = None) -> None:
    """Labels equal, numbers as far as doubles go. asked: the rows as they are sent."""
    answers = model.predict(rows if asked is None else asked)
    expected = np.asarray(estimator.predict(rows))
    expected = expected[:, 0] if expected.ndim == 2 and expected.shape[1] == 1 else expected
    found = [answer["prediction"] for answer in answers]
    if not model.signature.class_sets:
        np.testing.assert_allclose(np.array(found), expected, rtol=1e-12, atol=1e-13)
        return
    assert found == expected.tolist()
    if "probabilities" not in answers[0]:
        return
    told = [answer["probabilities"] for answer in answers]
    if isinstance(told[0], dict):
        shares = np.array([list(each.values()) for each in told])
    else:
        shares = np.array([[list(label.values())[1] for label in each] for each in told])
    np.testing.assert_allclose(shares, estimator.predict_proba(rows), atol=1e-12)


def _save(
    estimator: Any, X: Any, folder: Path, *, exact: bool = False
) -> tuple[onnxport.Model, onnxport.Report]:
    report = onnxport.save(estimator, folder / "m.onnx", X)
    assert (report.parity.label_flips, report.parity.ties) == (0, 0)
    assert report.parity.max_abs <= (0 if exact else 1e-12)
    return onnxport.load(folder / "m.onnx"), report


STRINGS = np.array(["low", "middle", "high"], dtype=object)

CLASSIFIERS: dict[str, tuple[dict[str, Any], Any]] = {
    "integers": ({}, BINARY),
    "booleans": ({}, BINARY > 0),
    "strings": ({}, STRINGS[BINARY]),
    "floats": ({}, BINARY * 3.5 - 1),
    "three": ({}, THREE),
    "three strings": ({}, STRINGS[THREE]),
    "order of class_names": ({"class_names": ["middle", "low", "high"]}, STRINGS[THREE]),
    "weights": ({"auto_class_weights": "Balanced"}, THREE),
    "two by softmax": ({"loss_function": "MultiClass"}, BINARY),
    "one against all": ({"loss_function": "MultiClassOneVsAll"}, THREE),
    "shares": ({"loss_function": "CrossEntropy"}, 1 / (1 + np.exp(-VALUE))),
    "focal": ({"loss_function": "Focal:focal_alpha=0.3;focal_gamma=2"}, BINARY),
    "labels": ({"loss_function": "MultiLogloss"}, LABELS),
    "shares of labels": ({"loss_function": "MultiCrossEntropy"}, LABELS * 0.8 + 0.1),
    "one label": ({"loss_function": "MultiLogloss"}, LABELS[:, :1]),
    "depthwise": ({"grow_policy": "Depthwise"}, THREE),
    "lossguide": ({"grow_policy": "Lossguide", "max_leaves": 9}, BINARY),
    "NaN is large": ({"nan_mode": "Max"}, BINARY),
    "deep": ({"depth": 11, "iterations": 3}, BINARY),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_its_labels_and_probabilities(name: str, tmp_path: Path) -> None:
    parameters, y = CLASSIFIERS[name]
    model = Classifier(**(SMALL | parameters)).fit(NUMBERS, y)
    loaded, _ = _save(model, NUMBERS, tmp_path)
    _same(loaded, model, _fresh_numbers(model))


REGRESSORS: dict[str, tuple[dict[str, Any], Any]] = {
    "RMSE": ({}, VALUE * 1e4),
    "MAE": ({"loss_function": "MAE"}, VALUE),
    "Quantile": ({"loss_function": "Quantile:alpha=0.3"}, VALUE),
    "MultiQuantile": ({"loss_function": "MultiQuantile:alpha=0.1,0.9"}, VALUE),
    "Poisson": ({"loss_function": "Poisson"}, POSITIVE),
    "Tweedie": ({"loss_function": "Tweedie:variance_power=1.5"}, POSITIVE),
    "LogLinQuantile": ({"loss_function": "LogLinQuantile"}, POSITIVE),
    "Cox": ({"loss_function": "Cox"}, POSITIVE),
    "uncertainty": ({"loss_function": "RMSEWithUncertainty"}, VALUE),
    "several": ({"loss_function": "MultiRMSE"}, np.column_stack([VALUE, POSITIVE])),
    "survival": ({"loss_function": "SurvivalAft"}, np.column_stack([POSITIVE, POSITIVE + 1])),
    "depthwise": ({"grow_policy": "Depthwise"}, VALUE),
    "lossguide": ({"grow_policy": "Lossguide"}, VALUE),
    "monotone": ({"monotone_constraints": [1, 0, 0, -1, 0, 0]}, VALUE),
    "few borders": ({"border_count": 1}, VALUE),
    "ignored": ({"ignored_features": [0, 4]}, VALUE),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_gives_what_its_loss_makes_of_the_sum(name: str, tmp_path: Path) -> None:
    parameters, y = REGRESSORS[name]
    model = Regressor(**(SMALL | parameters)).fit(NUMBERS, y)
    loaded, _ = _save(model, NUMBERS, tmp_path)
    _same(loaded, model, _fresh_numbers(model))


def test_sums_are_equal_to_the_last_bit(tmp_path: Path) -> None:
    model = Regressor(**(SMALL | {"iterations": 60})).fit(NUMBERS, VALUE)
    loaded, _ = _save(model, NUMBERS, tmp_path, exact=True)
    rows = _fresh_numbers(model)
    found = [answer["prediction"] for answer in loaded.predict(rows)]
    assert found == model.predict(rows).tolist()


@pytest.mark.parametrize("loss", ["YetiRank", "QueryRMSE", "PairLogit"])
def test_a_ranker_gives_its_score(loss: str, tmp_path: Path) -> None:
    model = Ranker(**SMALL, loss_function=loss).fit(NUMBERS, BINARY, group_id=np.arange(ROWS) // 8)
    loaded, _ = _save(model, NUMBERS, tmp_path)
    _same(loaded, model, _fresh_numbers(model))


@pytest.mark.parametrize("loss", ["RMSE", "Logloss", "MultiClass", "Poisson"])
def test_catboost_itself_gives_raw_numbers(loss: str, tmp_path: Path) -> None:
    y = {"Logloss": BINARY, "MultiClass": THREE}.get(loss, POSITIVE)
    model = CatBoost(SMALL | {"loss_function": loss}).fit(NUMBERS, y)
    loaded, report = _save(model, NUMBERS, tmp_path)
    assert report.signature.task == "regression"
    _same(loaded, model, _fresh_numbers(model))


ALL_CTRS = ["Borders", "Buckets", "BinarizedTargetMeanValue", "Counter"]

ENCODINGS: dict[str, dict[str, Any]] = {
    "one-hot": {"one_hot_max_size": 60},
    "one-hot and statistics": {"one_hot_max_size": 8},
    "statistics": {"iterations": 60, "depth": 6},
    "of single features": {"max_ctr_complexity": 1},
    "of all kinds": {"simple_ctr": ALL_CTRS, "combinations_ctr": ALL_CTRS, "iterations": 60},
    "with priors": {"simple_ctr": ["Borders:Prior=0.3:Prior=2", "Counter:Prior=0.5"]},
    "depthwise": {"grow_policy": "Depthwise", "iterations": 40},
    "lossguide": {"grow_policy": "Lossguide", "one_hot_max_size": 8},
    "counted in all": {"counter_calc_method": "Full", "simple_ctr": ["Counter:Prior=0.9"]},
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_categories_are_encoded_as_in_training(name: str, tmp_path: Path) -> None:
    model = Regressor(**(SMALL | ENCODINGS[name]), cat_features=CHOSEN)
    model.fit(CATEGORIES, BY_CATEGORY)
    loaded, _ = _save(model, CATEGORIES, tmp_path, exact=True)
    _same(loaded, model, _fresh_categories())


def test_combinations_with_numbers_and_single_categories(tmp_path: Path) -> None:
    """Which the library makes of the splits above in a tree, where they pay."""
    many = {"iterations": 60, "depth": 6, "model_size_reg": 0, "nan_mode": "Max"}
    ctrs = {"simple_ctr": ["Counter"], "combinations_ctr": ALL_CTRS, "max_ctr_complexity": 5}
    model = Regressor(**(SMALL | many | ctrs), cat_features=CHOSEN)
    X = CATEGORIES.assign(n=CATEGORIES["m"])
    model.fit(X, BY_CATEGORY * np.where(CATEGORIES["m"] > 0.5, 1, -1))
    model.save_model(str(tmp_path / "model"), format="json")
    told = json.loads((tmp_path / "model").read_text("utf-8"))["features_info"]["ctrs"]
    kinds = {each["combination_element"] for ctr in told for each in ctr["elements"]}
    assert kinds == {"cat_feature_value", "cat_feature_exact_value", "float_feature"}
    loaded, _ = _save(model, X, tmp_path, exact=True)
    _same(loaded, model, _fresh_categories())


def test_categories_of_a_classifier(tmp_path: Path) -> None:
    y = STRINGS[np.digitize(BY_CATEGORY, [1, 3])]
    model = Classifier(**(SMALL | {"iterations": 40}), cat_features=CHOSEN).fit(CATEGORIES, y)
    loaded, _ = _save(model, CATEGORIES, tmp_path)
    _same(loaded, model, _fresh_categories())


TARGETS = np.column_stack([BY_CATEGORY > 1, CATEGORIES["many"] > "v2", CATEGORIES["flag"]])


@pytest.mark.parametrize("loss", ["MultiLogloss", "MultiRMSE"])
def test_categories_encoded_by_several_targets(loss: str, tmp_path: Path) -> None:
    kind = Classifier if loss == "MultiLogloss" else Regressor
    more = {"iterations": 40, "model_size_reg": 0, "combinations_ctr": ["Borders", "Counter"]}
    model = kind(**(SMALL | more), loss_function=loss, cat_features=CHOSEN)
    model.fit(CATEGORIES, TARGETS.astype(int))
    loaded, _ = _save(model, CATEGORIES, tmp_path)
    _same(loaded, model, _fresh_categories())


FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "categories of pandas": lambda X: X.astype(dict.fromkeys(CHOSEN, "category")),
    "objects": lambda X: X.to_numpy(dtype=object),
    "strings of pandas": lambda X: X.astype({"many": "string", "few": "string"}),
}


@pytest.mark.parametrize("name", FORMS)
def test_categories_come_in_any_form(name: str, tmp_path: Path) -> None:
    X = FORMS[name](CATEGORIES)
    places = [list(CATEGORIES).index(column) for column in CHOSEN]
    model = Regressor(**SMALL, one_hot_max_size=8, cat_features=places).fit(X, BY_CATEGORY)
    loaded, _ = _save(model, X, tmp_path, exact=True)
    fresh = _fresh_categories()
    names = [feature.name for feature in loaded.signature.features]
    _same(loaded, model, FORMS[name](fresh), asked=fresh.set_axis(names, axis=1))


def test_a_broken_number_is_no_category_and_a_missing_one_neither(tmp_path: Path) -> None:
    model = Regressor(**SMALL, cat_features=CHOSEN).fit(CATEGORIES, BY_CATEGORY)
    loaded, _ = _save(model, CATEGORIES, tmp_path)
    row = CATEGORIES.iloc[0].to_dict()
    for name, value, told in (("code", 2.5, "row 0"), ("code", None, "code"), ("few", None, "few")):
        with pytest.raises(ValidationError, match=told):
            loaded.predict([row | {name: value}])


def test_split_points_on_all_kinds_of_numbers(tmp_path: Path) -> None:
    for dtype in (np.float32, np.int64, bool):
        X = (NUMBERS[["plain", "ids", "few"]].to_numpy() * 3).astype(dtype)
        model = Classifier(**SMALL).fit(X, THREE)
        loaded, _ = _save(model, X, tmp_path)
        _same(loaded, model, X)


def test_what_was_set_after_training_is_honoured(tmp_path: Path) -> None:
    rows = _fresh_numbers(None)
    classifier = Classifier(**SMALL).fit(NUMBERS, BINARY)
    labels = Classifier(**SMALL, loss_function="MultiLogloss").fit(NUMBERS, LABELS)
    for threshold in (0.2, 0.9, 0.0, 1.0):
        for model in (classifier, labels):
            model.set_probability_threshold(threshold)
            _same(_save(model, NUMBERS, tmp_path)[0], model, rows)
    regressor = Regressor(**SMALL).fit(NUMBERS, VALUE)
    regressor.set_scale_and_bias(0.3, 7.0)
    _same(_save(regressor, NUMBERS, tmp_path)[0], regressor, rows)
    regressor.shrink(7, ntree_start=2)
    _same(_save(regressor, NUMBERS, tmp_path)[0], regressor, rows)


def test_models_that_were_summed_or_loaded(tmp_path: Path) -> None:
    rows, parts = _fresh_numbers(None), []
    for depth in (2, 4):
        part = Classifier(**(SMALL | {"depth": depth}), loss_function="MultiClassOneVsAll")
        parts.append(part.fit(NUMBERS, THREE))
    total = catboost.sum_models(parts, weights=[0.3, 0.7])
    _same(_save(total, NUMBERS, tmp_path)[0], total, rows)
    as_classifier = catboost.to_classifier(total)
    _same(_save(as_classifier, NUMBERS, tmp_path)[0], as_classifier, rows)
    poisson = Regressor(**SMALL, loss_function="Poisson").fit(NUMBERS, POSITIVE)
    for form in ("cbm", "json"):
        poisson.save_model(str(tmp_path / "model"), format=form)
        again = Regressor().load_model(str(tmp_path / "model"), format=form)
        _same(_save(again, NUMBERS, tmp_path)[0], again, rows)


def test_the_best_iteration_is_kept(tmp_path: Path) -> None:
    model = Classifier(**(SMALL | {"iterations": 80, "learning_rate": 1.0}))
    held = (NUMBERS[:80], THREE[:80][::-1])
    model.fit(NUMBERS[80:], THREE[80:], eval_set=held, early_stopping_rounds=5)
    assert model.tree_count_ < 80
    _same(_save(model, NUMBERS, tmp_path)[0], model, _fresh_numbers(model))


def test_a_class_that_training_lacked_is_never_given(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = Classifier(**SMALL, loss_function="MultiClass", classes_count=5).fit(NUMBERS, THREE)
    capfd.readouterr()  # CatBoost tells it
    loaded, report = _save(model, NUMBERS, tmp_path)
    assert report.signature.classes == (0, 1, 2, 3, 4)
    _same(loaded, model, _fresh_numbers(model))


def test_features_are_called_as_in_training(tmp_path: Path) -> None:
    odd = ['a "quoted" one', "{x}", "[y]", "é\n", "<z>", "2nd"]
    renamed = NUMBERS.set_axis(odd, axis=1)
    model = Regressor(**SMALL).fit(renamed, VALUE)
    loaded, _ = _save(model, renamed, tmp_path)
    assert [feature.name for feature in loaded.signature.features] == odd
    pool = catboost.Pool(NUMBERS.to_numpy(float), VALUE, feature_names=list("pqrstu"))
    model = Regressor(**SMALL).fit(pool)
    loaded, _ = _save(model, NUMBERS.to_numpy(float), tmp_path)
    assert [feature.name for feature in loaded.signature.features] == list("pqrstu")


def test_without_x_the_split_points_stand_in(tmp_path: Path) -> None:
    model = Classifier(**SMALL).fit(NUMBERS, THREE)
    _same(_save(model, None, tmp_path)[0], model, _fresh_numbers(model))


def _prepared(*, encoder: Any) -> ColumnTransformer:
    fill = SimpleImputer(strategy="constant", fill_value="missing")
    return ColumnTransformer(
        [("n", SimpleImputer(), ["n", "m"]), ("few", make_pipeline(fill, encoder), ["few", "many"])]
    )


HOLES = CATEGORIES.drop(columns=["code", "flag"]).mask(RNG.random((ROWS, 4)) < 0.1)
Logistic = linear_model.LogisticRegression

INSIDE: dict[str, tuple[Any, Any, Any]] = {
    "behind a one-hot encoder": (
        make_pipeline(
            _prepared(encoder=OneHotEncoder(handle_unknown="ignore")), Classifier(**SMALL)
        ),
        HOLES,
        np.digitize(BY_CATEGORY, [1, 3]),
    ),
    "behind an ordinal encoder": (
        make_pipeline(
            _prepared(encoder=OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
            Regressor(**SMALL),
        ),
        HOLES,
        BY_CATEGORY,
    ),
    "behind an imputer, with categories": (
        make_pipeline(_prepared(encoder="passthrough"), Regressor(**SMALL, cat_features=[2, 3])),
        HOLES,
        BY_CATEGORY,
    ),
    "labels behind a scaler": (
        make_pipeline(StandardScaler(), Classifier(**SMALL, loss_function="MultiLogloss")),
        NUMBERS,
        LABELS,
    ),
    "raw numbers behind a scaler": (
        make_pipeline(StandardScaler(), CatBoost(SMALL | {"loss_function": "MultiClass"})),
        NUMBERS,
        THREE,
    ),
    "in a vote": (
        ensemble.VotingClassifier(
            [("a", Classifier(**SMALL)), ("b", Classifier(**SMALL, nan_mode="Max"))], voting="soft"
        ),
        NUMBERS,
        THREE,
    ),
    "stacked": (
        ensemble.StackingRegressor([("a", Regressor(**SMALL))], Regressor(**SMALL), cv=2),
        NUMBERS,
        VALUE,
    ),
    "calibrated": (CalibratedClassifierCV(Classifier(**SMALL), cv=2), NUMBERS, BINARY),
    "searched": (GridSearchCV(Classifier(**SMALL), {"depth": [2, 3]}, cv=2), NUMBERS, THREE),
    "bagged": (
        ensemble.BaggingClassifier(Classifier(**SMALL), n_estimators=3, random_state=0),
        NUMBERS,
        THREE,
    ),
    "of several targets": (MultiOutputClassifier(Classifier(**SMALL)), NUMBERS, LABELS),
    "of a transformed target": (
        TransformedTargetRegressor(Regressor(**SMALL), func=np.log1p, inverse_func=np.expm1),
        NUMBERS,
        POSITIVE,
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_inside_other_estimators(name: str, tmp_path: Path) -> None:
    estimator, X, y = INSIDE[name]
    estimator.fit(X, y)
    loaded, _ = _save(estimator, X, tmp_path)
    fresh = _fresh_categories()[HOLES.columns] if X is HOLES else _fresh_numbers(None)
    finite = fresh.abs().max(axis=1) < 1e30 if X is NUMBERS else fresh["n"].notna()
    rows = fresh[finite.to_numpy()].reset_index(drop=True)
    answers = [answer["prediction"] for answer in loaded.predict(rows)]
    expected = np.asarray(estimator.predict(rows))
    if loaded.signature.class_sets:
        assert answers == (expected.ravel() if expected.shape[-1] == 1 else expected).tolist()
    else:
        np.testing.assert_allclose(answers, expected, rtol=1e-10)


def _texts() -> Any:
    X = pd.DataFrame({"t": np.where(BINARY, "a good film", "no film"), "n": VALUE})
    return Classifier(**SMALL, text_features=["t"]).fit(X, BINARY), X


def _embeddings() -> Any:
    X = pd.DataFrame({"e": list(NUMBERS[["plain", "few"]].to_numpy(float)), "n": VALUE})
    return Classifier(**SMALL, embedding_features=["e"]).fit(X, BINARY), X


def _partial() -> Any:
    model = Regressor(**SMALL, cat_features=CHOSEN).fit(CATEGORIES, BY_CATEGORY)
    return model, CATEGORIES[CATEGORIES["few"] != "a"]


def _partial_one_hot() -> Any:
    model = Regressor(**SMALL, one_hot_max_size=60, cat_features=CHOSEN)
    model.fit(CATEGORIES, BY_CATEGORY)
    return model, CATEGORIES[CATEGORIES["code"] < 0]


def _without_x() -> Any:
    return Regressor(**SMALL, cat_features=CHOSEN).fit(CATEGORIES, BY_CATEGORY), None


def _many_targets() -> Any:
    form = {"loss_function": "MultiLogloss", "grow_policy": "Depthwise"}
    model = Classifier(**SMALL, **form, cat_features=CHOSEN)
    y = np.column_stack([BY_CATEGORY > 1, BY_CATEGORY > 3]).astype(int)
    return model.fit(CATEGORIES, y), CATEGORIES


def _without_classes() -> Any:
    model = Classifier()
    blob = Regressor(**SMALL).fit(NUMBERS, VALUE)._serialize_model()
    return model.load_model(blob=blob), NUMBERS


def _computed() -> Any:
    encoder = OrdinalEncoder(dtype=np.int64).set_output(transform="pandas")
    model = make_pipeline(encoder, Regressor(**SMALL, cat_features=["few"]))
    return model.fit(CATEGORIES[["few", "many"]], BY_CATEGORY), CATEGORIES[["few", "many"]]


def _not_finite() -> Any:
    model = Regressor(**SMALL).fit(NUMBERS, VALUE)
    model.set_leaf_values(np.full(len(model.get_leaf_values()), np.nan))
    return model, NUMBERS


class _Own(Regressor):  # type: ignore[misc,valid-type]  # CatBoost has no types
    pass


REFUSED: Mapping[str, tuple[Callable[[], Any], str]] = {
    "texts": (_texts, "text_features.*TfidfVectorizer"),
    "embeddings": (_embeddings, "embedding_features.*as a column"),
    "an X without some categories": (_partial, "cat_features.*whole X that it was fitted on"),
    "the same, one-hot": (_partial_one_hot, "cat_features.*whole X that it was fitted on"),
    "categories without X": (_without_x, "cat_features.*X that it was fitted on"),
    "statistics of several targets": (_many_targets, "one_hot_max_size"),
    "a regressor's model": (_without_classes, "CatBoostRegressor"),
    "computed categories": (_computed, "cat_features.*OneHotEncoder"),
    "leaves that are NaN": (_not_finite, "learning_rate"),
    "a class of one's own": (lambda: (_Own(**SMALL).fit(NUMBERS, VALUE), NUMBERS), "itself"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_with_a_way_out(name: str, tmp_path: Path) -> None:
    make, told = REFUSED[name]
    model, X = make()
    with pytest.raises(UnsupportedModel, match=told):
        onnxport.save(model, tmp_path / "m.onnx", X)
    assert not (tmp_path / "m.onnx").exists()


def test_a_model_that_is_not_fitted(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="CatBoostClassifier is not fitted"):
        onnxport.save(Classifier(), tmp_path / "m.onnx", NUMBERS)


def test_real_data_with_missing_values(tmp_path: Path) -> None:
    X, y = data.penguins()
    model = Classifier(**SMALL, cat_features=["island"]).fit(X, y)
    loaded, report = _save(model, X, tmp_path)
    assert report.signature.classes == ("Adelie", "Chinstrap", "Gentoo")
    _same(loaded, model, X)
