"""What the tests of images share: engines, a registry, and a root file system to build on, each started when first
asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image import engines, roots


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
    with engines.registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def root_tar(root: Path) -> Path:
    """The root file system of a small Debian with Python, for `docker import`; made once, and kept in `build/`."""
    return roots.debian(root / "build")
