"""The image's libraries: the pinned list, fetched for another machine's Python, checked, and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onnxport.errors import BuildError
from onnxport.image.parts import Platform
from onnxport.image.store import Store
from onnxport.image.wheels import Target, fetch_wheels, serving_set

AMD64 = Platform("amd64")


def ignore(_: str) -> None:
    pass


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip with an index that nobody listens at, and nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


def names(minor: int) -> dict[str, str]:
    return dict(pin.text.split("==") for pin in serving_set(minor))


def test_the_list_is_the_pinned_serving_set(root: Path) -> None:
    command = [sys.executable, str(root / "tools" / "serving_set.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run tools/serving_set.py"


def test_the_list_holds_what_serves_and_nothing_that_trains_or_builds() -> None:
    found = names(11)
    assert {"fastapi", "msgspec", "numpy", "onnxruntime", "orjson", "uvicorn", "uvloop"} <= set(
        found
    )
    assert not {"boto3", "hatchling", "onnx", "pandas", "pip", "protobuf", "scikit-learn"} & set(
        found
    )
    assert all(pin.hashes for pin in serving_set(11))


def test_each_python_has_its_numpy() -> None:
    assert names(11)["numpy"] != names(12)["numpy"]
    assert names(12) == names(13)
    assert set(names(11)) == set(names(13))


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_wheels_are_fetched_for_another_machine_and_kept(
    image_cache: Path, request: pytest.FixtureRequest, architecture: str
) -> None:
    target = Target(11, (2, 36), Platform(architecture))
    store = Store(image_cache / "onnxport")
    wheels = fetch_wheels(target, store, ignore)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
    compiled = [wheel.name for wheel in wheels if not wheel.name.endswith("-none-any.whl")]
    assert len(wheels) == len(serving_set(11))
    assert len(compiled) >= 6
    assert all(machine in name and ("cp311" in name or "abi3" in name) for name in compiled)
    request.getfixturevalue("offline")
    told: list[str] = []
    assert fetch_wheels(target, store, told.append) == wheels
    assert told == []


@pytest.mark.usefixtures("offline")
def test_a_damaged_wheel_isnt_taken(image_cache: Path, tmp_path: Path) -> None:
    target = Target(11, (2, 36), AMD64)
    shutil.copytree(image_cache / "onnxport" / "wheels", tmp_path / "wheels")
    store = Store(tmp_path)
    wheel = fetch_wheels(target, store, ignore)[0]
    wheel.write_bytes(wheel.read_bytes()[:-1])
    with pytest.raises(BuildError, match="pip finds no file of"):
        fetch_wheels(target, store, ignore)


def test_an_old_glibc_has_no_wheels(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no wheel of .* for Python 3.11 with glibc 2.17"):
        fetch_wheels(Target(11, (2, 17), AMD64), Store(tmp_path), ignore)
    assert list(tmp_path.glob("wheels/*")) == []


@pytest.mark.usefixtures("offline")
def test_no_index_is_told_of_without_its_address(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="it reaches no package index") as caught:
        fetch_wheels(Target(11, (2, 36), AMD64), Store(tmp_path), ignore)
    told = str(caught.value) + caught.value.output
    assert "secret" not in told
    assert "127.0.0.1:9/" not in told
