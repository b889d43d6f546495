"""Virtual environments that hold what a test says: made without pip, which this environment's own does for them, and
without bytecode, most of which nobody would run.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path


def make(folder: Path) -> Path:
    """An empty environment in a folder; gives its Python."""
    venv.create(folder)
    return folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def pip(python: Path, *words: str | Path) -> None:
    """Runs a command of pip for another environment. Raises AssertionError where it fails."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        python,
        *words,
    ]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"pip ended with {done.returncode}:\n{done.stdout}{done.stderr}"


def install(python: Path, *wanted: str | Path) -> None:
    pip(python, "install", "--quiet", "--no-compile", *wanted)
