"""A real server for the client, and servers that misbehave by a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client.scripted import ScriptedServer
from tests.server import models
from tests.serving import ServerProcess


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[models.Made], str]]:
    """`running(models.iris())` serves a model in a process of its own, once a session, and gives its URL."""
    folder: Path = tmp_path_factory.mktemp("models")
    urls: dict[str, str] = {}
    with ExitStack() as servers:

        def start(made: models.Made) -> str:
            if made.name not in urls:
                server = ServerProcess("serve", models.write_to(folder, made), "--port", "0")
                urls[made.name] = servers.enter_context(server).url
            return urls[made.name]

        yield start


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """`scripted(Reply(...), Reply(...))` is a server that gives these replies in turn, then hangs up."""
    with ExitStack() as servers:
        yield lambda *replies: servers.enter_context(ScriptedServer(replies))
