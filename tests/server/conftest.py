"""Model files and running servers for the tests of the HTTP edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.server import models
from tests.serving import ServerProcess


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[models.Made], Path]:
    """`model_file(models.iris())` writes a model file made by hand and gives its path."""
    folder = tmp_path_factory.mktemp("models")
    return lambda made: models.write_to(folder, made)


@pytest.fixture(scope="session")
def running(model_file: Callable[[models.Made], Path]) -> Iterator[Callable[..., str]]:
    """`running(models.iris())` serves a model in a process of its own, once a session, and gives its URL."""
    urls: dict[tuple[str, ...], str] = {}
    with ExitStack() as servers:

        def start(made: models.Made, *options: str) -> str:
            if (made.name, *options) not in urls:
                server = ServerProcess("serve", model_file(made), "--port", "0", *options)
                urls[(made.name, *options)] = servers.enter_context(server).url
            return urls[(made.name, *options)]

        yield start


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"
