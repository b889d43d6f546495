"""`onnxport build` as its user runs it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """How a command ended. `out` and `err` are what it printed."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """What `--json` printed."""
        assert self.code in (0, 1), self.err
        told: dict[str, Any] = json.loads(self.out)
        return told


def build(
    *words: str | Path,
    env: Mapping[str, str],
    folder: Path,
    before: Sequence[str] = (),
) -> Done:
    """Runs the command in a folder. before: another program that starts it, such as one that changes the user."""
    command = [*before, sys.executable, "-W", "error", "-m", "onnxport", "build", *map(str, words)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Done(done.returncode, done.stdout, done.stderr)
