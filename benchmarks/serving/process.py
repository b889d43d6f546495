"""A server under test: a process pinned to its cores, with a log, from its start to its end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.serving import machine


class BenchmarkError(Exception):
    """The run can't go on or its figures can't be trusted; the message says which server and why."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """Runs a command on some cores, its output in a log file. SIGTERM ends it, and what it has started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        cores: Sequence[int],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name, self._log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
        self.started = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                pinned,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        return machine.resident_bytes(self.pid)

    def await_answer(
        self,
        port: int,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = 60.0,
    ) -> float:
        """Asks until the answer is a 200; gives the seconds since the start. Raises BenchmarkError."""
        told = "nothing"
        while (waited := time.perf_counter() - self.started) < patience:
            if self._process.poll() is not None:
                raise BenchmarkError(
                    f"{self.name} ended with {self._process.returncode} before it answered:\n{self.tail()}"
                )
            try:
                status = ask(port, method, path, body, headers)[0]
            except (OSError, http.client.HTTPException) as err:
                told = repr(err)
            else:
                if status == 200:
                    return time.perf_counter() - self.started
                told = f"status {status}"
            time.sleep(0.002 if waited < 2 else 0.02)
        raise BenchmarkError(
            f"{self.name} didn't answer {method} {path} in {patience:.0f} s, last {told}:\n{self.tail()}"
        )

    def pause(self) -> None:
        """Stops it and all that it has started in their tracks, until `resume`."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in machine.tree(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-lines:])

    def stop(self) -> None:
        """SIGTERM to the process; after 15 seconds SIGKILL to it and at once to all that it has left behind."""
        started = machine.tree(self.pid) if self._process.poll() is None else []
        self.resume()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=15)
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(map(machine.is_alive, started)):
            time.sleep(0.005)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
