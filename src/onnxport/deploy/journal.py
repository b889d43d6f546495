"""What a run did, line by line, beside onnxport.toml. AWS's tags are the truth; this tells whose doing it was."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from onnxport.deploy.plan import Plan
from onnxport.errors import DeployError, SettingsError

if sys.platform != "win32":
    import fcntl

NAME = "journal.jsonl"
_MAX_BYTES = 4 * 1024 * 1024
_END = "end"


class Journal:
    """Writes each line to the disk before the deed. folder: `.onnxport`, made if it isn't there.

    One run at a time: raises DeployError while another one is going on in this folder.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        try:
            folder.mkdir(exist_ok=True)
            path = folder / NAME
            self._file: IO[str] = path.open("a", encoding="utf-8")
        except OSError as err:
            raise SettingsError(
                f"the journal in {folder.name} can't be written: {err.strerror}; make the folder writable"
            ) from err
        if not _is_alone(self._file):
            self._file.close()
            raise DeployError(
                f"another run is going on, as the journal in {folder.name} tells",
                remedy="wait until it has ended, then run the same command again",
            )
        if self._file.tell() > _MAX_BYTES:
            self._file.truncate(0)
        self._run = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        self.write("begin", kind=plan.kind, app=plan.app, title=plan.title, steps=len(plan.steps))

    def write(self, what: str, **facts: Any) -> None:
        """what: begin, start, done, failed, interrupted, undo, undone, end."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"run": self._run, "time": moment, "what": what, **facts}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def end(self) -> None:
        """Nothing is left half-done."""
        self.write(_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def unfinished(folder: Path) -> str | None:
    """The step at which the last run broke off, or None where it came to its end."""
    last = _broken_off(folder)
    if not last:
        return None
    started = [str(line["step"]) for line in last if line.get("what") == "start"]
    return started[-1] if started else "its beginning"


def unfinished_kind(folder: Path) -> str | None:
    """The command whose run broke off: deploy, rollback or destroy; None where it came to its end."""
    kinds = [line.get("kind") for line in _broken_off(folder) if line.get("what") == "begin"]
    return str(kinds[0]) if kinds else None


def _is_alone(file: IO[str]) -> bool:
    """Whether nobody else writes this journal; from then on it is ours until it is closed, however that happens."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _broken_off(folder: Path) -> list[dict[str, Any]]:
    """The lines of the last run, or none where it came to its end, or is still going on."""
    if _is_written(folder / NAME):
        return []
    lines = list(_lines(folder / NAME))
    last = [line for line in lines if line.get("run") == lines[-1].get("run")]
    return [] if any(line.get("what") == _END for line in last) else last


def _is_written(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8") as file:
        return not _is_alone(file)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Those that are whole: the last may be cut off."""
    if not path.is_file():
        return
    for text in path.read_text("utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line
