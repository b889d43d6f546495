"""`Model.predict`: every way to hand over rows, and exactly the rows that the estimator answers."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import RequestError, ValidationError
from tests.export import data

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> onnxport.Model:
    X, y = data.iris()
    path = tmp_path_factory.mktemp("iris") / "iris.onnx"
    onnxport.save(RandomForestClassifier(10, random_state=0).fit(X, y), path, X, y)
    return onnxport.load(path)


def _saved(estimator: Any, X: Any, y: Any, folder: Path, **options: Any) -> onnxport.Model:
    onnxport.save(estimator.fit(X, y), folder / "m.onnx", X, y, **options)
    return onnxport.load(folder / "m.onnx")


def _codes(model: onnxport.Model, rows: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.predict(rows)
    return [detail.code for detail in caught.value.details]


def test_one_row(iris: onnxport.Model) -> None:
    answer = iris.predict(ROW)
    assert list(answer) == ["prediction", "probabilities"]
    assert answer["prediction"] == "setosa"
    assert list(answer["probabilities"]) == ["setosa", "versicolor", "virginica"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_rows_frames_and_arrays_agree(iris: onnxport.Model) -> None:
    X, _ = data.iris()
    rows = X.to_dict("records")
    expected = iris.predict(rows)
    assert iris.predict(X) == expected
    assert iris.predict(X.to_numpy()) == expected
    assert iris.predict(X.to_numpy().tolist()) == expected
    assert iris.predict(X[X.columns[::-1]]) == expected
    assert iris.predict(X.astype("Float64")) == expected
    assert iris.predict(X.astype(object)) == expected
    assert iris.predict([dict(reversed(row.items())) for row in rows]) == expected
    assert iris.predict(tuple(rows)) == expected
    assert iris.predict({name: np.float64(value) for name, value in rows[0].items()}) == expected[0]


def test_no_rows(iris: onnxport.Model) -> None:
    X, _ = data.iris()
    assert iris.predict([]) == []
    assert iris.predict(X.head(0)) == []
    assert iris.predict(np.empty((0, 4))) == []


def test_more_rows_than_one_run_takes(iris: onnxport.Model) -> None:
    X, _ = data.iris()
    many: pd.DataFrame = pd.concat([X] * 60, ignore_index=True)
    assert iris.predict(many) == iris.predict(X) * 60


@pytest.mark.parametrize("null", [None, math.nan, np.nan, pd.NA, np.float32("nan")])
def test_every_spelling_of_null(null: Any, iris: onnxport.Model) -> None:
    X, _ = data.iris()
    frame = X.head(1).astype(object)
    frame.loc[0, "petal_width"] = null
    assert iris.predict({**ROW, "petal_width": null}) == iris.predict(frame)[0]


def test_null_where_the_estimator_refuses_it(tmp_path: Path) -> None:
    X, y = data.iris()
    model = _saved(make_pipeline(StandardScaler(), LogisticRegression()), X, y, tmp_path)
    assert not any(feature.nullable for feature in model.signature.features)
    assert _codes(model, {**ROW, "petal_width": None}) == ["null_not_allowed"]
    assert _codes(model, X.head(2).assign(petal_width=np.nan)) == ["null_not_allowed"] * 2


def test_null_where_the_estimator_takes_it_although_the_sample_had_none(
    tmp_path: Path,
) -> None:
    X, y = data.iris()
    tree = DecisionTreeClassifier(random_state=0)
    model = _saved(tree, X, y, tmp_path)
    assert all(feature.nullable for feature in model.signature.features)
    row = X.head(1).assign(petal_width=np.nan)
    assert model.predict(row)[0]["prediction"] == tree.predict(row)[0]


def test_what_float32_cannot_hold(iris: onnxport.Model) -> None:
    X, y = data.iris()
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    wide = pd.DataFrame([{**ROW, "petal_width": 3.4e38}])
    assert iris.predict(wide)[0]["prediction"] == forest.predict(wide)[0]
    assert _codes(iris, {**ROW, "petal_width": 3.5e38}) == ["non_finite"]
    assert _codes(iris, {**ROW, "petal_width": math.inf}) == ["non_finite"]


def test_what_float32_cannot_hold_behind_a_scaler(tmp_path: Path) -> None:
    X, y = data.iris()
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(X, y)
    model = _saved(forest, X, y, tmp_path)
    high = X.head(1).assign(petal_width=3e38)  # beyond float32 once it is divided by the scale
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="too large"):
        forest.predict(high)
    assert _codes(model, high) == ["non_finite"]


def test_infinity_where_the_estimator_takes_it(tmp_path: Path) -> None:
    X, y = data.iris()
    boosted = HistGradientBoostingClassifier(max_iter=5).fit(X, y)
    model = _saved(boosted, X, y, tmp_path)
    row = X.head(1).assign(petal_width=np.inf)
    assert model.predict(row)[0]["prediction"] == boosted.predict(row)[0]
    assert model.predict({**ROW, "petal_width": math.inf})["prediction"] == boosted.predict(row)[0]


def test_unknown_categories_follow_the_encoder(tmp_path: Path) -> None:
    X, y = data.mixed()
    closed = make_pipeline(
        ColumnTransformer([("c", OneHotEncoder(), ["city", "age"])]), LinearSVC(random_state=0)
    )
    model = _saved(closed, X, y, tmp_path)
    row = {"city": "Graz", "age": int(X["age"].iloc[0])}
    assert list(model.predict(row)) == ["prediction"]
    with pytest.raises(ValidationError) as caught:
        model.predict({"city": "Rome", "age": 999})
    assert [d.code for d in caught.value.details] == ["unknown_category"] * 2
    age, city = caught.value.details
    assert city.hint["allowed"] == ["Graz", "Paris", "東京"]
    assert "allowed are 'Graz', 'Paris', '東京'" in city.message
    assert 999 not in age.hint["allowed"]


def test_columns_that_the_estimator_never_reads(tmp_path: Path) -> None:
    X, y = data.mixed()
    only_age = make_pipeline(
        ColumnTransformer([("a", "passthrough", ["age"])]), DecisionTreeClassifier(random_state=0)
    )
    model = _saved(only_age, X, y, tmp_path)
    assert model.signature.names == ("age",)
    assert "city" in model.signature.ignored
    expected = only_age.predict(X)
    assert [a["prediction"] for a in model.predict(X)] == expected.tolist()
    assert model.predict({"age": 40, "city": "Graz"}) == model.predict({"age": 40})
    assert _codes(model, {"age": 40, "town": "Graz"}) == ["unknown_feature"]
    assert model.predict(X.to_numpy()) == model.predict(X)
    assert _codes(model, X[["age"]].to_numpy()) == ["wrong_type"]


def test_an_integer_column_takes_fractions_in_python(tmp_path: Path) -> None:
    X = pd.DataFrame({"n": range(20)})
    y = X["n"] * 2.0
    line = LinearRegression()
    model = _saved(line, X, y, tmp_path)
    assert model.signature.features[0].kind == "integer"
    assert model.predict({"n": 5.5})["prediction"] == pytest.approx(11)
    assert model.predict(pd.DataFrame({"n": [5.5]}))[0]["prediction"] == pytest.approx(11)


def test_dtypes_other_than_in_training(tmp_path: Path) -> None:
    X, y = data.mixed()
    X = X[["age", "2nd", "city"]]
    encoder = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough"
    )
    model = _saved(make_pipeline(encoder, DecisionTreeClassifier(random_state=0)), X, y, tmp_path)
    expected = model.predict(X)
    assert model.predict(X.astype({"age": float, "2nd": int, "city": "category"})) == expected
    assert model.predict(X.astype({"age": "Int64", "2nd": "boolean", "city": object})) == expected


@pytest.mark.parametrize(
    ("rows", "codes"),
    [
        ({}, ["missing"] * 4),
        ({**ROW, "extra": 1}, ["unknown_feature"]),
        ({**ROW, "petal_width": "wide"}, ["wrong_type"]),
        ({**ROW, "petal_width": [1]}, ["wrong_type"]),
        ([ROW, {**ROW, "petal_width": "x"}], ["wrong_type"]),
        ("a string", ["wrong_type"]),
        (7, ["wrong_type"]),
        (np.zeros((2, 3)), ["wrong_type"]),
        (np.zeros(4), ["wrong_type"]),
        ([1, 2], ["wrong_type"]),
        ([[1, 2, 3, 4], [1]], ["wrong_type"]),
        (pd.DataFrame({"a": [1]}), ["missing"] * 4 + ["unknown_feature"]),
    ],
    ids=range(12),
)
def test_rows_that_do_not_fit(rows: Any, codes: list[str], iris: onnxport.Model) -> None:
    assert _codes(iris, rows) == codes


def test_it_shows_itself(iris: onnxport.Model, tmp_path: Path) -> None:
    shown = repr(iris)
    for text in ("setosa", "petal_width", "label flips", "onnxruntime"):
        assert text in shown
    X, y = data.iris()
    X = X.rename(columns={"petal_width": "<script>alert(1)</script>"})
    model = _saved(DecisionTreeClassifier(random_state=0), X, y, tmp_path)
    assert "<script>" not in model._repr_html_()
    assert "&lt;script&gt;" in model._repr_html_()


@pytest.mark.parametrize("body", [b"[%b]", b"{%b"], ids=["refused late", "broken"])
def test_the_garbage_collector_rests_while_a_large_body_is_read(
    iris: onnxport.Model, body: bytes
) -> None:
    collected: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] > 0:
            collected.append(info["generation"])

    gc.callbacks.append(note)
    try:
        with pytest.raises(RequestError):
            iris.predict_json(body % b",".join([b"[]"] * 200_000))
    finally:
        gc.callbacks.remove(note)
    assert len(collected) <= 2  # some thirty otherwise
    assert gc.isenabled()
