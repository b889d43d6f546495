"""What `save` can be told, and what it finds out by itself."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import ExportError
from onnxport.export.saving import STEPS
from tests.export import data


def test_the_report_and_the_manifest_say_the_same(tmp_path: Path) -> None:
    X, y = data.iris()
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    report = onnxport.save(
        forest,
        tmp_path / "flowers.onnx",
        X,
        y,
        version="3",
        description="Three irises.",
        metadata={"team": "botany"},
        features={"petal_width": {"unit": "cm", "description": "widest place"}},
    )
    manifest = onnxport.load(report.path).manifest
    assert dict(manifest) == dict(report.manifest)
    assert manifest["model"]["name"] == "flowers"
    assert manifest["model"]["version"] == "3"
    assert manifest["model"]["task"] == "multiclass_classification"
    assert manifest["metadata"] == {"team": "botany"}
    assert manifest["training"]["rows"] == 150
    assert manifest["training"]["metrics"]["accuracy"] == forest.score(X, y)
    assert manifest["source"]["class"] == "RandomForestClassifier"
    assert manifest["parity"]["label_flips"] == 0
    assert manifest["classes"] == {
        "dtype": "string",
        "values": ["setosa", "versicolor", "virginica"],
    }
    width = manifest["inputs"][3]
    assert (width["min"], width["max"], width["unit"]) == (0.1, 2.5, "cm")
    assert width["description"] == "widest place"
    assert report.size == report.path.stat().st_size
    assert "flowers.onnx" in repr(report)
    assert "<table>" in report._repr_html_()


@pytest.mark.parametrize("how", ["list", "mapping"])
def test_labels_of_choice(how: str, tmp_path: Path) -> None:
    X, _ = data.iris()
    tree = DecisionTreeClassifier(random_state=0).fit(X, np.repeat([0, 1, 2], 50))
    labels: dict[int, str] = {0: "setosa", 1: "versicolor", 2: "virginica"}
    given = labels if how == "mapping" else list(labels.values())
    onnxport.save(tree, tmp_path / "m.onnx", X, labels=given)
    answer = onnxport.load(tmp_path / "m.onnx").predict(X.head(1))[0]
    assert answer["prediction"] == "setosa"
    assert list(answer["probabilities"]) == list(labels.values())


def test_names_for_a_bare_array(tmp_path: Path) -> None:
    X, y = data.iris()
    tree = DecisionTreeClassifier(random_state=0).fit(X.to_numpy(), y)
    unnamed = onnxport.save(tree, tmp_path / "m.onnx", X.to_numpy())
    assert unnamed.signature.names == ("x0", "x1", "x2", "x3")
    named = onnxport.save(tree, tmp_path / "m.onnx", X.to_numpy(), features=["a", "b", "a b", ""])
    assert named.signature.names == ("a", "b", "a b", "")
    borrowed = onnxport.save(tree, tmp_path / "m.onnx", X)
    assert borrowed.signature.names == tuple(X.columns)


@pytest.mark.parametrize(
    "names",
    [
        ["a b", "a_b", "2nd", "_2nd"],
        ["class", "a.b", "Größe", "sepal length (cm)"],
        ["x" * 1024, "'quoted'", '"double"', "back\\slash/slash"],
        ["🦄", "num", "code", "proba"],
        ["", " ", "\n", "\t"],
    ],
    ids=range(5),
)
def test_names_that_collide_elsewhere(names: list[str], tmp_path: Path) -> None:
    X, y = data.iris()
    X = X.set_axis(names, axis=1)
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    onnxport.save(tree, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X.to_dict("records"))
    assert [answer["prediction"] for answer in answers] == tree.predict(X).tolist()


def test_without_a_sample(tmp_path: Path) -> None:
    X, y = data.mixed()
    model = make_pipeline(
        ColumnTransformer(
            [("c", OneHotEncoder(), ["city"]), ("a", StandardScaler(), ["age", "income (k€)"])]
        ),
        RandomForestClassifier(5, random_state=0),
    ).fit(X, y)
    report = onnxport.save(model, tmp_path / "m.onnx")
    assert report.parity.rows > 2000
    city = report.signature.by_name["city"]
    assert city.categories == ("Graz", "Paris", "東京")
    assert report.signature.by_name["age"].minimum is None
    loaded = onnxport.load(tmp_path / "m.onnx")
    assert [a["prediction"] for a in loaded.predict(X)] == model.predict(X).tolist()
    onnxport.save(Ridge().fit(X[["age"]], X["age"]), tmp_path / "m.onnx")


def test_the_stored_rows_are_nobodys(tmp_path: Path) -> None:
    X, y = data.iris()
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    onnxport.save(tree, tmp_path / "m.onnx", X)
    selftest = onnxport.load(tmp_path / "m.onnx").file.selftest
    assert selftest.rows == 32
    real = {tuple(row) for row in X.to_numpy().tolist()}
    stored = {tuple(selftest.row(i).values()) for i in range(32)}
    assert not real & stored


def test_real_rows_where_they_are_wanted(tmp_path: Path) -> None:
    X, y = data.iris()
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    onnxport.save(tree, tmp_path / "m.onnx", X, sample_rows=X.head(5))
    model = onnxport.load(tmp_path / "m.onnx")
    assert [model.example(i) for i in range(5)] == X.head(5).to_dict("records")


def test_redacted_columns_tell_nothing(tmp_path: Path) -> None:
    X, y = data.mixed()
    X = X[["age", "city"]].assign(secret=[f"person {i}" for i in range(len(X))])
    encoder = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough"
    )
    encoder.set_params(
        transformers=[("c", OneHotEncoder(handle_unknown="ignore"), ["city", "secret"])]
    )
    model = make_pipeline(encoder, LogisticRegression(max_iter=500)).fit(X, y)
    report = onnxport.save(model, tmp_path / "m.onnx", X, y, redact=["age", "secret"])
    age = report.signature.by_name["age"]
    assert (age.minimum, age.maximum) == (None, None)
    assert report.signature.by_name["secret"].categories is None
    file = onnxport.load(report.path).file
    told = json.dumps([dict(file.manifest), file.baseline, file.selftest.inputs])
    assert "person" not in told
    assert file.baseline["columns"]["age"] == {"n": 300, "nulls": 0}


def test_closed_categories_cannot_be_redacted(tmp_path: Path) -> None:
    X, y = data.mixed()
    encoder = ColumnTransformer([("c", OneHotEncoder(), ["city"])])
    model = make_pipeline(encoder, DecisionTreeClassifier()).fit(X, y)
    with pytest.raises(ExportError, match="'city' can't be redacted"):
        onnxport.save(model, tmp_path / "m.onnx", X, redact=["city"])


def test_the_baseline_is_numpys(tmp_path: Path) -> None:
    X, y = data.mixed()
    encoder = ColumnTransformer([("c", OneHotEncoder(), ["city"])], remainder="passthrough")
    model = make_pipeline(encoder, DecisionTreeClassifier(random_state=0)).fit(
        X[["age", "city"]], y
    )
    onnxport.save(model, tmp_path / "m.onnx", X[["age", "city"]], y)
    baseline = onnxport.load(tmp_path / "m.onnx").file.baseline
    age = baseline["columns"]["age"]
    assert age["mean"] == pytest.approx(X["age"].mean())
    assert age["std"] == pytest.approx(X["age"].std(ddof=0))
    assert age["quantiles"][4] == X["age"].median()
    assert sum(age["hist"]["counts"]) == len(X)
    city = baseline["columns"]["city"]
    assert dict(city["top"]) == X["city"].value_counts().to_dict()
    assert sum(baseline["output"]["labels"].values()) == len(X)


def test_a_rare_value_is_not_told(tmp_path: Path) -> None:
    X = pd.DataFrame({"city": ["Graz"] * 50 + ["Paris"] * 46 + ["Hall"] * 4, "n": range(100)})
    encoder = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough"
    )
    model = make_pipeline(encoder, Ridge()).fit(X, X["n"])
    onnxport.save(model, tmp_path / "m.onnx", X, X["n"])
    top = onnxport.load(tmp_path / "m.onnx").file.baseline["columns"]["city"]
    assert top["top"] == [["Graz", 50], ["Paris", 46]]
    assert top["other"] == 4


def test_progress_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    X, y = data.iris()
    tree = DecisionTreeClassifier(random_state=0).fit(X, y)
    lines: list[str] = []
    onnxport.save(tree, tmp_path / "m.onnx", X, progress=lines.append)
    assert lines[0] == "converting DecisionTreeClassifier"
    assert any("comparing" in line for line in lines)
    assert len(lines) == STEPS
    with caplog.at_level(logging.INFO):
        onnxport.save(tree, tmp_path / "m.onnx", X)
    assert "converting DecisionTreeClassifier" in caplog.text


def test_saving_leaves_the_estimator_and_the_sample_alone(tmp_path: Path) -> None:
    X, y = data.holes()
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    before, proba = X.copy(), forest.predict_proba(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        onnxport.save(forest, tmp_path / "m.onnx", X, y)
    pd.testing.assert_frame_equal(X, before)
    np.testing.assert_array_equal(forest.predict_proba(X), proba)


def test_two_saves_of_one_model_have_one_graph(tmp_path: Path) -> None:
    X, y = data.iris()
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    for name in ("a", "b"):
        onnxport.save(forest, tmp_path / name, X, y, name="m", version="1")
    first, second = (onnxport.load(tmp_path / name).manifest for name in ("a", "b"))
    drop = {"model"}
    assert {k: v for k, v in first.items() if k not in drop} == {
        k: v for k, v in second.items() if k not in drop
    }
