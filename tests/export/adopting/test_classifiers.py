"""Classifiers and regressors that skl2onnx and CatBoost wrote answer as their files did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

import onnxport
from onnxport.errors import RequestError
from onnxport.export.adopting import NotAdoptable, adopt
from tests.export.adopting.files import (
    CODES,
    FLOWERS,
    SPECIES,
    answers,
    as_rows,
    by_skl2onnx,
    flowers,
    quietly,
)

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
PLAIN = ["x0", "x1", "x2", "x3"]


def forest() -> Any:
    return RandomForestClassifier(20, random_state=0)


def adopted(path: Path, **options: Any) -> onnxport.Model:
    adopt(path, path.with_name("adopted.onnx"), **options)
    return onnxport.load(path.with_name("adopted.onnx"))


def test_the_forest_of_the_tutorial(tmp_path: Path) -> None:
    path = by_skl2onnx(tmp_path, forest().fit(FLOWERS, CODES))
    model = adopted(path)
    assert model.signature.names == tuple(PLAIN)
    assert model.signature.classes == (0, 1, 2)
    rows = flowers()
    said = answers(path, {"float_input": rows})
    got = model.predict(as_rows(rows, PLAIN))
    assert [answer["prediction"] for answer in got] == said["output_label"].tolist()
    assert [list(answer["probabilities"].values()) for answer in got] == [
        list(row.values()) for row in said["output_probability"]
    ]


def test_names_and_labels_of_the_caller(tmp_path: Path) -> None:
    path = by_skl2onnx(tmp_path, forest().fit(FLOWERS, CODES))
    model = adopted(path, features=NAMES, labels=SPECIES.tolist())
    answer = model.predict(as_rows(FLOWERS[-1:], NAMES))[0]
    assert answer["prediction"] == "virginica"
    assert list(answer["probabilities"]) == SPECIES.tolist()
    assert model.manifest["source"]["library"] == "skl2onnx"
    assert model.manifest["source"]["class"] == "TreeEnsembleClassifier"
    assert "original file" in model.manifest["source"]["proven_against"]


def test_labels_by_class(tmp_path: Path) -> None:
    path = by_skl2onnx(tmp_path, forest().fit(FLOWERS, CODES + 5))
    model = adopted(path, labels={5: "five", 7: "seven"})
    assert model.signature.classes == ("five", 6, "seven")


@pytest.mark.parametrize(
    ("estimator", "targets"),
    [
        (LogisticRegression(max_iter=500), SPECIES[CODES]),
        (LogisticRegression(max_iter=500), np.where(CODES == 1, "yes", "no")),
        (make_pipeline(StandardScaler(), SVC(probability=False)), SPECIES[CODES]),
        (MLPClassifier(max_iter=20, random_state=0), SPECIES[CODES]),
        (HistGradientBoostingClassifier(max_iter=5), CODES),
        (LinearSVC(), SPECIES[CODES]),
    ],
)
@pytest.mark.parametrize("zipmap", [True, False])
def test_families(tmp_path: Path, estimator: Any, targets: Any, zipmap: bool) -> None:
    fitted = quietly(lambda: estimator.fit(FLOWERS, targets))
    if isinstance(estimator, LinearSVC):
        path = by_skl2onnx(tmp_path, fitted)
    else:
        path = by_skl2onnx(tmp_path, fitted, options={id(fitted): {"zipmap": zipmap}})
    model = adopted(path)
    rows = flowers()
    said = list(answers(path, {"float_input": rows}).values())
    got = model.predict(as_rows(rows, PLAIN))
    assert [answer["prediction"] for answer in got] == said[0].tolist()
    if "probabilities" in got[0]:
        wanted = [list(row.values()) if zipmap else row.tolist() for row in said[1]]
        np.testing.assert_allclose(
            [list(answer["probabilities"].values()) for answer in got], wanted, rtol=0, atol=1e-6
        )


def test_scores_that_are_no_probabilities_are_left_out(tmp_path: Path) -> None:
    path = by_skl2onnx(tmp_path, quietly(lambda: LinearSVC().fit(FLOWERS, CODES)))
    model = adopted(path)
    assert list(model.predict(as_rows(flowers(1), PLAIN))[0]) == ["prediction"]
    assert any("left out" in repair for repair in model.manifest["source"]["repairs"])


def test_nulls_where_trees_learned_them(tmp_path: Path) -> None:
    holes = FLOWERS.copy()
    holes[::5, 1] = np.nan
    path = by_skl2onnx(tmp_path, HistGradientBoostingClassifier(max_iter=5).fit(holes, CODES))
    model = adopted(path)
    rows = flowers()
    rows[::2, 1] = np.nan
    said = answers(path, {"float_input": rows})
    got = model.predict(as_rows(rows, PLAIN))
    assert [answer["prediction"] for answer in got] == said["output_label"].tolist()


def test_nulls_elsewhere_only_when_asked(tmp_path: Path) -> None:
    path = by_skl2onnx(tmp_path, forest().fit(FLOWERS, CODES))
    row = {"x0": None, "x1": 1.0, "x2": 1.0, "x3": 1.0}
    with pytest.raises(RequestError, match="null"):
        adopted(path).predict(row)
    told = answers(path, {"float_input": np.array([[np.nan, 1, 1, 1]], np.float32)})
    assert adopted(path, nullable=["x0"]).predict(row)["prediction"] == told["output_label"][0]


def test_one_input_a_column(tmp_path: Path) -> None:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 9, 200).astype(np.float32),
            "visits": rng.integers(0, 9, 200),
            "city": rng.choice(["Paris", "東京", "Rome"], 200),
        }
    )
    wanted = np.where(frame.age + frame.visits > 44, "high", "low")
    pipeline = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["age"]),
            ("passthrough", ["visits"]),
            (OneHotEncoder(handle_unknown="error"), ["city"]),
        ),
        LogisticRegression(),
    ).fit(frame, wanted)
    types = [
        ("age", FloatTensorType([None, 1])),
        ("visits", Int64TensorType([None, 1])),
        ("city", StringTensorType([None, 1])),
    ]
    path = by_skl2onnx(tmp_path, pipeline, types)
    model = adopted(path)
    assert [feature.kind for feature in model.signature.features] == [
        "numeric",
        "integer",
        "categorical",
    ]
    feeds = {str(name): frame[[name]].to_numpy() for name in frame}
    said = answers(path, feeds)
    rows = frame.to_dict("records")
    assert [a["prediction"] for a in model.predict(rows)] == said["output_label"].tolist()
    with pytest.raises(RequestError, match="Oslo"):
        model.predict({"age": 1.0, "visits": 2, "city": "Oslo"})


def test_several_targets(tmp_path: Path) -> None:
    targets = np.column_stack([CODES, CODES == 1]).astype(int)
    fitted = MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(FLOWERS, targets)
    path = by_skl2onnx(tmp_path, quietly(lambda: fitted))
    model = adopted(path)
    rows = flowers(50)
    said = answers(path, {"float_input": rows})
    got = model.predict(as_rows(rows, PLAIN))
    assert [answer["label"] for answer in got] == said["label"].tolist()
    np.testing.assert_array_equal([a["probabilities_1"] for a in got], said["probabilities"][1])


def test_a_regressor(tmp_path: Path) -> None:
    path = by_skl2onnx(tmp_path, LinearRegression().fit(FLOWERS, FLOWERS[:, 0] * 2))
    rows = flowers()
    said = answers(path, {"float_input": rows})
    got = adopted(path).predict(as_rows(rows, PLAIN))
    np.testing.assert_allclose([a["variable"] for a in got], said["variable"], rtol=1e-6)


@pytest.mark.parametrize("targets", [CODES, SPECIES[CODES], np.where(CODES == 1, "yes", "no")])
def test_catboost(tmp_path: Path, targets: Any) -> None:
    from catboost import CatBoostClassifier

    fitted = CatBoostClassifier(iterations=10, verbose=0, allow_writing_files=False)
    path = tmp_path / "model.onnx"
    fitted.fit(FLOWERS, targets).save_model(str(path), format="onnx")
    model = adopted(path, features=NAMES)
    rows = flowers()
    said = answers(path, {"features": rows})
    got = model.predict(as_rows(rows, NAMES))
    assert [answer["prediction"] for answer in got] == said["label"].tolist()
    assert [list(answer["probabilities"].values()) for answer in got] == [
        list(row.values()) for row in said["probabilities"]
    ]
    assert model.manifest["source"]["library"] == "CatBoost"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"features": ["a", "b"]}, r"2 names were given, and the inputs have 4 columns"),
        ({"features": ["a", "b", "c", "a"]}, r"the name 'a' was given twice"),
        (
            {"labels": ["a", "b"]},
            r"2 labels were given, and the model has 3 classes; .*'0', '1', '2'",
        ),
        ({"labels": {9: "nine"}}, r"the labels name '9', which is no class of the model"),
        ({"nullable": ["y"]}, r"there is no feature 'y' to be nullable; the features are 'x0'"),
        ({"outputs": ["proba"]}, r"there is no output 'proba'; the outputs are 'output_label'"),
    ],
)
def test_what_doesnt_fit(tmp_path: Path, options: Any, sentence: str) -> None:
    path = by_skl2onnx(tmp_path, forest().fit(FLOWERS, CODES))
    with pytest.raises(NotAdoptable, match=sentence):
        adopted(path, **options)
    assert not path.with_name("adopted.onnx").exists()


def test_a_batch_of_one_where_large_numbers_cancel_out(tmp_path: Path) -> None:
    """Sums of float32 hang on how many rows are multiplied at once: such files stay at one."""
    from skl2onnx.common.data_types import FloatTensorType

    ids = (FLOWERS * 1e6 + 1.7e9).astype(np.float32)
    fitted = make_pipeline(PolynomialFeatures(), LinearRegression()).fit(ids, CODES)
    path = by_skl2onnx(tmp_path, fitted, [("X", FloatTensorType([1, 4]))])
    got = adopted(path).predict(as_rows(ids, PLAIN))
    wanted = [answers(path, {"X": row[None]})["variable"][0] for row in ids]
    np.testing.assert_array_equal([a["variable"] for a in got], wanted)


def test_noise_is_no_company(tmp_path: Path) -> None:
    """A support vector machine's sums differ a little by batch size, and hang on no other row."""
    path = by_skl2onnx(tmp_path, SVR().fit(FLOWERS * 40, CODES * 100.0))
    rows = flowers(200) * 40
    got = adopted(path).predict(as_rows(rows, PLAIN))
    said = answers(path, {"float_input": rows})["variable"]
    np.testing.assert_allclose([a["variable"] for a in got], said, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("opset", [9, 12, 15])
def test_operator_sets_of_skl2onnx(tmp_path: Path, opset: int) -> None:
    """skl2onnx stamps the oldest set that holds what it used, down to 1."""
    from skl2onnx.common.data_types import FloatTensorType

    fitted = LogisticRegression(max_iter=500).fit(FLOWERS, SPECIES[CODES])
    types = [("X", FloatTensorType([1, 4]))]
    path = by_skl2onnx(tmp_path, fitted, types, target_opset={"": opset, "ai.onnx.ml": 1})
    rows = flowers(30)
    got = adopted(path).predict(as_rows(rows, PLAIN))
    wanted = [answers(path, {"X": row[None]})["output_label"][0] for row in rows]
    assert [a["prediction"] for a in got] == wanted


def test_one_output_alone(tmp_path: Path) -> None:
    path = by_skl2onnx(tmp_path, forest().fit(FLOWERS, CODES))
    model = adopted(path, outputs=["output_label"])
    assert list(model.predict(as_rows(flowers(1), PLAIN))[0]) == ["prediction"]
