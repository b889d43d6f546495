"""Support vector classifiers: coupled probabilities, votes, and ties broken by the decision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, NuSVC

import onnxport
from onnxport.errors import UnsupportedModel
from tests.export import data


@pytest.mark.filterwarnings("ignore::FutureWarning")  # scikit-learn retires probability=True
@pytest.mark.parametrize(
    ("estimator", "load"),
    [
        (SVC(probability=True, random_state=0), data.wine),
        (SVC(probability=True, random_state=0), data.cancer),
        (NuSVC(nu=0.1, probability=True, random_state=0), data.iris),
        (SVC(kernel="poly", decision_function_shape="ovo", probability=True), data.iris),
        (make_pipeline(StandardScaler(), SVC(probability=True, kernel="sigmoid")), data.wine),
        (SVC(kernel="linear", break_ties=True), data.iris),
        (SVC(break_ties=True), data.wine),
        (NuSVC(nu=0.1, decision_function_shape="ovo"), data.iris),
    ],
)
def test_answers(estimator: Any, load: Callable[[], data.Data], tmp_path: Path) -> None:
    X, y = load()
    estimator.fit(X, y)
    report = onnxport.save(estimator, tmp_path / "m.onnx", X)
    assert report.parity.tolerance == 1e-9
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    assert [answer["prediction"] for answer in answers] == estimator.predict(X).tolist()
    if hasattr(estimator, "predict_proba"):
        proba = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(proba, estimator.predict_proba(X), atol=1e-9)


def test_given_kernels_are_refused(tmp_path: Path) -> None:
    X, y = data.iris()
    given = X.to_numpy() @ X.to_numpy().T
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(SVC(kernel="precomputed").fit(given, y), tmp_path / "m.onnx", given)
    assert caught.value.parameter == "kernel"


def test_kernels_of_ones_own_are_refused(tmp_path: Path) -> None:
    X, y = data.iris()
    model = make_pipeline(StandardScaler(), SVC(kernel=lambda a, b: a @ b.T)).fit(X, y)
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X)
    assert caught.value.parameter == "kernel"
