"""Reads `onnxport.toml` and flags into an Intent; every fault is told with its line, or its flag."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from onnxport.deploy import positions, server_settings, syntax, user_tags
from onnxport.deploy.agreement import conflicts
from onnxport.deploy.intent import FILE_NAME, FREE_TABLES, OPTIONS, TABLES, Intent
from onnxport.deploy.values import complaint, frozen, unknown
from onnxport.errors import SettingsError, shorten

_MAX_FILE = 256 * 1024
_BY_NAME = {option.name: option for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class _Fault:
    line: int  # 0 where no line is to blame
    told: str


def read_intent(path: str | Path | None, flags: Mapping[str, Any] | None = None) -> Intent:
    """The intent of a file and of flags, which go before it.

    path: the file, or None for flags alone. flags: by the parameter's name, such as `instance_types`; None counts as
    not given, a text for a list holds it by commas. Raises SettingsError for whatever isn't of its form.
    """
    document, lines, called = _read(Path(path)) if path is not None else ({}, {}, FILE_NAME)
    reading = _Reading(lines, called)
    values = reading.values(document)
    reading.stop_at_faults()
    values |= _from_flags(flags or {})
    intent = _build(values)
    given = {o.name: o.flag for o in OPTIONS if (flags or {}).get(o.parameter) is not None}
    reading.agree(intent, given)
    return intent


def place_of(file: Path, name: str, value: Any) -> str:
    """Where a file gives an option this value, such as "onnxport.toml, line 5: "; "" where it doesn't."""
    try:
        document, lines, called = _read(file)
    except SettingsError:
        return ""
    found: Any = document
    path = tuple(name.split("."))
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return f"{called}, line {lines[path]}: " if found == value else ""


def _read(path: Path) -> tuple[dict[str, Any], dict[positions.Path, int], str]:
    called = shorten(path.name)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError as err:
        raise SettingsError(
            f"{called} isn't here; write one with `onnxport deploy --init`, or change to its folder"
        ) from err
    except OSError as err:
        raise SettingsError(f"{called} can't be read: {err.strerror}") from err
    except UnicodeDecodeError as err:
        line = content[: err.start].count(b"\n") + 1
        raise SettingsError(
            f"{called}, line {line}: it isn't UTF-8; save the file in that encoding"
        ) from err
    if len(content) > _MAX_FILE:
        raise SettingsError(
            f"{called} has {len(content):,} bytes; {_MAX_FILE:,} are more than enough"
        )
    return _parse(text, called), positions.key_lines(text), called


def _parse(text: str, called: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise SettingsError(syntax.explain(str(err), text, called)) from err
    except ValueError as err:  # a number of thousands of digits
        raise SettingsError(f"{called}: it has a number that nobody can read; shorten it") from err
    except RecursionError as err:
        raise SettingsError(f"{called}: its lists are nested too deeply; write them flat") from err


class _Reading:
    """Collects values and faults of one file."""

    def __init__(self, lines: Mapping[positions.Path, int], called: str) -> None:
        self._lines, self._called = lines, called
        self._faults: list[_Fault] = []

    def values(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The values of options by their names, and of the free tables; what doesn't fit becomes a fault."""
        found: dict[str, Any] = {}
        for key, value in document.items():
            if key not in TABLES and key not in FREE_TABLES:
                found |= self._option((key,), value)
            elif not isinstance(value, dict):
                self._fault(
                    (key,),
                    f"{key} is a table; write [{key}] on a line of its own, and its options below",
                )
            elif key in FREE_TABLES:
                found[key] = self._free(key, value)
            else:
                for inner, each in value.items():
                    found |= self._option((key, inner), each)
        return found

    def _option(self, path: positions.Path, value: Any) -> dict[str, Any]:
        name = ".".join(path)
        option = _BY_NAME.get(name)
        if option is None:
            self._fault(path, unknown(path))
            return {}
        told = complaint(option, value, name)
        if told:
            self._fault(path, told)
            return {}
        return {name: frozen(option, value)}

    def _free(self, table: str, value: dict[str, Any]) -> tuple[tuple[str, str], ...]:
        read = server_settings.read if table == "server" else user_tags.read
        pairs = []
        for key, each in value.items():
            try:
                pairs.append(read(key, each))
            except SettingsError as err:
                self._fault((table, key), str(err))
        if table == "tags" and len(pairs) > user_tags.MOST:
            self._fault(
                (table,), f"[tags] has {len(pairs)} tags; AWS leaves room for {user_tags.MOST}"
            )
        return tuple(sorted(pairs))

    def _fault(self, path: positions.Path, told: str) -> None:
        line = self._lines.get(path) or self._lines.get(path[:1], 0)
        self._faults.append(_Fault(line, told))

    def stop_at_faults(self) -> None:
        if self._faults:
            self._stop()

    def agree(self, intent: Intent, flags: Mapping[str, str]) -> None:
        """Raises SettingsError for options that don't go together, told where the first of them was given."""
        for conflict in conflicts(intent):
            flag = next((flags[name] for name in conflict.options if name in flags), "")
            if flag:
                raise SettingsError(f"{flag}: {conflict.told}")
            paths = [tuple(name.split(".")) for name in conflict.options]
            line = next((self._lines[path] for path in paths if path in self._lines), 0)
            self._faults.append(_Fault(line, conflict.told))
        self.stop_at_faults()

    def _stop(self) -> NoReturn:
        first, *others = sorted(self._faults, key=lambda fault: fault.line)
        where = f"{self._called}, line {first.line}" if first.line else self._called
        elsewhere = dict.fromkeys(fault.line for fault in others if fault.line > first.line)
        also = ", ".join(map(str, [*elsewhere][:5]))
        more = f" (and faults in line {also})" if also else ""
        raise SettingsError(f"{where}: {first.told}{more}")


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    known = {option.parameter: option for option in OPTIONS}
    values = {}
    for parameter, given in flags.items():
        if given is None:
            continue
        option = known[parameter]
        value = _listed(given) if option.type is tuple and isinstance(given, str) else given
        told = complaint(option, value, option.flag)
        if told:
            raise SettingsError(told)
        values[option.name] = frozen(option, value)
    return values


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _build(values: Mapping[str, Any]) -> Intent:
    tables = {
        f.name: replace(getattr(Intent(), f.name), **dict(_below(f.name, values)))
        for f in fields(Intent)
        if f.name in TABLES
    }
    return Intent(**{name: value for name, value in values.items() if "." not in name}, **tables)


def _below(table: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        head, dot, key = name.partition(".")
        if dot and head == table:
            yield key, value
