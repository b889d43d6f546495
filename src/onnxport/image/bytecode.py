"""Bytecode that Python takes without looking at its source's time, which no image keeps; the root is read-only, so
what isn't compiled here would be compiled again at every start.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from onnxport.errors import BuildError

PYTHON_VERSION = platform.python_version()  # decides on the bytecode's bytes
MINOR = sys.version_info.minor
_SECONDS = 900
_NEEDED = (
    "DYLD_LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
)  # where an interpreter's own parts are


def can_compile(minor: int) -> bool:
    """Whether this Python writes bytecode for Python 3.`minor`: no other minor's does."""
    return sys.implementation.name == "cpython" and minor == MINOR


def bare_environment() -> dict[str, str]:
    """What an interpreter can't do without, and nothing that a user has set besides."""
    kept = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    return {**kept, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "PATH": os.defpath}


def compile_tree(folder: Path, place: str, *, lenient: bool = False) -> None:
    """Writes the bytecode of all modules below a folder, with their paths in the image: `/place/...`.

    lenient: a module that isn't Python is passed over.

    A process of its own, in a bare environment: the bytes depend on which strings an interpreter shares, and so on
    what it has imported. Raises BuildError where it fails.
    """
    command = [
        *(sys.executable, "-S", "-s", "-P", "-m", "compileall", "-q", "-f"),
        *("--invalidation-mode", "unchecked-hash"),
        *("-s", str(folder), "-p", f"/{place}", str(folder)),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            cwd=folder,
            env=bare_environment(),
        )
    except subprocess.TimeoutExpired as err:
        raise BuildError("compiling the image's libraries doesn't end; build again") from err
    if done.returncode not in ((0, 1) if lenient else (0,)):
        raise BuildError(
            "a module of the image's libraries can't be compiled; install onnxport again",
            command=command,
            output=(done.stdout + done.stderr)[-2000:],
        )
