"""`[server]` in `onnxport.toml`: settings of `onnxport serve` that the image takes as environment variables."""

from __future__ import annotations

from typing import Any

from onnxport.deploy.forms import suggestion
from onnxport.deploy.values import echo
from onnxport.errors import SettingsError, shorten
from onnxport.settings import SETTINGS, read_settings

# Those that mean something behind Elastic Beanstalk's proxy; max_body follows limits.body_mb.
NAMES = (
    *("workers", "threads", "public", "cors_origins", "max_rows", "max_cells", "max_string"),
    *("max_connections", "max_wait", "deadline", "log_level", "access_log", "slow_request"),
)
_KNOWN = {setting.name: setting for setting in SETTINGS if setting.name in NAMES}
VARIABLES = {setting.env: f"server.{name}" for name, setting in _KNOWN.items()}
_WORDS = {str: "a text in quotes", int: "a whole number", bool: "true or false"}
_MAX_TEXT = 512


def read(key: str, value: Any) -> tuple[str, str]:
    """The variable and its value. Raises SettingsError: the sentence has no place, which the caller knows."""
    called = f"server.{shorten(key)}"
    setting = _KNOWN.get(key)
    if setting is None:
        raise SettingsError(
            f"{called} is no setting that can be given here{suggestion(key, NAMES)}"
        )
    if type(value) is not setting.type:
        raise SettingsError(f"{called} is {echo(value)}, and must be {_WORDS[setting.type]}")
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{called} must have printable ASCII characters alone")
    if len(str(value)) > _MAX_TEXT:
        raise SettingsError(f"{called} is longer than {_MAX_TEXT} characters")
    try:
        read_settings({key: value}, {})
    except SettingsError as err:
        raise SettingsError(f"{called}{str(err).removeprefix(setting.flag)}") from err
    return setting.env, _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
