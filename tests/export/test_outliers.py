"""Outlier detectors: the flag by the library's own side of the edge, and the score behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.linear_model import SGDOneClassSVM
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

import onnxport
from onnxport.errors import UnsupportedModel
from tests.export import data


@pytest.mark.parametrize(
    "estimator",
    [
        LocalOutlierFactor(novelty=True),
        LocalOutlierFactor(8, novelty=True, algorithm="ball_tree", contamination=0.1, p=1),
        OneClassSVM(nu=0.1),
        OneClassSVM(kernel="poly", nu=0.2),
        SGDOneClassSVM(random_state=0),
        EllipticEnvelope(random_state=0),
        # The offset is a training row's own score, which rounding must not move.
        EllipticEnvelope(random_state=0, contamination=10 / 177),
        make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)),
    ],
)
def test_flags_and_scores(estimator: Any, tmp_path: Path) -> None:
    X, _ = data.wine()
    estimator.fit(X.to_numpy())
    report = onnxport.save(estimator, tmp_path / "m.onnx", X.to_numpy())
    assert report.parity.label_flips == 0
    answers = onnxport.load(tmp_path / "m.onnx").predict(X.to_numpy())
    assert [answer["prediction"] for answer in answers] == estimator.predict(X.to_numpy()).tolist()
    scores = [answer["score"] for answer in answers]
    np.testing.assert_allclose(scores, estimator.decision_function(X.to_numpy()), atol=1e-9)


def test_whole_numbers_where_distances_tie(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, (200, 3)).astype(float)
    estimator = LocalOutlierFactor(6, novelty=True).fit(X)
    onnxport.save(estimator, tmp_path / "m.onnx", X)
    rows = rng.integers(-1, 7, (1000, 3)).astype(float)
    answers = onnxport.load(tmp_path / "m.onnx").predict(rows)
    scores = [answer["score"] for answer in answers]
    np.testing.assert_allclose(scores, estimator.decision_function(rows), rtol=1e-9)


def test_the_self_test_leaves_out_rows_that_hang_on_rounding(tmp_path: Path) -> None:
    X, _ = data.iris()  # one decimal: brute force has neighbours as near as its rounding
    estimator = LocalOutlierFactor(5, novelty=True, contamination=0.1, algorithm="brute").fit(X)
    onnxport.save(estimator, tmp_path / "m.onnx", X)
    assert len(onnxport.load(tmp_path / "m.onnx").predict(X)) == len(X)


def test_without_novelty_it_judges_only_its_own_rows(tmp_path: Path) -> None:
    X, _ = data.wine()
    with pytest.raises(UnsupportedModel, match="novelty=True"):
        onnxport.save(LocalOutlierFactor().fit(X), tmp_path / "m.onnx", X)
