"""The user's own tags, `[tags]` in `onnxport.toml`: within AWS's limits, and never ours or AWS's."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from onnxport.deploy.tags import PREFIX
from onnxport.deploy.values import echo
from onnxport.errors import SettingsError, shorten

MOST = 40  # AWS has 50; Elastic Beanstalk takes three, we six
_MAX_KEY, _MAX_VALUE = 128, 256
_RESERVED = ("aws:", "elasticbeanstalk:", PREFIX)


def read(key: str, value: Any) -> tuple[str, str]:
    """One tag. Raises SettingsError: the sentence has no place, which the caller knows."""
    called = f"tags.{shorten(key)}"
    if not isinstance(value, str):
        raise SettingsError(f"{called} is {echo(value)}, and must be a text in quotes")
    if not key or len(key) > _MAX_KEY or len(value) > _MAX_VALUE:
        raise SettingsError(
            f"{called}: a tag's name has 1 to {_MAX_KEY} characters and its value up to {_MAX_VALUE}"
        )
    if key.lower().startswith(_RESERVED) or key == "Name":
        raise SettingsError(f"{called} is a name that AWS or onnxport sets itself; choose another")
    if not (_is_allowed(key) and _is_allowed(value)) or key != key.strip():
        raise SettingsError(f"{called}: tags have letters, digits, spaces and _.:/=+-@ alone")
    return key, value


def _is_allowed(text: str) -> bool:
    r"""AWS's pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*, without the separators that break lines."""
    return all(
        unicodedata.category(c)[0] in "LN" or c == " " or re.fullmatch(r"[_.:/=+\-@]", c)
        for c in text
    )
