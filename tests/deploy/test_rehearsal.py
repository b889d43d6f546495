"""`make fake-aws` from its start to Ctrl-C, and a deployment's whole life on it: in real containers, and without."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import programs
from tests.deploy.fake_aws import children
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import Project
from tests.image import bases, engines

_READY = "Ctrl-C ends all"


class Rehearsal(FakeAws):
    """The tool, as a user has it in a terminal. rate: so that its three minutes of a launch pass in two seconds."""

    def __init__(self, root: Path, folder: Path, engine: str, environ: Mapping[str, str]) -> None:
        self.folder, self.log = folder, []
        self.variables = folder / "fake-aws.env"
        words = ["--engine", engine, "--rate", "100", "--region", "eu-central-1"]
        words += ["--port", str(_free_port()), "--variables", str(self.variables)]
        self._process = subprocess.Popen(
            children.tied([sys.executable, str(root / "tools" / "fake_aws.py"), *words]),
            env={**environ, "PYTHONFAULTHANDLER": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._up = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._up.wait(120), "".join(self.log)
        assert self.variables.exists(), "".join(self.log)
        self.url = self.env["AWS_ENDPOINT_URL"]

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if _READY in line:
                self._up.set()
        self._up.set()

    @property
    def env(self) -> dict[str, str]:
        """As a shell that sources the file has them."""
        return dict(re.findall(r"^export (\w+)=(\S*)$", self.variables.read_text(), re.MULTILINE))

    def interrupt(self) -> int:
        """Ctrl-C, and the exit code."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # tells where each of its threads is
            self._reader.join(timeout=10)
            raise AssertionError("Ctrl-C doesn't end it:\n" + "".join(self.log)) from None


def _free_port() -> int:
    """Some ports from here on are likely to be free, too."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def daemon() -> Iterator[engines.Daemon]:
    """A private Docker daemon."""
    made = engines.Daemon()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(params=["none", "docker"])
def rehearsal(
    request: pytest.FixtureRequest, root: Path, tmp_path: Path
) -> Iterator[tuple[Rehearsal, engines.Daemon | None]]:
    for program in ("docker-registry", "nginx"):
        programs.program(program)
    daemon = request.getfixturevalue("daemon") if request.param == "docker" else None
    environ = dict(os.environ) if daemon is None else _with(daemon)
    with Rehearsal(root, tmp_path, request.param, environ) as made:
        yield made, daemon


def _with(daemon: engines.Daemon) -> dict[str, str]:
    """The daemon's own client first, whatever else is called docker."""
    folder = str(Path(daemon.client).parent)
    return {**daemon.env, "PATH": f"{folder}:{os.environ['PATH']}"}


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_whole_life_from_deployment_to_destruction(
    rehearsal: tuple[Rehearsal, engines.Daemon | None],
    models: dict[str, Path],
    tmp_path: Path,
    root: Path,
) -> None:
    aws, daemon = rehearsal
    folder = tmp_path / "project"
    folder.mkdir()
    project = Project(folder, aws, models, bases.slim(root))

    url = project.deploy()["url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert project.served(url) == "1.0"
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"{url}/metrics", timeout=10)
    assert "nginx" in refused.value.headers["Server"]
    refused.value.close()

    project.use("2.0")
    assert project.deploy("--keep")["url"] == url
    assert project.served(url) == "2.0"
    if daemon is not None:
        assert len(daemon.docker("ps", "--quiet").split()) == 2

    assert project.run("rollback", "--yes").code == 0
    assert project.served(url) == "1.0"
    assert project.run("destroy", "--yes", "--images").code == 0
    assert not answers(url)
    assert aws.state()["faults"] == []

    assert aws.interrupt() == 0
    assert not aws.variables.exists()
    if daemon is not None:
        assert daemon.docker("ps", "--all", "--quiet") == ""
        assert daemon.docker("images", "--quiet") == ""


def test_ctrl_c_ends_what_runs(root: Path, tmp_path: Path, models: dict[str, Path]) -> None:
    for program in ("docker-registry", "nginx"):
        programs.program(program)
    with Rehearsal(root, tmp_path, "none", os.environ) as aws:
        folder = tmp_path / "project"
        folder.mkdir()
        url = Project(folder, aws, models, bases.slim(root)).deploy()["url"]
        assert answers(url)
        registry = re.findall(r"its registry on 127\.0\.0\.1:(\d+)", "".join(aws.log))[0]
        places = [int(registry), *(int(one.rpartition(":")[2]) for one in (url, aws.url))]
        assert all(listens(port) for port in places)
        assert aws.interrupt() == 0
    assert not any(listens(port) for port in places)
    shutil.rmtree(folder)


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_that_is_taken_is_told(root: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["--port", port, "--engine", "none", "--variables", str(tmp_path / "x.env")]
        done = subprocess.run(
            [sys.executable, str(root / "tools" / "fake_aws.py"), *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("fake-aws: ")
    assert port in done.stderr.splitlines()[-1]
