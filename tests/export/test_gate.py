"""The parity gate sees what is wrong: an estimator that computes something else than its emitter emits."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport import runtime
from onnxport.errors import ModelFileError, ParityError
from onnxport.export import registry
from onnxport.export.emitters import forests, linear, scaling
from tests.export import data

KNOWN = LogisticRegression(max_iter=1000)


class Contrary(DecisionTreeClassifier):
    """A tree that changes its mind on wide petals: its emitter can't know."""

    def predict_proba(self, X: Any, check_input: bool = True) -> Any:
        proba = super().predict_proba(X, check_input)
        wide = np.asarray(X)[:, 3] > 2.4
        proba[wide] = proba[wide][:, [1, 2, 0]]
        return proba

    def predict(self, X: Any, check_input: bool = True) -> Any:
        return self.classes_[self.predict_proba(X, check_input).argmax(axis=1)]


class Drifting(LinearRegression):
    """A line that is off by a millionth where bmi is large."""

    def predict(self, X: Any) -> Any:
        return super().predict(X) * np.where(X["bmi"] > 0.1, 1 + 1e-6, 1.0)


class Shifted(StandardScaler):
    """A scaler that is off by a quarter on large values."""

    def transform(self, X: Any, copy: bool | None = None) -> Any:
        scaled = super().transform(X, copy)
        return np.where(scaled > 1, scaled + 0.25, scaled)


@pytest.fixture(autouse=True)
def wrong_emitters() -> Iterator[None]:
    """The registry is open: whoever registers a class vouches for it, and the gate checks."""
    registry.emits(Contrary)(forests.emit_forest_classifier)
    registry.emits(Drifting)(linear.emit_linear_regressor)
    registry.emits(Shifted)(scaling.emit_standard_scaler)
    yield
    for wrong in (Contrary, Drifting, Shifted):
        del registry.RULES[wrong]


def test_a_flipped_label_is_found_and_explained(tmp_path: Path) -> None:
    X, y = data.iris()
    model = Contrary(random_state=0).fit(X, y)
    with pytest.raises(ParityError) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X, y)
    error = caught.value
    assert error.column == "petal_width"
    assert error.row["petal_width"] > 2.4
    assert set(error.row) == set(X.columns)
    assert error.expected != error.got
    assert "label flips" in str(error)
    assert "Nothing was written" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_a_difference_of_a_millionth_is_found(tmp_path: Path) -> None:
    X, y = data.diabetes()
    with pytest.raises(ParityError, match="'bmi'") as caught:
        onnxport.save(Drifting().fit(X, y), tmp_path / "m.onnx", X, y)
    assert caught.value.column == "bmi"
    assert "0 label flips" in str(caught.value)


def test_rounding_is_no_excuse_for_most_rows(tmp_path: Path) -> None:
    """The sums of this model are so large that its own answers are noise."""
    X, y = data.diabetes()
    X = (X * 1e6).round()
    with pytest.raises(ParityError, match="rounding decides it"):
        onnxport.save(KernelRidge().fit(X, y), tmp_path / "m.onnx", X)
    onnxport.save(make_pipeline(StandardScaler(), KernelRidge()).fit(X, y), tmp_path / "m.onnx", X)


def _prepared(scaler: Any) -> ColumnTransformer:
    """Two nested steps for some columns, one for the others."""
    numbers = Pipeline([("fill", SimpleImputer()), ("scaler", scaler)])
    parts = [("rest", MinMaxScaler(), ["petal_length"]), ("num", numbers, ["petal_width"])]
    return ColumnTransformer(parts, remainder="passthrough")


@pytest.mark.parametrize(
    ("model", "step"),
    [
        (Pipeline([("prep", _prepared(Shifted())), ("clf", KNOWN)]), "prep.num.scaler"),
        (make_pipeline(MinMaxScaler(), Shifted(), KNOWN), "shifted"),
        (
            make_pipeline(FeatureUnion([("a", MinMaxScaler()), ("b", Shifted())]), KNOWN),
            "featureunion.b",
        ),
        (GridSearchCV(make_pipeline(Shifted(), KNOWN), {}), "best_estimator_.shifted"),
        (
            VotingClassifier([("v", make_pipeline(Shifted(), KNOWN)), ("w", KNOWN)], voting="soft"),
            "v.shifted",
        ),
    ],
    ids=["nested", "pipeline", "union", "search", "voter"],
)
def test_the_step_where_they_first_differ(model: Any, step: str, tmp_path: Path) -> None:
    X, y = data.iris()
    with pytest.raises(ParityError) as caught:
        onnxport.save(model.fit(X, y), tmp_path / "m.onnx", X, y)
    assert caught.value.step == step
    told = re.search(
        r"The two first differ after step '([\w.]+)' \(Shifted\), output column (\d): (\S+) in the "
        r"estimator, (\S+) in the graph\.",
        str(caught.value),
    )
    assert told is not None
    assert told[1] == step
    assert float(told[3]) - float(told[4]) == pytest.approx(0.25)


def test_the_step_is_the_predictor_where_all_columns_agree(tmp_path: Path) -> None:
    X, y = data.iris()
    model = Pipeline([("prep", _prepared(StandardScaler())), ("clf", Contrary(random_state=0))])
    with pytest.raises(ParityError, match=r"up to step 'clf' \(Contrary\), where") as caught:
        onnxport.save(model.fit(X, y), tmp_path / "m.onnx", X, y)
    assert caught.value.step == "clf"
    with pytest.raises(ParityError, match="arises in Contrary itself") as caught:
        onnxport.save(Contrary(random_state=0).fit(X, y), tmp_path / "m.onnx", X, y)
    assert caught.value.step == ""


def test_an_accepted_mismatch_says_so_everywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    X, y = data.iris()
    model = Contrary(random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="SAVED WITH A MISMATCH"):
        report = onnxport.save(model, tmp_path / "m.onnx", X, y, allow_mismatch=True)
    assert report.parity.accepted_mismatch
    assert report.parity.label_flips > 0
    assert "WARNING" in repr(report)
    loaded = onnxport.load(tmp_path / "m.onnx")
    assert loaded.manifest["parity"]["accepted_mismatch"] is True
    assert "answers differently from its estimator" in repr(loaded)
    assert "answers differently" in loaded._repr_html_()
    onnxport.create_app(loaded)
    assert "answers differently" in caplog.text


def test_permission_for_a_mismatch_is_not_a_mismatch(tmp_path: Path) -> None:
    X, y = data.iris()
    model = DecisionTreeClassifier(random_state=0).fit(X, y)
    report = onnxport.save(model, tmp_path / "m.onnx", X, y, allow_mismatch=True)
    assert not report.parity.accepted_mismatch


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    X, y = data.iris()
    path = tmp_path / "m.onnx"
    onnxport.save(DecisionTreeClassifier(random_state=0).fit(X, y), path, X)
    before = path.read_bytes()
    with pytest.raises(ParityError):
        onnxport.save(Contrary(random_state=0).fit(X, y), path, X)
    assert path.read_bytes() == before


def test_the_row_sets_that_apply(tmp_path: Path) -> None:
    X, y = data.mixed()
    X, y = X[["age", "income (k€)"]], y
    report = onnxport.save(DecisionTreeClassifier().fit(X, y), tmp_path / "m.onnx", X, y)
    sets = report.parity.row_sets
    for name in ("heldout", "nulls", "thresholds", "extremes", "ties", "shuffled columns"):
        assert name in sets
    for size in (0, 1, 2, 257):
        assert f"batch {size}" in sets
    assert report.manifest["parity"]["row_sets"] == list(sets)
    told = report.manifest["parity"]["rows_by_set"]
    assert set(told) == set(sets)
    assert sum(told.values()) == report.parity.rows
    assert f"heldout ({told['heldout']:,}), nulls ({told['nulls']:,})" in repr(report)


def test_the_gates_process_holds_only_the_runtime(tmp_path: Path) -> None:
    """The graph of another program's import can't help: the gate's process refuses it."""
    program = (
        Path(runtime.__file__)
        .read_text("utf-8")
        .replace("import onnxruntime\n", "import onnxruntime\nimport sklearn\n", 1)
    )
    (tmp_path / "gate.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "gate.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "sklearn is kept out of the parity gate's process" in done.stderr


def test_a_file_that_lies_about_its_answers_is_refused(tmp_path: Path) -> None:
    X, y = data.iris()
    report = onnxport.save(
        DecisionTreeClassifier(random_state=0).fit(X, y), tmp_path / "m.onnx", X, y
    )
    content = report.path.read_bytes()
    wrong = re.sub(rb'"code":\[(\d)', lambda m: b'"code":[%d' % (1 - (m[1] == b"1")), content)
    assert wrong != content
    with pytest.raises(ModelFileError, match="the digest doesn't match"):
        onnxport.load(wrong)


def test_an_ill_posed_estimator_is_told_of_its_own_noise(tmp_path: Path) -> None:
    X, _ = data.iris()
    X, y = X[["sepal_length", "sepal_width"]], X["petal_width"]
    wide = RBF(50.0)  # all rows are near to each other: the kernel matrix is as good as singular
    model = GaussianProcessRegressor(wide, optimizer=None).fit(X, y)
    with pytest.raises(ParityError, match=r"own answer to this row moves by .* larger alpha"):
        onnxport.save(model, tmp_path / "m.onnx", X)
    model = GaussianProcessRegressor(wide, optimizer=None, alpha=0.1).fit(X, y)
    onnxport.save(model, tmp_path / "m.onnx", X)


def test_an_estimator_whose_answers_are_mostly_noise_is_not_excused(tmp_path: Path) -> None:
    X, y = data.diabetes()
    X = X[["bmi", "bp"]]
    model = KernelRidge(alpha=1e-12, kernel="rbf").fit(X, y)
    with pytest.raises(ParityError, match="own answer to this row moves by"):
        onnxport.save(model, tmp_path / "m.onnx", X)
