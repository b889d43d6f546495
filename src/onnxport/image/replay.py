"""Replays a model's self-test with the very files that go into the image, where these can run."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onnxport.errors import BuildError, shorten
from onnxport.image.bytecode import bare_environment, can_compile
from onnxport.image.contents import Tree
from onnxport.image.parts import Platform
from onnxport.image.wheels import MACHINES, Target

Outcome = Literal["passed", "failed", "unable", "broken"]

_SECONDS = 600
_TOLD = "onnxport: "  # how container.py begins what it has to say
# What is said where compiled files don't fit this machine: its glibc, its processor.
_UNFIT = re.compile(r"\.so\b|GLIBC|baseline optimizations")
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Replayed:
    """unable: the files don't run on this machine. broken: they run nowhere. said: why it failed."""

    outcome: Outcome
    said: str = ""


def own_platform() -> Platform:
    """This machine's, or amd64 where it has none of ours."""
    return Platform(_ARCHITECTURES.get(platform.machine().lower(), "amd64"))


def can_replay(target: Target) -> bool:
    """Whether the image's files run in this interpreter: its system, its minor, its processor."""
    is_ours = (
        sys.platform == "linux" and platform.machine() == MACHINES[target.platform.architecture]
    )
    return is_ours and can_compile(target.minor)


def replay(model: Path, trees: Sequence[Tree]) -> Replayed:
    """What `check` of the image's entry point says to the model when nothing but these trees can be imported."""
    environment = {
        **bare_environment(),
        "PYTHONPATH": os.pathsep.join(str(tree.folder) for tree in trees),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ONNXPORT_MODEL": str(model.resolve()),
        "HOME": str(trees[0].folder),
    }
    command = [sys.executable, "-S", "-s", "-P", "-m", "onnxport.container", "check"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            cwd=trees[0].folder,
            env=environment,
        )
    except subprocess.TimeoutExpired as err:
        raise BuildError(
            f"the self-test of {model.name} takes more than {_SECONDS} s; save a smaller model",
            command=command,
        ) from err
    if done.returncode == 0:
        return Replayed("passed")
    said = [line for line in done.stderr.splitlines() if line.startswith(_TOLD)]
    if said:
        return Replayed("failed", said[-1].removeprefix(_TOLD))
    return _not_replayed(done.returncode, done.stderr, model.name)


def _not_replayed(code: int, said: str, name: str) -> Replayed:
    """Raises BuildError for a process that was killed, which tells nothing of the files."""
    if code == -signal.SIGKILL:
        raise BuildError(
            f"the self-test of {name} was killed, perhaps for want of memory; free some, and build again"
        )
    if code < 0 or _UNFIT.search(said):
        return Replayed("unable", said[-2000:])
    return Replayed(
        "broken", shorten((said.strip().splitlines() or [f"exit code {code}"])[-1], 200)
    )
