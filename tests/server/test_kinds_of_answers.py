"""Every kind of model over real HTTP: estimator, model file, server, client and `check` say the same."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pandas as pd
import pytest
import requests
from sklearn.cluster import KMeans
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import onnxport
from onnxport.check import check_file, check_url
from tests.check.tampering import with_selftest
from tests.export import data
from tests.export.answering import expected_answers, same
from tests.serving import ServerProcess

# Name: estimator, what it is fitted on, the task, and how the answer to one row begins.
KINDS: dict[str, Any] = {
    "labels only": (RidgeClassifier(), "species", "multiclass_classification"),
    "two targets": (
        MultiOutputClassifier(LogisticRegression(max_iter=1000)),
        ["species", "size"],
        "multioutput_classification",
    ),
    "chain": (
        make_pipeline(StandardScaler(), ClassifierChain(LogisticRegression())),
        ["wide", "long", "round"],
        "multioutput_classification",
    ),
    "two numbers": (Ridge(), ["a", "b"], "regression"),
    "outliers": (EllipticEnvelope(random_state=0), None, "outlier_detection"),
    "clusters": (KMeans(3, n_init=2, random_state=0), None, "clustering"),
    "mixture": (GaussianMixture(3, random_state=0), None, "clustering"),
    "columns": (make_pipeline(StandardScaler(), PCA(2)), None, "transformation"),
}


@cache
def targets() -> Any:
    X, species = data.iris()
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "species": species,
            "size": np.where(X["sepal_length"] > 5.8, "big", "small"),
            "wide": (X["petal_width"] + rng.normal(0, 0.3, len(X)) > 1).astype(int),
            "long": (X["petal_length"] + rng.normal(0, 0.5, len(X)) > 4).astype(int),
            "round": (X["sepal_width"] + rng.normal(0, 0.5, len(X)) > 3).astype(int),
            "a": X["petal_width"] * 3,
            "b": X["sepal_width"] - 1,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest, folder: Path) -> Any:
    """A name of KINDS, the fitted estimator, and its model file."""
    estimator, names, _ = KINDS[request.param]
    X, _ = data.iris()
    y = None if names is None else targets()[names]
    path = folder / f"{request.param}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X) if y is None else estimator.fit(X, y)
        onnxport.save(estimator, path, X, y)
    return request.param, estimator, path


@pytest.fixture(scope="module")
def url(kind: Any) -> Iterator[str]:
    with ServerProcess("serve", kind[2], "--port", "0") as server:
        yield server.url


def test_the_same_answers_everywhere(kind: Any, url: str) -> None:
    name, estimator, path = kind
    X, _ = data.iris()
    X = X[::5]
    model = onnxport.load(path)
    assert model.signature.task == KINDS[name][2]
    answers = model.predict(X)
    tolerance = model.manifest["parity"]["tolerance"]
    for wanted, got in zip(expected_answers(estimator, X), answers, strict=True):
        assert same(wanted, got, tolerance)
    rows = X.to_dict("records")
    with onnxport.Client(url) as client:
        assert client.predict(rows) == answers
        assert client.predict(X) == answers
        assert client.predict(rows[0]) == model.predict(rows[0])
        assert client.predict([]) == model.predict([]) == []
    alone = requests.post(f"{url}/predict", json=rows[3], timeout=5).json()
    assert same(answers[3], alone)  # one row's sums may round differently


def test_the_check_agrees(kind: Any, url: str) -> None:
    for report in (check_file(kind[2]), check_url(url, kind[2])):
        assert report.passed, report
        assert (report.rows, report.label_flips) == (32, 0)


def _turn(selftest: dict[str, Any]) -> None:
    """Another answer to the first row: a label of the last target where there are labels, else a number."""
    expect = selftest["expect"]
    if "code" not in expect:
        expect[next(iter(expect))][0][-1] += 1e-3
    elif isinstance(expect["code"][0], list):
        expect["code"][0][-1] = 1 - expect["code"][0][-1]
    else:
        expect["code"][0] = 1 - min(expect["code"][0], 1)


def _shift(selftest: dict[str, Any]) -> None:
    """Another number in the answer to the first row."""
    role = next(
        name for name in ("score", "proba", "value", "output") if name in selftest["expect"]
    )
    selftest["expect"][role][0][-1] += 1e-3


def test_the_check_sees_what_differs(kind: Any, url: str, folder: Path) -> None:
    turned = check_url(url, with_selftest(kind[2], folder / "turned.onnx", _turn))
    has_labels = KINDS[kind[0]][2] not in ("regression", "transformation")
    assert not turned.passed
    assert turned.label_flips == has_labels
    assert any(
        finding.verdict == "failure" and "label flips" in finding.text
        for finding in turned.findings
    )
    if kind[0] not in ("labels only", "clusters"):
        shifted = check_url(url, with_selftest(kind[2], folder / "shifted.onnx", _shift))
        assert not shifted.passed
        assert shifted.label_flips == 0
        assert 1e-6 < shifted.worst_difference < 2e-3


def test_the_description_fits_the_answers(kind: Any, url: str) -> None:
    _, _, path = kind
    model = onnxport.load(path)
    described = requests.get(f"{url}/openapi.json", timeout=5).json()
    schema = described["components"]["schemas"]["Prediction"]
    answers = model.predict(data.iris()[0])
    for answer in answers:
        jsonschema_rs.validate(schema, answer)
    name, value = next(iter(answers[0].items()))
    assert not jsonschema_rs.is_valid(schema, answers[0] | {name: [value, value]})
    assert not jsonschema_rs.is_valid(schema, answers[0] | {"more": 1})
    told = requests.get(f"{url}/model", timeout=5).json()
    assert told["task"] == model.signature.task
    assert told["targets"] == list(model.signature.targets)
    several = model.signature.target_classes
    assert told["classes"] == [list(each) for each in several] or list(model.signature.classes)
    assert requests.get(f"{url}/docs", timeout=5).status_code == 200


def test_the_command_line(kind: Any) -> None:
    _, _, path = kind
    rows = data.iris()[0].head(3)
    done = _run("predict", path, "-", stdin=rows.to_csv(index=False))
    answers = [json.loads(line) for line in done.splitlines()]
    assert answers == onnxport.load(path).predict(rows)
    told = _run("inspect", path)
    assert "answer\n" in told
    for name in answers[0]:
        assert f"\n  {name} " in told


def _run(*arguments: str | Path, stdin: str = "") -> str:
    command = [sys.executable, "-W", "error", "-m", "onnxport", *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_answers_that_are_not_finite_are_refused(folder: Path) -> None:
    """A transformer alone that lets nulls through: Python gets NaN, HTTP a refusal that names the row."""
    X, _ = data.iris()
    onnxport.save(StandardScaler().fit(X), folder / "scaler.onnx", X)
    model = onnxport.load(folder / "scaler.onnx")
    row = X.iloc[0].to_dict() | {"petal_width": None}
    assert np.isnan(model.predict(row)["output"][3])
    with pytest.raises(
        onnxport.errors.RequestError, match="row 1: the model's answer is infinite or not"
    ):
        model.predict_json(json.dumps([X.iloc[0].to_dict(), row]).encode())
