"""A container for a while: started with all rights taken from it, called through a published port, and removed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from onnxport.errors import BuildError
from onnxport.image import complaints
from onnxport.image.engine import Engine

_LOG_LINES = 20
_AT_ONCE = {"podman": ("--time", "0")}  # docker never waits before it removes
_SPARE = 20.0  # seconds that an engine may take beside what a container takes


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a container runs. port: what it is to listen on. user: UID:GID, or "" for the image's own.

    locked: a read-only root, where not even /tmp can be written. memory: in MiB; 0: unlimited.
    """

    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    locked: bool = True
    memory: int = 0

    def options(self) -> list[str]:
        words = ["--publish", f"127.0.0.1::{self.port}", "--cap-drop", "ALL"]
        words += ["--security-opt", "no-new-privileges"]
        for name, value in self.environment.items():
            words += ["--env", f"{name}={value}"]
        if self.user:
            words += ["--user", self.user]
        if self.locked:
            words.append("--read-only")
        if self.memory:
            words += ["--memory", f"{self.memory}m"]
        return words


@dataclass(frozen=True, slots=True)
class Container:
    """A container that was started. address: where its port is on this machine, `127.0.0.1:PORT`."""

    engine: Engine
    name: str
    address: str

    @property
    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            self.engine.call("inspect", "--format", "{{json .State}}", self.name)
        )
        return told

    @property
    def log(self) -> str:
        """The last lines that it wrote."""
        return _log(self.engine, self.name)

    def check_running(self) -> None:
        """Raises Ended, with the last line of its log, if it has."""
        state = self.state
        if state.get("OOMKilled"):
            raise complaints.Ended("the container needs more memory than it has, and was killed")
        if not state["Running"]:
            raise complaints.ended(self.engine.name, self.log)

    def run(self, command: list[str]) -> str:
        """What a command inside prints. Raises BuildError where it fails."""
        return self.engine.ask_inside(self.name, command)

    def runs(self, command: list[str]) -> bool:
        """Whether a command inside ends well."""
        with suppress(BuildError):
            self.run(command)
            return True
        return False

    def changed_files(self) -> list[str]:
        """What it has written to its own layer, folders aside."""
        lines = self.engine.call("diff", self.name).splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(("A ", "D "))]

    def stop(self, patience: int) -> tuple[int, float]:
        """SIGTERM; the exit code and the seconds that it took. It is killed after `patience` seconds: 137."""
        start = time.monotonic()
        self.engine.call("stop", "--time", str(patience), self.name, seconds=patience + _SPARE)
        return int(self.state["ExitCode"]), time.monotonic() - start


@contextmanager
def started(engine: Engine, image: str, confinement: Confinement) -> Iterator[Container]:
    """Runs an image, and removes the container at the end whatever happens.

    Raises BuildError where it can't be started, or has ended at once.
    """
    name = f"onnxport-trial-{uuid.uuid4().hex[:12]}"
    try:
        engine.call("run", "--detach", "--name", name, *confinement.options(), image)
        yield Container(engine, name, _address(engine, name, confinement.port))
    finally:
        with suppress(BuildError):  # the first error counts
            engine.call("rm", "--force", *_AT_ONCE.get(engine.name, ()), name)


def _address(engine: Engine, name: str, port: int) -> str:
    """Where the port is published. A container that has ended has none, but a log."""
    try:
        lines = engine.call("port", name, f"{port}/tcp").splitlines()
        return next(line for line in lines if line.startswith("127.0.0.1:"))
    except (BuildError, StopIteration) as err:
        raise complaints.ended(engine.name, _log(engine, name)) from err


def _log(engine: Engine, name: str) -> str:
    return engine.words_of(["logs", "--tail", str(_LOG_LINES), name])
