"""The machine under the benchmark: its cores, what a tree of processes costs, and how it is described. Linux only:
all figures come from /proc.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PACKAGES = (
    "fastapi",
    "granian",
    "numpy",
    "onnxruntime",
    "orjson",
    "pydantic",
    "uvicorn",
    "uvloop",
)


def cores() -> list[int]:
    """The cores that this process may use, lowest first."""
    return sorted(os.sched_getaffinity(0))


def tree(pid: int) -> list[int]:
    """A process and all its descendants that live."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                children[int(_stat(entry)[1])].append(int(entry.name))
            except OSError:
                continue  # it has ended since the listing
    found = [pid]
    for process in found:
        found += children[process]
    return found


def is_alive(pid: int) -> bool:
    """Neither gone nor a zombie, which has ended and waits for its parent to look."""
    try:
        return _stat(Path("/proc") / str(pid))[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants since they started."""
    ticks = 0
    for process in tree(pid):
        fields = _stat(Path("/proc") / str(process))
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants; pages that they share count once in each."""
    return sum(
        int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * _PAGE
        for process in tree(pid)
    )


def busy_seconds(of: Sequence[int]) -> float:
    """The time since boot in which some cores were not idle, or were taken by another machine of the same host."""
    names, ticks = {f"cpu{core}" for core in of}, 0
    for line in Path("/proc/stat").read_text("ascii").splitlines():
        name, *fields = line.split()
        if name in names:
            user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / _TICKS


def _stat(process: Path) -> list[str]:
    """The fields of /proc/PID/stat after the command's name, which may hold spaces: state, parent, ..."""
    return (process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def describe(used: Sequence[int]) -> dict[str, object]:
    """Versions and machine, for the results."""
    return {
        "cpu": _cpu_name(),
        "cores": len(used),
        "system": platform.platform(),
        "python": platform.python_version(),
        "nginx": _version("nginx", "-v"),
        "wrk": _version("wrk", "--version"),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "commit": _commit(),
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(*command: str) -> str:
    """The first line that a program prints about itself; nginx does so on stderr, wrk with exit code 1."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _commit() -> str:
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(
        command, cwd=here, capture_output=True, text=True, check=False, timeout=10
    )
    return done.stdout.strip() or "unknown"
