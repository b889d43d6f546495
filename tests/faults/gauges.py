"""What a running server uses and counts, seen from outside: its memory, its files, its metrics."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import requests

from tests.serving import ServerProcess

MIB = 2**20


class Gauges:
    """Reads the process of a server that has one worker."""

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.url
        self._proc = Path(f"/proc/{server.process.pid}")

    def resident(self) -> int:
        """Bytes of memory in use now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most bytes of memory in use since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        (self._proc / "clear_refs").write_text("5")

    def open_files(self) -> int:
        return len(list((self._proc / "fd").iterdir()))

    def metric(self, name: str) -> float:
        """The sum over all labels of one metric."""
        told = requests.get(f"{self.url}/metrics", timeout=20).text
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", told, re.MULTILINE)
        assert found, f"GET /metrics tells no {name}"
        return sum(map(float, found))

    def _status(self, name: str) -> int:
        told = (self._proc / "status").read_text()
        return int(told.split(f"{name}:")[1].split()[0]) * 1024


def soon(holds: Callable[[], bool], *, seconds: float = 5.0) -> bool:
    """Whether something comes true within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return holds()
