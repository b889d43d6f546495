"""The settings of `onnxport serve`: one frozen value, from arguments, then the environment, then defaults.

`SETTINGS` is the one table: the command line's options and the documentation derive from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from onnxport.errors import SettingsError

ENV_PREFIX = "ONNXPORT_"


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told. Sizes in bytes, times in seconds."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8000, "Port to listen on; 0 takes a free one.")
    insecure: bool = _setting(
        False, "Allow an address that other machines reach, although the API asks for no key."
    )
    max_body: int = _setting(4 * 1024 * 1024, "Largest request body, in bytes.")
    max_rows: int = _setting(10_000, "Most rows in one request.")
    keep_alive: int = _setting(
        75, "Seconds that an idle connection is kept; above a load balancer's 60."
    )
    shutdown_timeout: int = _setting(
        9, "Seconds that accepted requests may take to finish after SIGTERM."
    )
    log_level: str = _setting("info", "One of debug, info, warning, error.")
    root_path: str = _setting("", "Path prefix that a proxy strips, such as /iris.")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    flag: str
    env: str
    type: type
    default: Any
    help: str


def _table() -> tuple[Setting, ...]:
    return tuple(
        Setting(
            name=f.name,
            flag="--" + f.name.replace("_", "-"),
            env=ENV_PREFIX + f.name.upper(),
            type=type(f.default),
            default=f.default,
            help=f.metadata["help"],
        )
        for f in fields(Settings)
    )


SETTINGS = _table()
_CHECKS = {
    "port": (lambda v: 0 <= v <= 65535, "a port from 0 to 65535"),
    "max_body": (lambda v: v > 0, "a positive number of bytes"),
    "max_rows": (lambda v: v > 0, "a positive number of rows"),
    "keep_alive": (lambda v: v > 0, "a positive number of seconds"),
    "shutdown_timeout": (lambda v: v > 0, "a positive number of seconds"),
    "log_level": (
        lambda v: v in ("debug", "info", "warning", "error"),
        "one of debug, info, warning, error",
    ),
    "root_path": (
        lambda v: v == "" or (v.startswith("/") and not v.endswith("/")),
        "empty, or a path that starts with / and doesn't end with it",
    ),
}


def read_settings(
    arguments: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings in force. None among the arguments counts as not given. Raises SettingsError."""
    given = {k: v for k, v in (arguments or {}).items() if v is not None}
    env = os.environ if environment is None else environment
    values = {
        s.name: _from_text(s, env[s.env]) for s in SETTINGS if s.name not in given and s.env in env
    }
    values.update(given)
    for name, value in values.items():
        check, wanted = _CHECKS.get(name, (lambda _: True, ""))
        if not check(value):
            raise SettingsError(f"{name} is {value!r}, and must be {wanted}")
    return Settings(**values)


def _from_text(setting: Setting, text: str) -> Any:
    if setting.type is bool:
        known = {
            "1": True,
            "true": True,
            "yes": True,
            "0": False,
            "false": False,
            "no": False,
            "": False,
        }
        if text.lower() not in known:
            raise SettingsError(f"{setting.env} is {text[:64]!r}, and must be true or false")
        return known[text.lower()]
    if setting.type is int:
        if not text.strip().isdecimal():
            raise SettingsError(f"{setting.env} is {text[:64]!r}, and must be a whole number")
        return int(text)
    return text
