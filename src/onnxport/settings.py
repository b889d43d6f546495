"""The settings of `onnxport serve`: one frozen value, from arguments, then the environment, then defaults.

`SETTINGS` is the one table: the command line's options and the documentation derive from it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from onnxport.errors import SettingsError

ENV_PREFIX = "ONNXPORT_"
OTHER_ENV = ("ONNXPORT_API_KEY", "ONNXPORT_API_KEY_HASHES", "ONNXPORT_MODEL")  # read elsewhere


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told. Sizes in bytes, times in seconds."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8000, "Port to listen on; 0 takes a free one.")
    workers: int = _setting(1, "Processes that answer, on one socket.")
    threads: int = _setting(
        0, "Threads for large models and batches; 0: as many as there are processors to use."
    )
    api_key_file: str = _setting("", "File of id:sha256 lines, one an API key (onnxport key).")
    public: str = _setting("docs", "What needs no key, of docs, metrics, model; by commas.")
    insecure: bool = _setting(
        False, "Allow an address that other machines reach without asking for API keys."
    )
    tls_cert: str = _setting("", "File of the certificate chain (PEM); serves https.")
    tls_key: str = _setting("", "File of the certificate's private key (PEM).")
    hosts: str = _setting("", "Host names that callers may use, by commas; empty: any.")
    cors_origins: str = _setting("", "Origins whose pages may call the API, by commas, or *.")
    max_body: int = _setting(4 * 1024 * 1024, "Largest request body, in bytes.")
    max_rows: int = _setting(10_000, "Most rows in one request.")
    max_cells: int = _setting(1_000_000, "Most values in one request: rows times features.")
    max_string: int = _setting(64 * 1024, "Longest string in a row, in characters.")
    max_connections: int = _setting(4096, "Most open connections to one worker.")
    max_wait: int = _setting(1, "Seconds that a request may queue; beyond, it is refused with 503.")
    deadline: int = _setting(10, "Seconds after which an unanswered request is given up with 503.")
    keep_alive: int = _setting(
        75, "Seconds that an idle connection is kept; above a load balancer's 60."
    )
    shutdown_timeout: int = _setting(
        9, "Seconds that accepted requests may take to finish after SIGTERM."
    )
    log_level: str = _setting("info", "One of debug, info, warning, error.")
    log_format: str = _setting("auto", "One of json, text; auto: text in a terminal.")
    access_log: bool = _setting(False, "Log a line for each request.")
    slow_request: int = _setting(1000, "Milliseconds from which a request is logged as slow.")
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
    "host": (lambda v: "[" not in v, "an address without brackets, such as ::1"),
    "port": (lambda v: 0 <= v <= 65535, "a port from 0 to 65535"),
    "workers": (lambda v: 0 < v <= 512, "a number of processes from 1 to 512"),
    "threads": (lambda v: 0 <= v <= 512, "a number of threads, or 0"),
    "public": (
        lambda v: set(listed(v)) <= {"docs", "metrics", "model"},
        "any of docs, metrics, model, by commas",
    ),
    "max_body": (lambda v: v > 0, "a positive number of bytes"),
    "max_string": (lambda v: v > 0, "a positive number of characters"),
    "max_rows": (lambda v: v > 0, "a positive number of rows"),
    "max_cells": (lambda v: v > 0, "a positive number of values"),
    "max_connections": (lambda v: v > 0, "a positive number of connections"),
    **dict.fromkeys(
        ("max_wait", "deadline", "keep_alive", "shutdown_timeout"),
        (lambda v: v > 0, "a positive number of seconds"),
    ),
    "log_format": (lambda v: v in ("auto", "json", "text"), "one of auto, json, text"),
    "slow_request": (lambda v: v > 0, "a positive number of milliseconds"),
    "log_level": (
        lambda v: v in ("debug", "info", "warning", "error"),
        "one of debug, info, warning, error",
    ),
    "root_path": (
        lambda v: v == "" or (v.startswith("/") and not v.endswith("/")),
        "empty, or a path that starts with / and doesn't end with it",
    ),
}


def listed(text: str) -> list[str]:
    """The words of a setting that holds several by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def read_settings(
    arguments: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings in force. None among the arguments counts as not given.

    Raises SettingsError for a value that doesn't fit, named as it was given: by its option or its variable; and for a
    variable that is nearly a known one.
    """
    given = {k: v for k, v in (arguments or {}).items() if v is not None}
    env = os.environ if environment is None else environment
    _refuse_misspelt(env)
    values = {
        s.name: _from_text(s, env[s.env]) for s in SETTINGS if s.name not in given and s.env in env
    }
    values.update(given)
    for setting in SETTINGS:
        check, wanted = _CHECKS.get(setting.name, (lambda _: True, ""))
        if setting.name in values and not check(values[setting.name]):
            told = setting.flag if setting.name in given else setting.env
            raise SettingsError(f"{told} is {values[setting.name]!r}, and must be {wanted}")
    return Settings(**values)


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """A variable that is nearly a known one would be passed over in silence."""
    known = [name.removeprefix(ENV_PREFIX) for name in (*(s.env for s in SETTINGS), *OTHER_ENV)]
    for variable in sorted(environment):
        name = variable.removeprefix(ENV_PREFIX)
        if name == variable or name in known:
            continue
        near = difflib.get_close_matches(name[:64], known, n=1, cutoff=0.75)
        if near:
            raise SettingsError(
                f"{variable[:64]} is no setting; did you mean {ENV_PREFIX}{near[0]}? Rename or unset it"
            )


def _from_text(setting: Setting, text: str) -> Any:
    if setting.type is bool:
        known = {
            **dict.fromkeys(("1", "true", "yes", "on"), True),
            **dict.fromkeys(("0", "false", "no", "off", ""), False),
        }
        if text.lower() not in known:
            raise SettingsError(f"{setting.env} is {text[:64]!r}, and must be true or false")
        return known[text.lower()]
    if setting.type is int:
        if not text.strip().isdecimal():
            raise SettingsError(f"{setting.env} is {text[:64]!r}, and must be a whole number")
        return int(text)
    return text
