"""Programs that end with this one, whatever ends it: by its own hand, or by the kernel's if it was killed."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_PATIENCE = 20.0  # seconds between SIGTERM and SIGKILL


def tied(command: Sequence[str]) -> list[str]:
    """A command that gets SIGTERM when the thread that started it ends, where there is setpriv."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM", *command] if program else list(command)


@functools.cache
def _starter() -> ThreadPoolExecutor:
    """One thread that lives as long as we: those of requests end, and what they started would."""
    return ThreadPoolExecutor(1)


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Starts a program apart from our terminal: Ctrl-C is our matter."""
    options = {"stdin": subprocess.DEVNULL, "start_new_session": True, **options}

    def begin() -> subprocess.Popen[Any]:
        return subprocess.Popen(tied(command), **options)

    return _starter().submit(begin).result()


def stop(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
