"""Programs that pip can't install: where they are, and what becomes of a test on a machine without them."""

from __future__ import annotations

import os
import shutil

import pytest

NEEDS = "needs the Debian package "
NEEDS_ROOT = "needs root"


def program(name: str, *, package: str = "") -> str:
    """Where a program is; without it the test is reported as not run, or fails where CI=true."""
    path = shutil.which(name)
    if path:
        return path
    if in_ci():
        pytest.fail(f"{name} is missing, and in CI no test is left out: run tools/system-packages")
    pytest.skip(NEEDS + (package or name))


def root(what: str) -> None:
    """Lets a test go on only for root. what: for what it needs the rights."""
    if os.geteuid() == 0:
        return
    if in_ci():
        pytest.fail(
            f"in CI no test is left out, and this one {NEEDS_ROOT} {what}: run it with sudo"
        )
    pytest.skip(f"{NEEDS_ROOT} {what}")


def in_ci() -> bool:
    return os.environ.get("CI") == "true"
