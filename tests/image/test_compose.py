"""How the documentation runs an image: by the example's compose file, and by the command of the page about images."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import pages, programs
from tests.image import building
from tests.image.engines import Daemon

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
HASH = "mobile:" + "0" * 64


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def compose(
    docker: Daemon,
    slim_base: Path,
    image_cache: Path,
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """A folder with the example's compose file, whose image is there; all is taken down at the end."""
    folder = tmp_path_factory.mktemp("example") / "iris"
    folder.mkdir()
    shutil.copy(root / "examples" / "iris" / "compose.yaml", folder)
    model = root / "tests" / "fixtures" / "format-1.2.onnx"
    options = ("--base", slim_base, "-t", "iris:1", "--output", "iris.tar")
    assert building.build(model, *options, cache=image_cache, cwd=folder).code == 0
    docker.docker("load", "--input", folder / "iris.tar")
    yield folder
    call(docker, folder, "down")


def call(docker: Daemon, folder: Path, *words: str, **env: str) -> str:
    done = subprocess.run(
        [programs.program("docker-compose"), *words],
        cwd=folder,
        env={**docker.env, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_serves_without_rights(docker: Daemon, compose: Path, port: int) -> None:
    call(docker, compose, "up", "--detach", PORT=str(port))
    wait(port)
    assert httpx.get(f"http://127.0.0.1:{port}/model").status_code == 200
    name = call(docker, compose, "ps", "--quiet").strip()
    told = json.loads(docker.docker("inspect", name))[0]
    host = told["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["Memory"], host["PidsLimit"]) == (256 << 20, 64)
    assert told["Config"]["User"] == "10001:10001"
    assert told["State"]["Health"]["Status"] in ("starting", "healthy")


def test_it_asks_for_keys_where_there_are_some(docker: Daemon, compose: Path, port: int) -> None:
    call(docker, compose, "up", "--detach", PORT=str(port), ONNXPORT_API_KEY_HASHES=HASH)
    wait(port)
    assert httpx.post(f"http://127.0.0.1:{port}/predict", json=ROW).status_code == 401
    call(docker, compose, "stop")
    name = call(docker, compose, "ps", "--quiet", "--all").strip()
    assert docker.docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


def test_the_page_runs_it_without_rights(
    docker: Daemon, compose: Path, port: int, root: Path
) -> None:
    told = pages.blocks((root / "docs" / "9-images.md").read_text("utf-8"))
    [command] = [block.text for block in told if "--cap-drop ALL" in block.text]
    assert command.startswith("docker run --detach --name iris -p 127.0.0.1:8080:8080 ")
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace("127.0.0.1:8080", f"127.0.0.1:{port}")],
        cwd=compose,
        env=docker.env,
        check=True,
        timeout=60,
        capture_output=True,
    )
    wait(port)
    assert (
        docker.docker("exec", "iris", "python3", "-c", "import os; print(os.getuid())") == "12345"
    )
    docker.docker("rm", "--force", "iris")


def wait(port: int) -> None:
    for _ in range(150):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing is ready on port {port}")
