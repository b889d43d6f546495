"""The wheel without extras, in a virtual environment of its own, serves a model file and checks it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import environments
from tests.serving import ServerProcess

TRAINING = (
    "catboost",
    "joblib",
    "lightgbm",
    "onnx",
    "pandas",
    "scipy",
    "skl2onnx",
    "sklearn",
    "xgboost",
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=600
    )


def run_well(*command: str | Path) -> str:
    done = run(*command)
    assert done.returncode == 0, (
        f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = "import os, sys; os.chdir(sys.argv[1]); from hatchling.build import build_wheel as b; b(sys.argv[2])"
    run_well(sys.executable, "-c", build, root, folder)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def serving_python(root: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the serving set and the wheel."""
    python = environments.make(tmp_path_factory.mktemp("serving"))
    environments.install(
        python, "--require-hashes", "--requirement", root / "requirements" / "serve.txt"
    )
    environments.install(python, "--no-deps", wheel)
    environments.pip(python, "check")
    return python


@pytest.fixture(scope="module")
def model_file(root: Path) -> Path:
    return root / "tests" / "fixtures" / "format-1.0.onnx"


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"onnxport"}
    assert "onnxport/py.typed" in names
    assert not [name for name in names if name.endswith((".onnx", ".pyc"))]
    assert not [name for name in names if Path(name).name.startswith(("conftest", "test_"))]


def test_no_training_library_is_there(serving_python: Path) -> None:
    program = f"import importlib.util as u, json; print(json.dumps([n for n in {TRAINING!r} if u.find_spec(n)]))"
    assert json.loads(run_well(serving_python, "-c", program)) == []


def test_it_serves(serving_python: Path, model_file: Path) -> None:
    with ServerProcess("serve", model_file, "--port", "0", python=serving_python) as server:
        description = httpx.get(f"{server.url}/openapi.json").json()
        row = example_row(description)
        answer = httpx.post(f"{server.url}/predict", json=row)
        many = httpx.post(f"{server.url}/predict", json=[row, row])
    assert answer.status_code == 200, answer.text
    assert many.json() == [answer.json(), answer.json()]
    assert "prediction" in answer.json()


def test_it_checks(serving_python: Path, model_file: Path) -> None:
    run_well(serving_python, "-m", "onnxport", "check", model_file)


def test_a_missing_extra_is_named(serving_python: Path, tmp_path: Path) -> None:
    done = run(serving_python, "-m", "onnxport", "demo", "--output", tmp_path / "iris.onnx")
    assert done.returncode in (1, 2)
    assert "[export]" in done.stderr
    assert "Traceback" not in done.stderr


def example_row(description: dict[str, Any]) -> dict[str, Any]:
    """The first example of a row among those that the API's description gives for POST /predict."""
    body = description["paths"]["/predict"]["post"]["requestBody"]
    rows = [value for value in _examples([body, description.get("components")]) if _is_row(value)]
    assert rows, "no example row in /openapi.json"
    return dict(rows[0])


def _examples(node: Any) -> Iterator[Any]:
    if isinstance(node, list):
        for item in node:
            yield from _examples(item)
    elif isinstance(node, dict):
        yield from (node[key] for key in ("example", "value") if key in node)
        if isinstance(node.get("examples"), list):
            yield from node["examples"]
        yield from _examples(list(node.values()))


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys() & {"detail", "prediction"}
