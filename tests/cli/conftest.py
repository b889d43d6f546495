"""The command line as a user runs it: a process with its exit code, its two streams and its directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import models
from tests.serving import ServerProcess


@dataclass(frozen=True)
class Done:
    """How a command ended. `out` and `err` are what it printed."""

    code: int
    out: str
    err: str


class Terminal:
    """Runs `onnxport` in one directory. Warnings are errors there too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        *arguments: str | Path,
        stdin: str | bytes = "",
        env: Mapping[str, str] | None = None,
        flags: tuple[str, ...] = ("-W", "error"),
    ) -> Done:
        done = subprocess.run(
            [sys.executable, *flags, "-m", "onnxport", *map(str, arguments)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            capture_output=True,
            check=False,
            timeout=120,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path


@pytest.fixture
def onnxport(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def every_kind(folder: Path) -> Path:
    """A model file with a feature of each kind."""
    return models.write_to(folder, models.every_kind())


@pytest.fixture(scope="session")
def url(every_kind: Path) -> Iterator[str]:
    """A server of `every_kind`."""
    with ServerProcess("serve", every_kind, "--port", "0") as server:
        yield server.url


@pytest.fixture(params=["file", "url"])
def target(request: pytest.FixtureRequest, every_kind: Path) -> str:
    """The same model, as a file and behind a URL."""
    return str(every_kind if request.param == "file" else request.getfixturevalue("url"))
