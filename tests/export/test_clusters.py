"""Clusterers by their nearest center, and Gaussian mixtures with their probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import AffinityPropagation, Birch, MeanShift
from sklearn.linear_model import Ridge
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import onnxport
from onnxport.errors import UnsupportedModel
from tests.export import data

_DIRICHLET = "dirichlet_distribution"

CASES = [
    Birch(),
    Birch(n_clusters=None, threshold=0.8),
    MeanShift(),
    AffinityPropagation(random_state=0),
    GaussianMixture(3, random_state=0),
    GaussianMixture(3, covariance_type="tied", random_state=0),
    GaussianMixture(3, covariance_type="diag", random_state=0),
    GaussianMixture(3, covariance_type="spherical", random_state=0),
    BayesianGaussianMixture(n_components=4, random_state=0),
    BayesianGaussianMixture(
        n_components=4, covariance_type="diag", weight_concentration_prior_type=_DIRICHLET
    ),
]


@pytest.mark.parametrize("estimator", CASES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_clusters(estimator: Any, tmp_path: Path) -> None:
    X, _ = data.iris()
    model = make_pipeline(StandardScaler(), estimator).fit(X)
    onnxport.save(model, tmp_path / "m.onnx", X)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    assert [answer["prediction"] for answer in answers] == model.predict(X).tolist()
    if hasattr(model, "predict_proba"):
        proba = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-9)


def test_distances_to_subclusters_before_a_line(tmp_path: Path) -> None:
    X, y = data.diabetes()
    model = make_pipeline(Birch(threshold=0.1), Ridge()).fit(X, y)
    onnxport.save(model, tmp_path / "m.onnx", X)
    found = [a["prediction"] for a in onnxport.load(tmp_path / "m.onnx").predict(X)]
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-5)


def test_given_affinities_are_refused(tmp_path: Path) -> None:
    X = -np.abs(np.subtract.outer([0.0, 1.0, 5.0, 7.0], [0.0, 1.0, 5.0, 7.0]))
    model = AffinityPropagation(affinity="precomputed", random_state=0).fit(X)
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X)
    assert caught.value.parameter == "affinity"
