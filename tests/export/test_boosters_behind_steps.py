"""Boosters behind what people put in front of them, where the last bit and the storage of a matrix matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, RobustScaler, StandardScaler
from xgboost import XGBClassifier, XGBRanker

import onnxport
from onnxport.errors import ExportError
from tests.export import data

_LIGHT = {"n_estimators": 15, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}


def _frame(rows: int = 500) -> tuple[Any, Any]:
    """Strings, numbers that are often 0, numbers far below what float32 holds, and large ones."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(
        {
            "gene": rng.choice([f"g{i}" for i in range(30)], rows),
            "p": np.where(rng.random(rows) < 0.3, 0, 10.0 ** -rng.uniform(0, 60, rows)),
            "weight": rng.integers(1600, 5200, rows).astype(float),
        }
    )
    return X, ((X["p"] > 1e-20) ^ (X["weight"] > 3000)).to_numpy().astype(int)


def _columns(threshold: float) -> Any:
    encoder = OneHotEncoder(handle_unknown="ignore")
    return make_column_transformer(
        (encoder, ["gene"]), remainder="passthrough", sparse_threshold=threshold
    )


def _same(model: Any, X: Any, rows: Any, path: Path, tolerance: float) -> None:
    report = onnxport.save(model, path, X)
    found = onnxport.load(path).predict(rows)
    wanted = np.asarray(model.predict(rows)).ravel()
    if not report.signature.classes:
        np.testing.assert_allclose([each["prediction"] for each in found], wanted, rtol=tolerance)
        return
    assert [each["prediction"] for each in found] == wanted.tolist()
    proba = np.array([list(each["probabilities"].values()) for each in found])
    assert np.abs(proba - model.predict_proba(rows)).max() <= tolerance


@pytest.mark.parametrize("threshold", [0.0, 1.0], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "booster",
    [
        XGBClassifier(n_estimators=15, max_depth=4, n_jobs=1),
        LGBMClassifier(**_LIGHT),
        CatBoostClassifier(15, verbose=0, allow_writing_files=False, thread_count=1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_numbers_beside_one_hot_columns(booster: Any, threshold: float, tmp_path: Path) -> None:
    X, y = _frame()
    model = make_pipeline(_columns(threshold), booster).fit(X, y)
    rng = np.random.default_rng(4)
    rows = X.assign(p=np.where(rng.random(len(X)) < 0.5, 1e-60, X["p"]), gene="unknown")
    _same(model, X, pd.concat([X, rows]), tmp_path / "m.onnx", 1e-6)


@pytest.mark.parametrize(
    "scaler",
    [StandardScaler(with_mean=False), MaxAbsScaler(), RobustScaler(with_centering=False)],
    ids=lambda scaler: type(scaler).__name__,
)
def test_scalers_of_sparse_matrices(scaler: Any, tmp_path: Path) -> None:
    """They multiply by the inverse there, and LightGBM's split points see the last bit of that."""
    X, y = _frame()
    regressor = LGBMRegressor(**_LIGHT)
    model = make_pipeline(_columns(1.0), scaler, regressor).fit(X, X["weight"] * 0.3 + y)
    _same(model, X, X, tmp_path / "m.onnx", 1e-9)


def test_words_in_front_of_a_booster(tmp_path: Path) -> None:
    X, y = data.cars()
    X, y = X[["Name"]], (y == "USA").astype(int)
    words = make_column_transformer((TfidfVectorizer(), "Name"))
    model = make_pipeline(words, XGBClassifier(n_estimators=10, n_jobs=1)).fit(X, y)
    _same(model, X, X, tmp_path / "m.onnx", 1e-6)


@pytest.mark.parametrize("kind", [LGBMRanker, XGBRanker])
def test_rankers_with_their_relevances(kind: Any, tmp_path: Path) -> None:
    X, y = data.diabetes()
    relevance = (y > 100).astype(int)
    options = {"verbose": -1} if kind is LGBMRanker else {"verbosity": 0}
    model = kind(n_estimators=5, n_jobs=1, **options).fit(X, relevance, group=[len(X)])
    report = onnxport.save(model, tmp_path / "m.onnx", X, relevance)
    assert report.manifest["training"].get("metrics") == {}


def test_small_integers_as_categories(tmp_path: Path) -> None:
    """A code that no int8 holds isn't the way to find out about unknown categories."""
    rng = np.random.default_rng(5)
    X = pd.DataFrame({"x": rng.normal(size=300), "c": rng.choice([3, 4, 6, 8], 300).astype("int8")})
    y = np.where(X["x"] + X["c"] > 5, "a", "b").astype(object)
    options = {"verbose": 0, "allow_writing_files": False, "cat_features": ["c"]}
    model = CatBoostClassifier(10, **options).fit(X, y)
    report = onnxport.save(model, tmp_path / "m.onnx", X, y)
    assert report.manifest["training"]["metrics"]["accuracy"] > 0.5
    fresh = X.assign(c=np.int8(7))
    answers = onnxport.load(tmp_path / "m.onnx").predict(fresh)
    assert [each["prediction"] for each in answers] == model.predict(fresh).ravel().tolist()


def test_what_is_wrong_with_the_sample_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    X = pd.DataFrame(
        {"isle": pd.Categorical(rng.choice(list("abc"), 200)), "x": rng.normal(size=200)}
    )
    model = XGBClassifier(n_estimators=3, enable_categorical=True).fit(X, (X["x"] > 0).astype(int))
    mars = X.assign(isle=pd.Categorical(X["isle"].astype(str).replace("a", "Mars")))
    told = {
        "there is no X to show the type of their columns": None,
        "the column 'isle' holds strings, and is no pandas category": X.assign(
            isle=X["isle"].astype(str)
        ),
        "the column 'isle' has the category 'Mars', which training hadn't": mars,
    }
    for sentence, sample in told.items():
        for each in (model, model.get_booster()):
            with pytest.raises(ExportError, match=sentence):
                onnxport.save(each, tmp_path / "m.onnx", sample)
    wide = pd.DataFrame(rng.normal(size=(40, 700)), columns=[f"{i:0>2000}" for i in range(700)])
    light = LGBMRegressor(n_estimators=1, verbose=-1).fit(wide, wide.iloc[:, 0])
    with pytest.raises(ExportError, match=r"the 700 features take .* bytes to describe"):
        onnxport.save(light, tmp_path / "m.onnx", wide)
