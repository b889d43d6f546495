"""The server as its users meet it: `onnxport serve` in a process of its own, and a way to know where it listens."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

LISTENING = re.compile(r"(?:listening|running) on (https?://\S+)")  # onnxport's word, and uvicorn's


class ServerProcess:
    """Runs a command that serves, from its "listening on URL" line to SIGTERM, which it must answer with exit code 0.

    command: the arguments after `python -m onnxport`. `stderr` holds the lines of the log so far.
    module: another program, which may end by the signal itself, as uvicorn does.
    """

    def __init__(
        self,
        *command: str | Path,
        module: str = "onnxport",
        python: str | Path = sys.executable,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        patience: float = 60.0,
    ) -> None:
        self.stderr: list[str] = []
        self._patience, self._module = patience, module
        self._heard = threading.Event()
        self._url: str | None = None
        self.process = subprocess.Popen(
            [str(python), "-m", module, *map(str, command)],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line)
            found = LISTENING.search(line)
            if found and self._url is None:
                self._url = found[1].rstrip("/")
                self._heard.set()
        self._heard.set()  # the process has closed its log: nobody waits any longer

    @property
    def url(self) -> str:
        """Where the server listens; waits for the line that says so."""
        heard = self._heard.wait(self._patience)
        if self._url is None:
            why = "ended before it listened" if heard else f"silent for {self._patience:.0f} s"
            raise AssertionError(f"onnxport {why}:\n{self.log}")
        return self._url

    @property
    def log(self) -> str:
        return "".join(self.stderr)

    def stop(self) -> int:
        """SIGTERM, then the exit code; kills what doesn't end, and fails."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"onnxport didn't end after SIGTERM:\n{self.log}") from None
        finally:
            self._release()

    def _release(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        if self.process.stderr is not None and not self._reader.is_alive():
            self.process.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None or self._url is None:  # a failure that has its own message
            self._release()
            return
        code = self.stop()
        fine = (0,) if self._module == "onnxport" else (0, -signal.SIGTERM)
        assert code in fine, f"onnxport ended with exit code {code} after SIGTERM:\n{self.log}"
