"""A root file system from the machine's own package sources: Debian's Python and what it needs, without a shell."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

from tests import programs

RELEASE = "bookworm"
_PACKAGES = (
    *("base-files", "base-passwd", "ca-certificates", "libpython3-stdlib"),
    *("libstdc++6", "python3-minimal", "tzdata"),
)
_MERGED = "/usr/share/mmdebstrap/hooks/merged-usr"


def debian(folder: Path) -> Path:
    """The tar in a folder, made where it isn't there yet; two processes wait for each other."""
    program = programs.program("mmdebstrap")
    programs.root("to make a root file system")
    folder.mkdir(exist_ok=True)
    path = folder / f"test-root-{RELEASE}.tar"
    with (folder / "test-root.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(program, path)
    return path


def _make(program: str, path: Path) -> None:
    partial = path.with_name(f"{path.stem}.partial.tar")
    command = [
        *(program, "--quiet", "--variant=extract", f"--include={','.join(_PACKAGES)}"),
        *(f"--hook-dir={_MERGED}", RELEASE, str(partial)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"mmdebstrap ended with {done.returncode}:\n{done.stderr}"
    partial.replace(path)
