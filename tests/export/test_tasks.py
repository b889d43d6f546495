"""What else than one classifier or one regressor can be saved: clusterers and transformers, against the estimator."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import (
    DBSCAN,
    AgglomerativeClustering,
    BisectingKMeans,
    KMeans,
    MiniBatchKMeans,
    SpectralClustering,
)
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

import onnxport
from onnxport.errors import ExportError, ParityError, UnsupportedModel
from onnxport.export import registry
from onnxport.export.emitters import clustering, scaling
from tests.export import data
from tests.export.answering import expected_answers, same


def prove(estimator: Any, X: Any, y: Any, folder: Path, **options: Any) -> onnxport.Model:
    """Fits on half, saves, and compares every answer to the other half."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X[::2])
    report = onnxport.save(estimator, folder / "m.onnx", X[::2], y, **options)
    assert report.parity.rows > 2000
    model = onnxport.load(folder / "m.onnx")
    tolerance = report.parity.tolerance
    for wanted, got in zip(
        expected_answers(estimator, X[1::2]), model.predict(X[1::2]), strict=True
    ):
        assert same(wanted, got, tolerance)
    return model


@pytest.mark.parametrize(
    "estimator",
    [
        KMeans(5, n_init=2, random_state=0),
        KMeans(1, n_init=1),
        make_pipeline(StandardScaler(), MiniBatchKMeans(4, n_init=2, random_state=0)),
        BisectingKMeans(6, random_state=0),
        BisectingKMeans(7, bisecting_strategy="largest_cluster", random_state=0),
        BisectingKMeans(1),
        GridSearchCV(KMeans(n_init=2, random_state=0), {"n_clusters": [2, 4]}),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("make", [data.iris, data.wine])
def test_clusterers(estimator: Any, make: Any, tmp_path: Path) -> None:
    X, y = make()
    model = prove(estimator, X, y[::2], tmp_path)
    assert model.signature.task == "clustering"
    assert model.signature.classes == tuple(range(len(model.signature.classes)))
    assert -1 <= model.manifest["training"]["metrics"]["adjusted_rand"] <= 1


@pytest.mark.parametrize("make", [KMeans, BisectingKMeans])
def test_rows_whose_distances_overflow_are_refused(make: Any, tmp_path: Path) -> None:
    """Huge numbers are answered like the estimator, up to where its own sums are infinite."""
    X, _ = data.iris()
    X = 3 * (X - X.mean())
    estimator = make(4, n_init=2, random_state=0).fit(X)
    onnxport.save(estimator, tmp_path / "m.onnx", X)
    model = onnxport.load(tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], X.shape)
    huge = pd.DataFrame(signs * 10.0 ** rng.uniform(280, 306, X.shape), columns=X.columns)
    assert [a["prediction"] for a in model.predict(huge)] == estimator.predict(huge).tolist()
    with pytest.raises(onnxport.errors.ValidationError, match="a number is too large"):
        model.predict(huge * 1e2)


def test_clusters_with_names(tmp_path: Path) -> None:
    X, _ = data.iris()
    estimator = KMeans(2, n_init=2, random_state=0).fit(X)
    onnxport.save(estimator, tmp_path / "m.onnx", X, labels={0: "near", 1: "far"})
    answers = onnxport.load(tmp_path / "m.onnx").predict(X)
    named = np.array(["near", "far"])[estimator.predict(X)]
    assert answers == [{"prediction": name} for name in named.tolist()]


@pytest.mark.parametrize("steps", [KMeans, MiniBatchKMeans, BisectingKMeans])
def test_distances_to_clusters_in_the_middle(steps: Any, tmp_path: Path) -> None:
    X, y = data.wine()
    distances = steps(4, random_state=0)
    estimator = make_pipeline(StandardScaler(), distances, LogisticRegression()).fit(X, y)
    assert onnxport.save(estimator, tmp_path / "m.onnx", X, y).parity.label_flips == 0


def test_transformers_of_numbers(tmp_path: Path) -> None:
    X, _ = data.wine()
    model = prove(StandardScaler(), X, None, tmp_path)
    assert model.signature.targets == tuple(X.columns)
    model = prove(make_pipeline(MinMaxScaler(), PCA(3)), X.to_numpy(), None, tmp_path)
    assert model.signature.targets == ("pca0", "pca1", "pca2")
    prove(GridSearchCV(PCA(), {"n_components": [2, 3]}), X, None, tmp_path)


def test_transformers_of_strings(tmp_path: Path) -> None:
    X, _ = data.mixed()
    known = X[["city"]]
    model = prove(OneHotEncoder(handle_unknown="ignore"), known, None, tmp_path)
    assert model.signature.targets == tuple(f"city_{c}" for c in sorted(set(known["city"])))
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prove(ordinal, known, None, tmp_path)
    number = next(name for name in X if X[name].dtype.kind == "f")
    both = ColumnTransformer(
        [("n", StandardScaler(), [number]), ("c", OneHotEncoder(sparse_output=False), ["city"])]
    )
    model = prove(both.set_output(transform="pandas"), X.dropna(), None, tmp_path)
    assert model.signature.targets[:2] == (f"n__{number}", f"c__city_{sorted(set(X['city']))[0]}")
    assert model.signature.ignored


def test_names_of_columns(tmp_path: Path) -> None:
    """Redacted, missing or endless names of columns aren't told."""
    X, _ = data.mixed()
    encoder = OneHotEncoder(handle_unknown="ignore").fit(X[["city"]])
    report = onnxport.save(encoder, tmp_path / "m.onnx", X[["city"]], redact=["city"])
    assert report.signature.targets == tuple(f"y{i}" for i in range(len(encoder.categories_[0])))
    nameless = FunctionTransformer().fit(X[["city"]].assign(a=1.0)[["a"]])
    report = onnxport.save(nameless, tmp_path / "m.onnx", pd.DataFrame({"a": [1.0, 2.0]}))
    assert report.signature.targets == ("y",)


def test_wide_transformers(tmp_path: Path) -> None:
    """Endless names aren't told; the gate takes the rows in parts; a million columns are no answer."""
    wide = pd.DataFrame({"c": [f"{i:030}" for i in range(3000)]})
    encoder = OneHotEncoder(handle_unknown="ignore").fit(wide)
    report = onnxport.save(encoder, tmp_path / "m.onnx", wide)
    assert report.signature.targets == ()
    assert report.parity.rows > 2500
    answer = onnxport.load(tmp_path / "m.onnx").predict({"c": f"{3:030}"})
    assert answer["output"] == [float(i == 3) for i in range(3000)]
    wider = pd.DataFrame({"c": [str(i) for i in range(20_001)]})
    with pytest.raises(ExportError, match="gives 20,001 columns a row, too many"):
        onnxport.save(OneHotEncoder().fit(wider), tmp_path / "n.onnx", wider)


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (DBSCAN(), "(DBSCAN): it labels the rows it was fitted on and has no predict for new ones"),
        (AgglomerativeClustering(), "Use KMeans, or fit a classifier on its labels_."),
        (SpectralClustering(2), "Use KMeans, or fit a classifier on its labels_."),
        (LocalOutlierFactor(), "it has no predict for new rows. Set novelty=True."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_answers_no_new_rows(estimator: Any, said: str, tmp_path: Path) -> None:
    X, _ = data.iris()
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(make_pipeline(StandardScaler(), estimator).fit(X), tmp_path / "m.onnx", X)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_transformers_that_are_refused(tmp_path: Path) -> None:
    X, _ = data.mixed()
    leaves = ColumnTransformer([("c", "passthrough", ["city"])]).fit(X)
    with pytest.raises(UnsupportedModel, match="ColumnTransformer: its output has string columns"):
        onnxport.save(leaves, tmp_path / "m.onnx", X)
    drops = ColumnTransformer([("c", "drop", list(X))]).fit(X)
    with pytest.raises(ExportError, match="reads no column of X"):
        onnxport.save(drops, tmp_path / "m.onnx", X)
    scaler = StandardScaler().fit(data.iris()[0])
    with pytest.raises(ExportError, match="classes of a classifier, and this is a transformer"):
        onnxport.save(scaler, tmp_path / "m.onnx", labels=["a"])
    assert list(tmp_path.iterdir()) == []


class Lopsided(KMeans):
    """Puts wide petals into the first cluster."""

    def predict(self, X: Any) -> Any:
        return np.where(np.asarray(X)[:, 3] > 2.3, 0, super().predict(X))


class Rounding(StandardScaler):
    """Rounds to eight digits."""

    def transform(self, X: Any, copy: bool | None = None) -> Any:
        return np.round(super().transform(X, copy), 8)


@pytest.mark.parametrize(
    ("estimator", "emitter"),
    [
        (Lopsided(4, n_init=2, random_state=0), clustering.emit_k_means),
        (Rounding(), scaling.emit_standard_scaler),
    ],
    ids=["clusters", "columns"],
)
def test_the_gate_sees_what_is_wrong(estimator: Any, emitter: Any, tmp_path: Path) -> None:
    X, _ = data.iris()
    registry.emits(type(estimator))(emitter)
    try:
        with pytest.raises(ParityError, match=r"the estimator says .*, the graph"):
            onnxport.save(estimator.fit(X), tmp_path / "m.onnx", X)
    finally:
        del registry.RULES[type(estimator)]
    assert list(tmp_path.iterdir()) == []
