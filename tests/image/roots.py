"""The base that `make base` makes from the machine's own package sources: Debian's Python, and no shell."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from tests import programs


def slim(repository: Path) -> Path:
    """The saved image in `build/`, made where it isn't there yet; two processes wait for each other."""
    path = repository / "build" / "base-slim.tar"
    if not path.exists():
        programs.program("mmdebstrap")
        programs.root("to make a base image")
    path.parent.mkdir(exist_ok=True)
    with path.with_name("base-slim.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(repository)
    return path


def _make(repository: Path) -> None:
    command = [sys.executable, str(repository / "tools" / "base.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"make base ended with {done.returncode}:\n{done.stderr}"
