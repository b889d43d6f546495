"""An image's whole life with real parts: built by each builder, run without rights, called through a published port,
killed, drained, pushed to a registry and pulled from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest

import onnxport
from tests import programs
from tests.image import building
from tests.image.conftest import BASE
from tests.image.engines import Daemon, Podman
from tests.server import models

Build = Callable[..., building.Done]

BUILDERS = ("daemonless", "docker")
ROWS = [
    {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
    {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": None},
    {"sepal_length": 5.9, "sepal_width": 2.8, "petal_length": 4.35, "petal_width": 1.35},
]
LABELS = {
    "a.quotes": 'it\'s "$(touch /tmp/onnxport-was-here)" `id` \\',
    "a.words": 'x" RUN id USER root ${PATH} #',
    "a.unicode": "Größe 花 \N{PILE OF POO}",
}
OVERLAID = {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}
# All that a careful platform takes away; not even /tmp can be written.
LOCKED = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--user", "12345:12345", "--memory", "256m", "--cpus", "1", "--pids-limit", "32"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_to(tmp_path_factory.mktemp("model"), models.iris())


@pytest.fixture(scope="module")
def build(docker: Daemon, slim_base: Path, image_cache: Path, model: Path) -> Build:
    """`build(folder, *options)` runs `onnxport build` on the slim base, for a user of the private daemon."""

    def run(
        folder: Path, *options: str | Path, store: Path = image_cache, **env: str
    ) -> building.Done:
        words = ("--base", slim_base, *options)
        return building.build(model, *words, cache=store, cwd=folder, env={**docker.env, **env})

    return run


@dataclass(frozen=True)
class Pushed:
    """An image that a builder has pushed. name: in the registry. done: how the command ended."""

    name: str
    done: building.Done


@pytest.fixture(scope="module")
def pushed(
    build: Build, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Pushed]:
    """`pushed(builder)`: by either builder, with hostile labels; built once."""
    labels = [word for key, value in LABELS.items() for word in ("--label", f"{key}={value}")]

    @cache
    def by(builder: str) -> Pushed:
        folder = tmp_path_factory.mktemp(builder)
        name = f"{registry}/team/iris:{builder}"
        done = build(folder, "--builder", builder, "--push", name, "--json", *labels)
        assert done.code == 0, done.stderr
        assert list(folder.iterdir()) == []
        return Pushed(name, done)

    return by


@pytest.fixture(scope="module")
def pulled(docker: Daemon, pushed: Callable[[str], Pushed]) -> Callable[[str], str]:
    """`pulled(builder)`: the name by digest of an image that Docker has from the registry."""

    @cache
    def by(builder: str) -> str:
        one = pushed(builder)
        docker.docker("pull", "--quiet", one.name)
        return f"{one.name.rpartition(':')[0]}@{one.done.told['digest']}"

    return by


@pytest.fixture(scope="module", params=BUILDERS)
def image(request: pytest.FixtureRequest, pulled: Callable[[str], str]) -> str:
    return pulled(str(request.param))


@dataclass(frozen=True)
class Running:
    name: str
    url: str


@pytest.fixture
def run(docker: Daemon) -> Iterator[Callable[[str], Running]]:
    """`run(image)` starts a container without rights and with a published port, and waits until it serves."""
    names: list[str] = []

    def start(image: str) -> Running:
        name = docker.docker("run", "--detach", "--publish", "127.0.0.1::8080", *LOCKED, image)
        names.append(name)
        return Running(name, wait_for(docker, name))

    yield start
    for name in names:
        docker.docker("rm", "--force", name)


def wait_for(docker: Daemon, name: str) -> str:
    """The URL of a container that serves."""
    url = f"http://{docker.docker('port', name, '8080/tcp')}"
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return url
        time.sleep(0.1)
    raise AssertionError(docker.docker("logs", name))


def test_the_registry_and_the_engine_know_it_by_our_digest(docker: Daemon, image: str) -> None:
    told = json.loads(docker.docker("image", "inspect", image))[0]
    assert image in told["RepoDigests"]
    assert LABELS.items() <= told["Config"]["Labels"].items()
    assert not Path("/tmp/onnxport-was-here").exists()


def test_either_builder_makes_the_same_files_and_settings(
    docker: Daemon, pulled: Callable[[str], str], tmp_path: Path
) -> None:
    own, theirs = (pulled(builder) for builder in BUILDERS)
    ours, built = files_of(docker, own, tmp_path), files_of(docker, theirs, tmp_path)
    names = ours.keys() | built.keys()
    assert {name for name in names if ours.get(name) != built.get(name)} == set()
    configs = [
        json.loads(docker.docker("inspect", "--format", "{{json .Config}}", image))
        for image in (own, theirs)
    ]
    for config in configs:
        config.pop("Image", None)  # what Docker has built it from
    assert configs[0] == configs[1]


def files_of(docker: Daemon, image: str, folder: Path) -> dict[str, tuple[object, ...]]:
    """Every file of an image but those that Docker lays over it: type, mode, owner, time and content."""
    name = docker.docker("create", image)
    path = folder / "files.tar"
    docker.docker("export", "--output", path, name)
    docker.docker("rm", name)
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name in OVERLAID:
                continue
            content = tar.extractfile(member) if member.isfile() else None
            digest = hashlib.sha256(content.read()).hexdigest() if content else member.linkname
            facts = (member.type, member.mode, member.uid, member.gid, digest)
            found[member.name] = (*facts, member.mtime if content else 0)
    assert "app/site/numpy/__init__.py" in found
    return found


def test_the_answers_are_the_models_under_all_restrictions(
    image: str, run: Callable[[str], Running], model: Path, needs_curl: str
) -> None:
    url = run(image).url
    expected = onnxport.load(model).predict(ROWS)
    assert httpx.post(f"{url}/predict", json=ROWS).json() == expected
    called = subprocess.run(
        [needs_curl, "--silent", "--fail", "--json", json.dumps(ROWS[0]), f"{url}/predict"],
        capture_output=True,
        check=True,
    )
    assert json.loads(called.stdout) == expected[0]
    assert httpx.get(f"{url}/docs").status_code == 200


LOOKS = """
import importlib.util, json, os, shutil
modules = ["sklearn", "onnx", "pandas", "boto3", "scipy", "pip", "setuptools", "ensurepip", "torch", "skl2onnx"]
programs = ["sh", "bash", "pip", "apt", "dpkg", "gcc", "curl", "perl"]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "importable": [name for name in modules if importlib.util.find_spec(name)],
    "programs": [name for name in programs if shutil.which(name)],
    "user": os.getuid(),
    "writable": [path for path in ["/", "/app", "/tmp", "/var/tmp", "/etc"] if os.access(path, os.W_OK)],
    "capabilities": status["CapBnd"].strip(),
}))
"""


def test_nothing_is_inside_that_serving_does_not_need(
    image: str, docker: Daemon, run: Callable[[str], Running]
) -> None:
    found = docker.docker("exec", run(image).name, "python3", "-c", LOOKS)
    assert json.loads(found) == {
        "importable": [],
        "programs": [],
        "user": 12345,
        "writable": [],
        "capabilities": "0000000000000000",
    }


def test_what_was_killed_starts_anew(
    image: str, docker: Daemon, run: Callable[[str], Running]
) -> None:
    name = run(image).name
    docker.docker("kill", "--signal", "KILL", name)
    assert docker.docker("wait", name) == "137"
    docker.docker("start", name)
    assert httpx.post(f"{wait_for(docker, name)}/predict", json=ROWS[0]).status_code == 200


def test_a_stop_under_load_loses_no_answer(
    image: str, docker: Daemon, run: Callable[[str], Running]
) -> None:
    container, statuses = run(image), list[int]()
    arguments = (container.url, statuses)
    callers = [threading.Thread(target=call_until_refused, args=arguments) for _ in range(4)]
    for caller in callers:
        caller.start()
    time.sleep(0.5)
    before, start = len(statuses), time.monotonic()
    docker.docker("stop", "--time", "10", container.name)
    seconds = time.monotonic() - start
    for caller in callers:
        caller.join()
    assert set(statuses) == {200}
    assert 0 < before < len(statuses)
    assert docker.docker("wait", container.name) == "0"
    assert seconds < 10


def call_until_refused(url: str, statuses: list[int]) -> None:
    """Calls over one connection, and over a new one when it is closed, until nobody listens any more."""
    with httpx.Client() as client:
        while True:
            try:
                statuses.append(client.post(f"{url}/predict", json=ROWS[0]).status_code)
            except httpx.TransportError:
                return


# ------------------------------------------------------------------------------------------------- for other builders


def test_a_context_is_built_by_whoever_likes(
    build: Build,
    docker_with_base: Daemon,
    run: Callable[[str], Running],
    model: Path,
    tmp_path: Path,
) -> None:
    done = build(tmp_path, "--context", "context")
    assert done.stdout == "wrote context; build it with docker build -t NAME:TAG context\n"
    assert [path.name for path in tmp_path.iterdir()] == ["context"]
    dockerfile = (tmp_path / "context" / "Dockerfile").read_text()
    assert not re.search(r"^(RUN|ADD) ", dockerfile, re.MULTILINE)
    options = ("--quiet", "--network", "none", "--build-arg", f"BASE={BASE}")
    image = docker_with_base.docker("build", *options, tmp_path / "context")
    answer = httpx.post(f"{run(image).url}/predict", json=ROWS).json()
    assert answer == onnxport.load(model).predict(ROWS)


def test_podman_builds_and_checks(
    podman: Podman, slim_base: Path, image_cache: Path, model: Path, tmp_path: Path
) -> None:
    name = "localhost/onnxport-test/by-podman:1"
    words = ("--base", slim_base, "--builder", "podman", "--check", "-t", name, "--json")
    done = building.build(model, *words, cache=image_cache, cwd=tmp_path, env=podman.env)
    assert done.told["check"]["passed"] is True
    assert done.told["kept"] == name
    assert list(tmp_path.iterdir()) == []
    assert podman.podman("image", "exists", name) == ""


# --------------------------------------------------------------------------------------------------------- what fails


def test_an_image_that_fails_its_check_goes_nowhere(
    docker_with_base: Daemon, registry: str, build: Build, tmp_path: Path
) -> None:
    docker, base, bad = docker_with_base, tmp_path / "base.tar", "localhost/onnxport-test/bad:1"
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nENV ONNXPORT_HOST=127.0.0.1\n")
    docker.docker("build", "--quiet", "--tag", bad, tmp_path)
    docker.docker("save", "--output", base, bad)

    target = f"{registry}/team/bad:1"
    done = build(tmp_path, "--check", "--base", base, "--push", target, "--output", "bad.tar")

    assert done.code == 1
    assert "P07   failure  the server inside is ready, and can't be reached" in done.stdout
    assert done.stdout.endswith("failed\n")
    assert not (tmp_path / "bad.tar").exists()
    assert httpx.get(f"http://{registry}/v2/team/bad/tags/list").status_code == 404
    assert "onnxport-trial" not in docker.docker("ps", "--all", "--format", "{{.Names}}")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--builder", "docker", "-t", "iris:$(id)"], 2, "is no image name: a tag has"),
        (["--builder", "docker", "-t", "--network=host"], 2, "is no image name"),
        (["--builder", "docker", "-t", f"a@sha256:{'0' * 64}"], 2, "leave out @sha256"),
        (["--builder", "kaniko"], 2, "'kaniko' is not one of 'daemonless', 'docker', 'podman'"),
        (["--context", "x", "-t", "a"], 2, "--context builds no image; leave --tag out"),
        (["--check", "--platform", "linux/arm64"], 1, "docker runs linux/amd64, and the image is"),
        (["--builder", "docker", "--platform", "linux/arm64"], 1, "is for linux/amd64, and the"),
        (["--label", "a=b\nRUN id", "--builder", "docker"], 2, "no line breaks or control"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(
    words: list[str], code: int, said: str, build: Build, tmp_path: Path
) -> None:
    done = build(tmp_path, *words)
    assert done.code == code
    assert said in done.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_becomes_no_context(build: Build, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    done = build(tmp_path, "--context", ".")
    assert done.code == 1
    assert "holds other files, which a build context would replace" in done.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("option", ["--check", "--builder=docker"])
def test_without_an_engine_nothing_is_built(option: str, build: Build, tmp_path: Path) -> None:
    done = build(tmp_path, option, PATH=str(tmp_path))
    assert done.code == 1
    assert "can't be found; install" in done.sentence
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MB."""
    programs.root("to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_cache_is_told(
    small_disk: Path, build: Build, image_cache: Path, tmp_path: Path
) -> None:
    (small_disk / "onnxport").mkdir()
    (small_disk / "onnxport" / "wheels").symlink_to(image_cache / "onnxport" / "wheels")
    folder = tmp_path / "work"
    folder.mkdir()
    done = build(folder, "--output", "iris.tar", store=small_disk)
    assert done.code == 1
    assert "free some" in done.sentence
    assert list(folder.iterdir()) == []
