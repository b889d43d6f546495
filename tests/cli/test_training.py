"""`export` and `demo`: from an estimator to a proven file, and the reasons where there is none."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pandas as pd
import pytest
import requests
from sklearn.datasets import load_diabetes, load_iris
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import onnxport as package
from onnxport.cli.training import _what_to_try
from onnxport.export.saving import STEPS
from tests.cli.conftest import Terminal

MODULE = """
import pandas as pd
from sklearn.linear_model import Ridge

data = pd.read_csv("data.csv")
model = Ridge().fit(data[["b", "a"]], data["y"])

class Box:
    inner = model

def train():
    return model

def broken():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def training(onnxport: Terminal) -> Terminal:
    """A folder with train.py and data.csv."""
    onnxport.write("train.py", MODULE)
    frame = pd.DataFrame(
        {"id": range(50), "a": [i * 0.5 for i in range(50)], "b": [i % 7 for i in range(50)]}
    )
    frame["y"] = frame["a"] * 2 + frame["b"]
    frame.to_csv(onnxport.folder / "data.csv", index=False)
    return onnxport


@pytest.mark.parametrize("source", ["train:model", "train:train", "train:Box.inner"])
def test_an_object_of_a_module(training: Terminal, source: str) -> None:
    done = training("export", source, "--data", "data.csv", "--target", "y", "-o", "m.onnx")
    assert done.code == 0, done.err
    assert "left out, as the estimator was not fitted on them: id\n" in done.err
    assert done.out.startswith("saved m.onnx (")
    assert "label flips" in done.out
    model = package.load(training.folder / "m.onnx")
    assert model.signature.names == ("b", "a")
    assert model.manifest.name == "m"


def test_names_and_labels(onnxport: Terminal) -> None:
    data = load_iris(as_frame=True)
    tree = DecisionTreeClassifier(random_state=0).fit(data.data, data.target)
    joblib.dump(tree, onnxport.folder / "tree.joblib")
    data.frame.to_parquet(onnxport.folder / "iris.parquet")
    labels = [word for name in data.target_names for word in ("--label", name)]
    facts = ["--name", "flowers", "--version", "7", "--description", "Which iris."]
    done = onnxport(
        *("export", "tree.joblib", "--trust", "--data", "iris.parquet", "--target", "target"),
        *("-o", "tree.onnx", *labels, *facts),
    )
    assert done.code == 0, done.err
    model = package.load(onnxport.folder / "tree.onnx")
    assert (model.manifest.name, model.manifest.version) == ("flowers", "7")
    assert model.manifest["model"]["description"] == "Which iris."
    assert [a["prediction"] for a in model.predict(data.data)] == [
        data.target_names[code] for code in tree.predict(data.data)
    ]


def test_one_column_of_texts(onnxport: Terminal) -> None:
    texts, liked = ["good fun", "no fun", "good", "never"] * 5, [1, 0, 1, 0] * 5
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, liked)
    joblib.dump(model, onnxport.folder / "reviews.joblib")
    frame = pd.DataFrame({"review": texts, "liked": liked})
    frame.to_csv(onnxport.folder / "data.csv", index=False)
    command = ["export", "reviews.joblib", "--trust", "--data", "data.csv", "-o", "r.onnx"]
    done = onnxport(*command)
    assert "reads one column of texts, and the data has 2 columns: review, liked" in done.err
    done = onnxport(*command, "--target", "liked")
    assert done.code == 0, done.err
    assert "accuracy     1 on the sample" in done.out
    assert package.load(onnxport.folder / "r.onnx").signature.names == ("review",)


def test_an_estimator_that_was_fitted_on_an_array(onnxport: Terminal) -> None:
    X, y = load_diabetes(return_X_y=True)
    joblib.dump(Ridge().fit(X, y), onnxport.folder / "ridge.pkl")
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(10)])
    frame["y"] = y
    frame.to_csv(onnxport.folder / "data.csv", index=False)
    command = ["export", "ridge.pkl", "--trust", "--data", "data.csv", "-o", "r.onnx"]
    done = onnxport(*command, "--target", "y")
    assert done.code == 0, done.err
    assert package.load(onnxport.folder / "r.onnx").signature.names == tuple(frame.columns[:10])
    done = onnxport(*command)
    assert done.code == 1
    assert "onnxport: X has 11 columns, and the estimator was fitted on 10" in done.err


REFUSALS = {
    "train": "'train' is neither MODULE:OBJECT nor a file that ends in .joblib or .pkl",
    "trian:model": "no module 'trian'; it is searched for in this directory",
    "train:modle": "the module 'train' has no 'modle'; check its spelling",
    "train:Ridge": "train:Ridge is a class; give a fitted estimator, or a function returning one",
    "train:broken": "calling train:broken raised RuntimeError: no luck",
    "half:model": "importing 'half' raised SyntaxError: '(' was never closed (half.py, line 1)",
    "needs:model": "no module 'no_such_library'; install it",
}


@pytest.mark.parametrize(("source", "told"), REFUSALS.items())
def test_a_source_that_is_none(training: Terminal, source: str, told: str) -> None:
    training.write("half.py", "model = (")
    training.write("needs.py", "import no_such_library")
    done = training("export", source, "--data", "data.csv", "-o", "m.onnx")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[1:] == [f"onnxport: {told}"]
    assert not (training.folder / "m.onnx").exists()


def test_a_pickle_takes_trust(onnxport: Terminal) -> None:
    """Without --trust the file is not even opened."""
    done = onnxport("export", "gone.joblib", "--data", "data.csv", "-o", "m.onnx")
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "onnxport: gone.joblib is a pickle: loading it runs whatever code it holds; "
        "add --trust if you know where it comes from"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "m.joblib: No such file or directory; give the path of the file"),
        (b"no pickle", "loading m.joblib raised "),
    ],
)
def test_a_pickle_that_is_none(onnxport: Terminal, content: bytes | None, told: str) -> None:
    if content is not None:
        (onnxport.folder / "m.joblib").write_bytes(content)
    done = onnxport("export", "m.joblib", "--trust", "--data", "data.csv", "-o", "m.onnx")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(f"onnxport: {told}")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "gone.csv",
            None,
            "gone.csv: No such file or directory; give the path of the training data",
        ),
        ("x.xlsx", "", "x.xlsx: no known kind of table; give a .csv or a .parquet file"),
        ("x.csv", "", "x.csv can't be read: No columns to parse from file"),
        ("x.csv", "a,b,y\n", "x.csv holds no rows; give a representative sample"),
        (
            "x.csv",
            "a,y\n1,2\n",
            "the data lacks the column 'b' that the estimator was fitted on; it has a, y",
        ),
        ("x.csv", "a,b\n1,2\n", "the data has no column 'y' to be the target; it has a, b"),
    ],
)
def test_data_that_is_none(training: Terminal, name: str, text: str | None, told: str) -> None:
    if text is not None:
        training.write(name, text)
    done = training("export", "train:model", "--data", name, "--target", "y", "-o", "m.onnx")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == f"onnxport: {told}"


def test_what_does_not_convert(training: Terminal) -> None:
    joblib.dump(KernelDensity().fit([[1.0], [2.0]]), training.folder / "s.joblib")
    done = training("export", "s.joblib", "--trust", "--data", "data.csv", "-o", "m.onnx")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("onnxport: ")
    assert "KernelDensity" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_demo_without_serving(onnxport: Terminal) -> None:
    done = onnxport("demo", "--no-serve")
    assert done.code == 0
    assert "training a random forest on iris ..." in done.err
    assert "label flips       0" in done.out
    model = package.load(onnxport.folder / "build/demo/iris.onnx")
    assert model.signature.names == ("sepal_length", "sepal_width", "petal_length", "petal_width")
    assert model.signature.classes == ("setosa", "versicolor", "virginica")
    assert onnxport("check", "build/demo/iris.onnx").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_sees_how_far_the_saving_is(training: Terminal) -> None:
    import pty

    ours, theirs = pty.openpty()
    arguments = ["export", "train:model", "--data", "data.csv", "--target", "y", "-o", "m.onnx"]
    subprocess.run(
        [sys.executable, "-m", "onnxport", *arguments],
        cwd=training.folder,
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    bars = [line.count("=") for line in shown.splitlines() if line.startswith("[")]
    assert bars == sorted(bars)
    assert len(set(bars)) == STEPS + 1


def test_demo_looks_at_the_port_before_it_trains(onnxport: Terminal, url: str) -> None:
    port = url.rpartition(":")[2]
    done = onnxport("demo", "--port", port, "--output", "iris.onnx")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"checking . and port {port} ...\n"
        f"onnxport: 127.0.0.1:{port} is taken; choose another port, or 0 for a free one; "
        "make demo PORT=9000 takes another\n"
    )
    assert list(onnxport.folder.iterdir()) == []


def test_demo_looks_at_its_folder_before_it_trains(onnxport: Terminal) -> None:
    onnxport.write("file", "")
    (onnxport.folder / "folder").mkdir()
    for output, told in (
        ("file/iris.onnx", ": its folder can't be written (File exists); name another"),
        ("folder", " is a folder; name a file"),
    ):
        done = onnxport("demo", "--no-serve", "--output", output)
        assert (done.code, done.out) == (1, "")
        assert done.err.splitlines()[1:] == [f"onnxport: --output {output}{told}"]


def test_demo_names_the_python_of_its_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"x": 1.0}
    monkeypatch.chdir(tmp_path)
    assert "\nPython:\n" in _what_to_try("http://127.0.0.1:1", row)
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    told = _what_to_try("http://127.0.0.1:1", row)
    assert "\nPython (with .venv/bin/python, or after `. .venv/bin/activate`):\n" in told


def test_demo_until_ctrl_c(onnxport: Terminal, needs_curl: str) -> None:
    """What it prints is tried as it stands: the docs, the curl line, the Python lines."""
    assert needs_curl
    command = [sys.executable, "-m", "onnxport", "demo", "--port", "0", "--output", "iris.onnx"]
    out = onnxport.folder / "out"
    with out.open("w") as stream, (onnxport.folder / "err").open("w") as errors:
        process = subprocess.Popen(command, cwd=onnxport.folder, stdout=stream, stderr=errors)
    try:
        told = _wait_for(out, "Ctrl-C ends the demo.")
        assert requests.get(_found(r"(http://\S+/docs)", told), timeout=10).status_code == 200
        by_curl = _run(["bash", "-c", _found(r"(curl -s .*)", told)])
        snippet = _found(r"Python:\n\n(.*)\n\nCtrl-C", told)
        by_python = _run([sys.executable, "-c", re.sub(r"^    ", "", snippet, flags=re.MULTILINE)])
        assert '"prediction":"setosa"' in by_curl
        assert "'prediction': 'setosa'" in by_python
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (onnxport.folder / "err").read_text()


def _wait_for(path: Path, text: str) -> str:
    deadline = time.monotonic() + 60
    while text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.1)
    return path.read_text()


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.DOTALL if "\\n" in pattern else 0)
    assert found is not None, text
    return found[1]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout
