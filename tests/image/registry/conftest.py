"""Real registries for the tests of sending and fetching, and images that no registry has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxport.image.parts import Image
from onnxport.image.store import Store
from tests.image import made, registries
from tests.image.registries import TokenServer


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that takes anybody's images."""
    with registries.registry(tmp_path_factory.mktemp("plain")) as address:
        yield address


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that knows anna and her password."""
    folder = tmp_path_factory.mktemp("locked")
    with registries.registry(folder, settings=registries.with_password(folder)) as address:
        yield address


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    server = TokenServer(tmp_path_factory.mktemp("tokens"), refresh_token="a.refresh")
    with server.server:
        yield server


@pytest.fixture(scope="session")
def guarded(tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that takes the tokens of the token server alone."""
    with registries.registry(tmp_path_factory.mktemp("guarded"), settings=tokens.settings) as there:
        yield there


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Where images are made."""
    return Store(tmp_path / "store")


@pytest.fixture
def fetched(tmp_path: Path) -> Store:
    """Where nothing is yet."""
    return Store(tmp_path / "fetched")


@pytest.fixture
def image(store: Store) -> Image:
    """Three layers, the second of 400 KB; of new bytes for each test, so that no registry has them."""
    return made.image(store, os.urandom(1000), os.urandom(400_000), os.urandom(100))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return "team/" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
