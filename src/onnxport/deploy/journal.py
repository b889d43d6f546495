"""What a run did, line by line, beside onnxport.toml. AWS's tags are the truth; this tells whose doing it was."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from onnxport.deploy.plan import BrokenOff, Plan
from onnxport.errors import DeployError, SettingsError

if sys.platform != "win32":
    import fcntl

NAME = "journal.jsonl"
_MAX_BYTES = 4 * 1024 * 1024
_BEGIN, _START, _MADE, _CHANGES, _END = "begin", "start", "made", "changes", "end"

Line = Mapping[str, Any]


class Journal:
    """Writes each line to the disk before the deed. folder: `.onnxport`, made if it isn't there. going_on: the run that
    this one goes on with, whose environments it inherits.

    One run at a time: raises DeployError while another one is going on in this folder.
    """

    def __init__(self, folder: Path, plan: Plan, going_on: BrokenOff | None = None) -> None:
        self._path, self.made = folder / NAME, dict(going_on.made if going_on else {})
        changed = dict(going_on.changed if going_on else {})
        try:
            folder.mkdir(exist_ok=True)
            self._file: IO[str] = self._path.open("a", encoding="utf-8")
        except OSError as err:
            raise _unwritable(folder, err) from err
        if not _is_alone(self._file):
            self._file.close()
            raise _occupied(folder)
        if self._file.tell() > _MAX_BYTES:
            self._file.truncate(0)
        self._run = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        about = {"kind": plan.kind, "app": plan.app, "title": plan.title}
        ways = {"goal": plan.goal, "origin": plan.origin}
        try:
            self.write(
                _BEGIN, **about, **ways, steps=len(plan.steps), made=self.made, changed=changed
            )
        except SettingsError:
            self._close_broken()
            raise

    def write(self, what: str, **facts: Any) -> None:
        """what: one of the words above, or done, failed, interrupted, undo, undone. Raises SettingsError."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"run": self._run, "time": moment, "what": what, **facts}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as err:
            raise _unwritable(self._path.parent, err) from err

    def note_made(self, name: str, id: str) -> None:
        """An environment that this run has made: it alone may be taken back."""
        self.made[name] = id
        self.write(_MADE, name=name, id=id)

    def note_change(self, name: str, id: str) -> None:
        """An environment in which this run begins something."""
        self.write(_CHANGES, name=name, id=id)

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
        if error is None:
            self._file.close()
        else:
            self._close_broken()

    def _close_broken(self) -> None:
        """Where a line couldn't be written, closing tries once more, and would hide why."""
        with suppress(OSError):
            self._file.close()


def _unwritable(folder: Path, err: OSError) -> SettingsError:
    return SettingsError(
        f"the journal in {folder.name} can't be written: {err.strerror}; make the folder writable, or free some "
        "space, then run the same command again"
    )


def refuse_other_run(folder: Path) -> None:
    """Raises DeployError while another run is going on in this folder."""
    if _is_written(folder / NAME):
        raise _occupied(folder)


def _occupied(folder: Path) -> DeployError:
    return DeployError(
        f"another run is going on, as the journal in {folder.name} tells",
        remedy="wait until it has ended, or end it by Ctrl-C, then run the same command again",
    )


def broken_off(folder: Path) -> BrokenOff | None:
    """The last run, if it didn't come to its end and isn't going on either."""
    last = _unfinished(folder)
    begin = next((line for line in last if line.get("what") == _BEGIN), None)
    if begin is None:
        return None
    started = [line for line in last if line.get("what") == _START]
    return BrokenOff(
        step=(_text(started[-1], "step") if started else "") or "its beginning",
        kind=_text(begin, "kind") or "deploy",
        goal=_text(begin, "goal"),
        origin=_text(begin, "origin"),
        made=_inherited(begin, "made") | _ids(last, _MADE),
        changed=_inherited(begin, "changed") | _ids(last, _CHANGES),
    )


def _inherited(begin: Line, what: str) -> dict[str, str]:
    """Ids that a run took over from the one before it."""
    found = begin.get(what)
    return dict(found) if isinstance(found, dict) else {}


def _ids(lines: Iterable[Line], what: str) -> dict[str, str]:
    return {_text(one, "name"): _text(one, "id") for one in lines if one.get("what") == what}


def _text(line: Line, key: str) -> str:
    """A fact of a line that may be damaged."""
    found = line.get(key)
    return found if isinstance(found, str) else ""


def _is_alone(file: IO[str]) -> bool:
    """Whether nobody else writes this journal; from then on it is ours until it is closed, however that happens."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unfinished(folder: Path) -> list[Line]:
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


def _lines(path: Path) -> Iterator[Line]:
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
