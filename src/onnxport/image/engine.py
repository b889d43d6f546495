"""A container engine, docker or podman, as its user calls it: the program, argument lists, and no shell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxport.errors import BuildError
from onnxport.image import complaints
from onnxport.image.parts import Platform

ENGINES = ("docker", "podman")

_ASK, _WORK = 60.0, 1800.0  # seconds that a question and a build may take
# No hints, no attestations: an image is its manifest alone.
_QUIET = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "DOCKER_CLI_HINTS": "false", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers. name: docker or podman. program: the path of it. platform: what it runs by itself."""

    name: str
    program: str
    platform: Platform

    def build(self, context: Path, *, base: str, platform: Platform) -> str:
        """Builds the Dockerfile of a folder; the image's id. It gets no tag, and the build no network.

        base: the name of an image that the engine has.
        """
        with tempfile.TemporaryDirectory(prefix="onnxport-") as folder:
            told = Path(folder) / "id"
            words = [
                *("build", "--iidfile", str(told), "--pull=false", "--network", "none"),
                *("--force-rm", "--platform", str(platform), "--build-arg", f"BASE={base}"),
            ]
            if self.name == "podman":
                words += ["--format", "docker"]  # OCI's own form has no HEALTHCHECK
            self.call(*words, str(context), seconds=_WORK)
            return told.read_text("utf-8").strip()

    def load(self, archive: Path) -> str:
        """Takes an image from a tar that holds one; its id."""
        said = self.call("load", "--quiet", "--input", str(archive), seconds=_WORK)
        names = [line.partition(":")[2].strip() for line in said.splitlines() if "oaded" in line]
        if not names:
            raise BuildError(f"{self.name} found no image in {archive.name}; build it again")
        return self.id_of(names[-1])

    def save(self, image: str, path: Path) -> None:
        """Writes an image as a tar, in the form of `docker save`."""
        form = ["--format", "docker-archive"] if self.name == "podman" else []
        self.call("save", *form, "--output", str(path), image, seconds=_WORK)

    def tag(self, image: str, name: str) -> None:
        self.call("tag", image, name)

    def has(self, image: str) -> bool:
        return self._run(["image", "inspect", image], _ASK).returncode == 0

    def id_of(self, image: str) -> str:
        identity = str(self.inspect(image)["Id"])
        return identity if identity.startswith("sha256:") else f"sha256:{identity}"

    def inspect(self, image: str) -> dict[str, Any]:
        """What the engine knows of an image."""
        found: list[dict[str, Any]] = json.loads(self.call("image", "inspect", image))
        return found[0]

    def configuration(self, image: str) -> dict[str, Any]:
        """An image's configuration in Docker's words; podman keeps the health check beside it."""
        told = self.inspect(image)
        config: dict[str, Any] = told["Config"] or {}
        return {"Healthcheck": told.get("Healthcheck"), **config}

    def forget(self, image: str) -> None:
        """Removes an image, or one of its names; no fault where it isn't there, or is used."""
        self._run(["rmi", image], _ASK)

    def call(self, *words: str, seconds: float = _ASK) -> str:
        """What a command prints. Raises BuildError where it fails."""
        done = self._run(words, seconds)
        if done.returncode != 0:
            raise complaints.explain(self.name, [self.program, *words], done.stderr or done.stdout)
        return done.stdout.strip()

    def ask_inside(self, container: str, command: Sequence[str]) -> str:
        """What a command in a running container prints. Raises BuildError where it fails."""
        done = self._run(["exec", container, *command], _ASK)
        if done.returncode != 0:
            raise complaints.failed_inside(command, done.stderr or done.stdout)
        return done.stdout.strip()

    def words_of(self, words: Sequence[str]) -> str:
        """All that a command writes, to stdout or stderr, whether it fails or not."""
        done = self._run(words, _ASK)
        return (done.stdout + done.stderr).strip()

    def _run(self, words: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return _run(self.name, [self.program, *words], seconds)


def find_engine(name: str | None = None) -> Engine:
    """The engine of that name, or the first that answers, docker before podman. Where DOCKER_HOST names one, no other.

    Raises BuildError, which says of the first that is installed why it can't be used.
    """
    any_engine = ENGINES[:1] if os.environ.get("DOCKER_HOST") else ENGINES
    names = (name,) if name else any_engine
    first: BuildError | None = None
    for each in names:
        program = shutil.which(each)
        if program is None:
            continue
        try:
            return _ask(each, program)
        except BuildError as err:
            first = first or err
    raise first or complaints.missing(names)


def _ask(name: str, program: str) -> Engine:
    """An engine that has said what it runs on. `docker` may be podman under another name."""
    is_podman = not _run(name, [program, "--version"], _ASK).stdout.startswith("Docker version")
    name = "podman" if is_podman else name
    words = (
        ["info", "--format", "{{.Host.Arch}}"]
        if is_podman
        else ["version", "--format", "{{.Server.Arch}}"]
    )
    done = _run(name, [program, *words], _ASK)
    if done.returncode != 0 or not done.stdout.strip():
        raise complaints.explain(name, [program, *words], done.stderr)
    return Engine(name, program, Platform(done.stdout.strip()))


def _run(name: str, command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env={**os.environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as err:
        raise complaints.too_slow(name, command, seconds) from err
    except OSError as err:
        raise BuildError(f"{command[0]} can't be run: {err.strerror}; install {name} anew") from err
