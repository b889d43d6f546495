"""The program that the image runs, run here on the model file: what it needs, how fast it is, how it tells health."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from onnxport.check import check_url
from onnxport.deploy.intent import Intent
from onnxport.errors import BuildError, shorten
from onnxport.image.probes import READY, status_of

_PATIENCE = 120.0  # seconds until ready
_STOP = 15.0
_PAUSE = 0.03
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Of one worker. startup: seconds until ready. early: statuses of health before that. health: its status then.

    peak: bytes of memory at most, or None where the system doesn't tell. p50, p99: milliseconds of one row over HTTP.
    fault: the first difference between stored and live answers, or "".
    """

    startup: float
    early: frozenset[int]
    health: int | None
    peak: int | None
    rows: int
    p99: float
    fault: str = ""


def rehearse(model: Path, intent: Intent) -> Rehearsal:
    """Runs the image's program, asks it, and ends it. Raises BuildError where it doesn't get ready.

    It asks for API keys, so that a health path that needs one is found.
    """
    key, port = secrets.token_urlsafe(24), _free_port()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        environment = _environment(model, intent, key, port)
        with _running(environment, log) as process:
            return _asked(process, log, f"127.0.0.1:{port}", model, intent.health.path, key)


def _environment(model: Path, intent: Intent, key: str, port: int) -> Mapping[str, str]:
    """That of the container, for one worker on loopback; nothing of this shell's but where programs are."""
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT", "TMPDIR")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **dict(intent.server),
        "LC_ALL": "C.UTF-8",
        "ONNXPORT_API_KEY_HASHES": f"rehearsal:{hashlib.sha256(key.encode()).hexdigest()}",
        "ONNXPORT_HOST": "127.0.0.1",
        "ONNXPORT_MODEL": str(model.resolve()),
        "ONNXPORT_PORT": str(port),
        "ONNXPORT_WORKERS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(environment: Mapping[str, str], log: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "onnxport.container"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asked(
    process: subprocess.Popen[bytes],
    log: IO[str],
    address: str,
    model: Path,
    path: str,
    key: str,
) -> Rehearsal:
    start, early = time.monotonic(), set[int]()
    while (status := status_of(address, READY)) != 200:
        early |= {status} if status is not None else set()
        if process.poll() is not None or time.monotonic() - start > _PATIENCE:
            raise _not_ready(model, log)
        time.sleep(_PAUSE)
    startup = time.monotonic() - start
    report = check_url(f"http://{address}", model, api_key=key)
    faults = [finding.text for finding in report.findings if finding.verdict == "failure"]
    return Rehearsal(
        startup=startup,
        early=frozenset(early),
        health=status_of(address, path),
        peak=_peak(process.pid),
        rows=report.rows,
        p99=report.latency.p99 if report.latency else 0.0,
        fault=faults[0] if faults else "",
    )


def _not_ready(model: Path, log: IO[str]) -> BuildError:
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    said = shorten(lines[-1].removeprefix("onnxport: "), 300) if lines else "it says nothing"
    return BuildError(
        f"the server doesn't get ready with {model.name}: {said}; try the file with `onnxport check`, and [server] in "
        "onnxport.toml with `onnxport serve`"
    )


def _peak(process: int) -> int | None:
    """The most memory that the process ever had, by Linux's own count."""
    try:
        found = _PEAK.search(Path(f"/proc/{process}/status").read_text("ascii", "replace"))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
