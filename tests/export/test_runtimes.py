"""The oldest ONNX Runtime that the file names answers like the newest: the range in the manifest is true."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from sklearn import ensemble, naive_bayes, neural_network, svm, tree
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

import onnxport
from onnxport.export.graph import RUNTIMES
from tests.export import data

MODELS: dict[str, Any] = {
    "forest": ensemble.RandomForestClassifier(30, random_state=0),
    "stumps": ensemble.GradientBoostingClassifier(max_depth=1, n_estimators=9, random_state=0),
    "boosted": ensemble.GradientBoostingClassifier(n_estimators=6, random_state=0),
    "histogram": ensemble.HistGradientBoostingClassifier(max_iter=6, random_state=0),
    "adaboost": ensemble.AdaBoostClassifier(n_estimators=5, random_state=0),
    "tree": tree.DecisionTreeClassifier(random_state=0),
    "bayes": naive_bayes.GaussianNB(),
    "machine": make_pipeline(StandardScaler(), svm.SVC()),
    "network": neural_network.MLPClassifier(max_iter=2000, random_state=0),
    "polynomial": make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression()),
}
PROGRAM = """
import json, sys
import onnxport
answers = {}
for name, rows in json.load(open(sys.argv[1], encoding="utf-8")).items():
    model = onnxport.load(f"{name}.onnx")
    answers[name] = model.predict(rows)
print(json.dumps([model.runtime_version, answers]))
"""


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the oldest runtime of the range, and nothing of what the exporter needs."""
    folder = tmp_path_factory.mktemp("oldest")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    version = RUNTIMES.partition(",")[0].removeprefix(">=")
    wanted = [f"onnxruntime=={version}", "orjson"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def test_the_oldest_runtime_answers_like_this_one(oldest: Path, root: Path, tmp_path: Path) -> None:
    X, y = data.iris()
    mixed, labels = data.mixed()
    encoder = ColumnTransformer([("c", OneHotEncoder(), ["city"])], remainder="drop")
    strings = make_pipeline(encoder, ensemble.RandomForestClassifier(5, random_state=0))
    rows: dict[str, Any] = {name: X.to_dict("records") for name in MODELS}
    for name, model in MODELS.items():
        onnxport.save(model.fit(X, y), tmp_path / f"{name}.onnx", X)
    onnxport.save(strings.fit(mixed, labels), tmp_path / "strings.onnx", mixed)
    rows["strings"] = [{"city": city} for city in ("Graz", "Paris", "東京")]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    done = subprocess.run(
        [oldest, "-c", PROGRAM, "rows.json"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, answers = json.loads(done.stdout)
    assert version == RUNTIMES.partition(",")[0].removeprefix(">=")
    for name, old in answers.items():
        new = onnxport.load(tmp_path / f"{name}.onnx").predict(rows[name])
        assert [a["prediction"] for a in old] == [a["prediction"] for a in new], name
        if "probabilities" in new[0]:
            for one, other in zip(old, new, strict=True):
                assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
