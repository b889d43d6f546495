"""What the tests of images share: engines, a registry, and a base to build on, each made when first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from onnxport.image.engine import Engine, find_engine
from tests import programs
from tests.image import bases, engines, registries

BASE = "localhost/onnxport-test/base:1"  # what the engines know the slim base as


@pytest.fixture(scope="session")
def docker() -> Iterator[engines.Daemon]:
    """A private Docker daemon."""
    daemon = engines.Daemon()
    try:
        yield daemon.start()
    finally:
        daemon.stop()


@pytest.fixture(scope="session")
def podman() -> Iterator[engines.Podman]:
    """A private store of podman."""
    store = engines.Podman()
    try:
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real registry on loopback, which takes anybody's images."""
    programs.program("docker-registry")
    with registries.registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def docker_with_base(docker: engines.Daemon, slim_base: Path) -> engines.Daemon:
    """The daemon, which has the base."""
    docker.load(slim_base, BASE)
    return docker


@pytest.fixture(scope="session")
def podman_with_base(podman: engines.Podman, slim_base: Path) -> engines.Podman:
    podman.load(slim_base, BASE)
    return podman


@pytest.fixture
def on_docker(docker_with_base: engines.Daemon, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Docker as a user of the private daemon finds it."""
    return _found("docker", docker_with_base.env, monkeypatch)


@pytest.fixture
def on_podman(podman_with_base: engines.Podman, monkeypatch: pytest.MonkeyPatch) -> Engine:
    return _found("podman", podman_with_base.env, monkeypatch)


def _found(name: str, env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    return find_engine(name)


@pytest.fixture(scope="session")
def slim_base(root: Path) -> Path:
    """The base of `make base`; made once, and kept in `build/`."""
    return bases.slim(root)


@pytest.fixture(scope="session")
def image_cache(root: Path) -> Path:
    """Where builds keep libraries and layers from one run of the tests to the next."""
    folder = root / "build" / "image-cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
