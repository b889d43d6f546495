"""Predictors that transform in the middle of a pipeline, behind pipelines and searches of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

import onnxport
from tests.export import data


@pytest.mark.parametrize(
    "step",
    [
        make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)),
        make_pipeline(StandardScaler(), make_pipeline(LinearDiscriminantAnalysis())),
        GridSearchCV(KMeans(n_init=1, random_state=0), {"n_clusters": [2, 3]}, cv=2),
        FeatureUnion([("near", make_pipeline(KMeans(2, n_init=1, random_state=0)))]),
    ],
    ids=["pipeline", "nested", "search", "union"],
)
def test_a_predictor_that_transforms(step: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    columns = ColumnTransformer([("near", step, list(X.columns[:5]))], remainder="passthrough")
    model = make_pipeline(columns, StandardScaler(), LogisticRegression()).fit(X, y)
    onnxport.save(model, tmp_path / "m.onnx", X, y)
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    got = np.array([list(answer["probabilities"].values()) for answer in answers])
    np.testing.assert_allclose(got, model.predict_proba(X), atol=1e-12)
