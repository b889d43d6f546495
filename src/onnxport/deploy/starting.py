"""`onnxport deploy --init`: a file of intent that works unedited, an API key, and neither ever in git."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from onnxport.deploy.forms import NAME, clean_name
from onnxport.deploy.intent import FILE_NAME, FREE_TABLES, OPTIONS, TABLES, Intent, Option
from onnxport.deploy.reading import read_intent
from onnxport.errors import SettingsError
from onnxport.keys import new_key

KEY_ID = "deploy"  # by which the server's log knows the key that --init makes
STATE_FOLDER = ".onnxport"  # the journal of deployments

# What a first reader should see as it is; all else is written as a comment.
_SHOWN = (
    *("app", "region", "auth", "key_file", "budget", "instances.layout", "instances.types"),
    *("instances.min", "instances.max", "update.strategy", "update.watch", "update.keep"),
)
_BUDGET = 50.0  # of USD: more than the defaults cost, less than a slip of the pen
_HEAD = """\
# What `onnxport deploy` is told. It works as it is; a line that begins with # shows a default.
# Each option is a flag as well: `onnxport deploy --help`.
"""
_GLOB, _ESCAPED = re.compile(r"[*?\[\]\\ ]"), r"\\\g<0>"  # what git reads as a pattern
_EXAMPLES = {"server": "workers = 2", "tags": 'team = "forecasting"'}


@dataclass(frozen=True, slots=True)
class Started:
    """made: the files that were written. kept: those that were there, and stay as they were."""

    made: tuple[str, ...]
    kept: tuple[str, ...]


def init(folder: str | Path = ".", flags: Mapping[str, Any] | None = None) -> Started:
    """Writes what is missing: `onnxport.toml`, the key's file (mode 600), and their lines in `.gitignore`.

    flags: options for a new `onnxport.toml`, as `read_intent` takes them. Nothing that is there is changed, but lines
    may be added to `.gitignore`. Raises SettingsError where it can't write, for flags that aren't of their form, and
    for an `onnxport.toml` that is there beside flags, or isn't of its form.
    """
    folder = Path(folder)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    made: list[str] = []
    try:
        made += _make_file(folder, given)
        intent = read_intent(folder / FILE_NAME)
        made += _make_key(folder, intent)
        made += _ignore(folder, intent)
    except OSError as err:
        called = Path(err.filename or folder).name
        raise SettingsError(
            f"{called} can't be written: {err.strerror}; choose a folder of your own"
        ) from err
    wanted = (FILE_NAME, *((intent.key_file,) if intent.auth == "keys" else ()), ".gitignore")
    return Started(tuple(made), tuple(name for name in wanted if name not in made))


def _make_file(folder: Path, given: Mapping[str, Any]) -> list[str]:
    file = folder / FILE_NAME
    if not file.exists():
        app = {"app": _app_name(folder), **given}
        intent = read_intent(None, app)
        named = [option for option in OPTIONS if option.parameter in app]
        _write(file, template({o.name: attrgetter(o.name)(intent) for o in named}), 0o644)
        return [FILE_NAME]
    if given:
        raise SettingsError(
            f"{FILE_NAME} is here already, and --init changes no file; edit it, or leave the flags out"
        )
    return []


def template(values: Mapping[str, Any]) -> str:
    """The text of a new `onnxport.toml`. values: by the option's name, instead of the defaults."""
    values = {"app": "model", "budget": _BUDGET, **values}
    parts = [f"{_HEAD}\n", *_section("", values)]
    for table, told in TABLES.items():
        parts += [f"\n[{table}]  # {told}\n", *_section(table, values)]
    for table, told in FREE_TABLES.items():
        parts += [f"\n[{table}]  # {told}\n", f"# {_EXAMPLES[table]}\n"]
    return "".join(parts)


def _section(table: str, values: Mapping[str, Any]) -> Iterator[str]:
    for option in OPTIONS:
        if option.table == table:
            mark = "" if option.name in _SHOWN or option.name in values else "# "
            value = as_toml(values.get(option.name, option.default))
            yield f"{mark}{option.key} = {value}  # {_told(option)}\n"


def _told(option: Option) -> str:
    choices = f" ({' | '.join(option.form.choices)})"
    is_short = option.form.choices and len(option.form.choices) < 6
    return option.help + (choices if is_short and ":" not in option.help else "")


def as_toml(value: Any) -> str:
    """A value of an option as TOML writes it; texts of printable characters are the same in JSON."""
    if isinstance(value, tuple):
        return f"[{', '.join(as_toml(each) for each in value)}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _app_name(folder: Path) -> str:
    name = clean_name(folder.resolve().name)
    return name if NAME.test(name) else "model"


def _write(path: Path, text: str, mode: int) -> None:
    """A new file, with its mode from the first moment on; one that is there is never followed or overwritten."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _make_key(folder: Path, intent: Intent) -> list[str]:
    path = folder / intent.key_file
    if intent.auth == "none" or path.exists():
        return []
    _write(path, new_key(KEY_ID).key + "\n", 0o600)
    return [intent.key_file]


def _ignore(folder: Path, intent: Intent) -> list[str]:
    """Lines that are missing in `.gitignore`, at its end."""
    path = folder / ".gitignore"
    text = path.read_text("utf-8") if path.exists() else ""
    own_file = Path(intent.key_file)
    inside = not own_file.is_absolute() and ".." not in own_file.parts
    wanted = (
        [f"/{_GLOB.sub(_ESCAPED, own_file.as_posix())}"] if inside and intent.auth == "keys" else []
    )
    missing = [line for line in (*wanted, f"/{STATE_FOLDER}/") if line not in text.split("\n")]
    if not missing:
        return []
    gap = "" if not text or text.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(gap + "".join(f"{line}\n" for line in missing))
    return [".gitignore"]
