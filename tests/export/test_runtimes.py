"""The range of runtimes in the manifest is true: its oldest answers like the newest, which all other tests run on;
and on a release that answers trees wrongly, the self-test decides.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from packaging.specifiers import SpecifierSet
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn import ensemble, naive_bayes, neural_network, svm, tree
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

import onnxport
from onnxport import runtime
from onnxport.export.graph import RUNTIMES
from onnxport.modelfile import BLANK_DIGEST, seal
from tests import environments
from tests.export import data

MODELS: dict[str, Any] = {
    "forest": ensemble.RandomForestClassifier(30, random_state=0),
    "stumps": ensemble.GradientBoostingClassifier(max_depth=1, n_estimators=9, random_state=0),
    "boosted": ensemble.GradientBoostingClassifier(n_estimators=6, random_state=0),
    "histogram": ensemble.HistGradientBoostingClassifier(max_iter=6, random_state=0),
    "categories": ensemble.HistGradientBoostingClassifier(categorical_features=[0], max_iter=6),
    "turned": ensemble.RandomForestClassifier(300, max_depth=4, random_state=0),
    "isolation": ensemble.IsolationForest(n_estimators=30, random_state=0),
    "adaboost": ensemble.AdaBoostClassifier(n_estimators=5, random_state=0),
    "tree": tree.DecisionTreeClassifier(random_state=0),
    "bayes": naive_bayes.GaussianNB(),
    "machine": make_pipeline(StandardScaler(), svm.SVC()),
    "network": neural_network.MLPClassifier(max_iter=2000, random_state=0),
    "polynomial": make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression()),
}
DENIED = "1.26.0"
PROGRAM = """
import json, sys
import onnxport
answers = {}
for name, rows in json.load(open(sys.argv[1], encoding="utf-8")).items():
    model = onnxport.load(f"{name}.onnx")
    answers[name] = model.predict(rows)
print(json.dumps([model.runtime_version, answers]))
"""


def _python_with(folder: Path, release: str) -> Path:
    """A Python with this release of the runtime, and nothing of what the exporter needs."""
    python = environments.make(folder)
    environments.install(python, f"onnxruntime=={release}", "msgspec", "orjson")
    return python


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oldest runtime of the range."""
    release = RUNTIMES.partition(",")[0].removeprefix(">=")
    return _python_with(tmp_path_factory.mktemp("oldest"), release)


@pytest.fixture(scope="module")
def denied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runtime that the range leaves out because it answers correct tree files wrongly."""
    return _python_with(tmp_path_factory.mktemp("denied"), DENIED)


def _ask(python: Path, root: Path, folder: Path, rows: str) -> subprocess.CompletedProcess[str]:
    """Loads the files named in `rows` with another Python, and asks them about these rows."""
    return subprocess.run(
        [python, "-c", PROGRAM, rows],
        cwd=folder,
        env={"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


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
    done = _ask(oldest, root, tmp_path, "rows.json")
    assert done.returncode == 0, done.stderr
    version, answers = json.loads(done.stdout)
    assert version == RUNTIMES.partition(",")[0].removeprefix(">=")
    for name, old in answers.items():
        new = onnxport.load(tmp_path / f"{name}.onnx").predict(rows[name])
        assert [a["prediction"] for a in old] == [a["prediction"] for a in new], name
        if "probabilities" in new[0]:
            for one, other in zip(old, new, strict=True):
                assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_this_runtime_is_the_newest_that_is_allowed(root: Path) -> None:
    """What is pinned for development is what runs here, and the package asks for the same range."""
    pins = (root / "requirements" / "dev.txt").read_text("utf-8")
    assert re.findall(r"^onnxruntime==(\S+)", pins, re.MULTILINE) == [runtime.VERSION]
    assert runtime.VERSION in SpecifierSet(RUNTIMES)
    assert DENIED not in SpecifierSet(RUNTIMES)
    assert f"{DENIED}.".startswith(runtime.DENIED)
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"onnxruntime{RUNTIMES},<2" in project["dependencies"]


def _with_old_trees(path: Path, forest: Any) -> bytes:
    """The model file with its graph exchanged for skl2onnx's: the tree operator of ai.onnx.ml 3."""
    model = onnx.load(path)
    types = [("x", FloatTensorType([None, forest.n_features_in_]))]
    options = {id(forest): {"zipmap": False}}
    opset = {"": 21, "ai.onnx.ml": 3}
    old = to_onnx(forest, initial_types=types, options=options, target_opset=opset).graph
    label, proba = (output.name for output in old.output)
    nodes = [
        helper.make_node("Cast", ["num"], ["x"], to=TensorProto.FLOAT),
        *old.node,
        helper.make_node("Identity", [label], ["code"]),
        helper.make_node("Cast", [proba], ["proba"], to=TensorProto.DOUBLE),
    ]
    graph = helper.make_graph(nodes, "old", model.graph.input, model.graph.output, old.initializer)
    opsets = [helper.make_opsetid(domain, version) for domain, version in opset.items()]
    changed = helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    for entry in model.metadata_props:
        blank = entry.key.endswith("digest")
        changed.metadata_props.add(key=entry.key, value=BLANK_DIGEST if blank else entry.value)
    return seal(changed.SerializeToString())


def test_a_release_that_answers_trees_wrongly(denied: Path, root: Path, tmp_path: Path) -> None:
    X, y = data.cancer()
    forest = ensemble.RandomForestClassifier(10, random_state=0).fit(X, y.astype(int))
    onnxport.save(forest, tmp_path / "ours.onnx", X, sample_rows=X[::18])
    (tmp_path / "old.onnx").write_bytes(_with_old_trees(tmp_path / "ours.onnx", forest))
    rows = X.to_dict("records")
    (tmp_path / "rows.json").write_text(json.dumps({"ours": rows}), "utf-8")
    (tmp_path / "old.json").write_text(json.dumps({"old": rows}), "utf-8")

    here = [answer["prediction"] for answer in onnxport.load(tmp_path / "old.onnx").predict(X)]
    assert here == forest.predict(X).tolist()  # the old operator is right where it isn't broken

    ours = _ask(denied, root, tmp_path, "rows.json")
    assert ours.returncode == 0, ours.stderr
    version, answers = json.loads(ours.stdout)
    assert version == DENIED
    assert [answer["prediction"] for answer in answers["ours"]] == here
    old = _ask(denied, root, tmp_path, "old.json")
    assert old.returncode == 1
    assert f"ModelFileError: the self-test failed on ONNX Runtime {DENIED}" in old.stderr
