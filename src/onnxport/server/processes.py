"""What a process uses, as /proc tells it; elsewhere than on Linux only what this process knows of itself."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUPERVISOR = "supervisor"

_PROC = Path("/proc")
# Places in /proc/PID/stat after the name, which may hold blanks and brackets itself (man 5 proc).
_UTIME, _STIME, _STARTED, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its name for readers. started: in clock ticks after boot, 0 where nothing tells."""

    name: str
    pid: int
    started: float


def born(pid: int) -> float:
    """When a process was started, in clock ticks after boot; 0 where nothing tells, or it is gone."""
    stat = _stat(pid)
    return float(stat[_STARTED]) if stat else 0.0


def alive(process: Process) -> bool:
    """Whether it still runs, and its number hasn't gone to another one. True where nothing tells."""
    return not _told() or (process.started > 0 and born(process.pid) == process.started)


def usage(process: Process) -> Mapping[str, float]:
    """What a process uses, by the names that Prometheus has for it; empty once it is gone."""
    stat = _stat(process.pid)
    if not stat:
        return {"cpu_seconds": time.process_time()} if process.pid == os.getpid() else {}
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found = {
        "cpu_seconds": (int(stat[_UTIME]) + int(stat[_STIME])) / ticks,
        "start_time_seconds": _boot_time() + int(stat[_STARTED]) / ticks,
        "virtual_memory_bytes": float(stat[_VIRTUAL]),
        "resident_memory_bytes": float(int(stat[_RESIDENT]) * page),
    }
    return {**found, **_descriptors(process.pid)}


def _told() -> bool:
    return (_PROC / "self" / "stat").exists()


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _descriptors(pid: int) -> Mapping[str, float]:
    try:
        # Since Linux 6.2 the folder's size is their number.
        folder = _PROC / str(pid) / "fd"
        count = folder.stat().st_size or sum(1 for _ in folder.iterdir())
        limits = (_PROC / str(pid) / "limits").read_text("utf-8")
    except OSError:  # gone, or another user's
        return {}
    most = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    soft = most.removeprefix("Max open files").split()[0]
    return {"open_fds": float(count), "max_fds": float("inf" if soft == "unlimited" else soft)}


def _boot_time() -> float:
    """Seconds from 1970 to boot, by the kernel's own count."""
    for line in (_PROC / "stat").read_text("utf-8").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0
