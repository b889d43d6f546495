"""The names that callers may use for this server: a request for another one is none of its own.

A page of an attacker whose name suddenly leads to this machine (DNS rebinding) is the reason to have such a list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from onnxport.errors import SettingsError, shorten
from onnxport.settings import listed

_NAME = r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]"
_HOST = re.compile(rf"({_NAME})(?::[0-9]{{0,5}})?")
_LISTED = re.compile(rf"(?:\*\.)?(?:{_NAME})")


@dataclass(frozen=True, slots=True)
class Hosts:
    """An allow-list: `names` as they are, and `suffixes` such as `.example.com`, which take any name before them."""

    names: frozenset[str]
    suffixes: tuple[str, ...]

    def take(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request has one Host header that names a listed host; its port doesn't count."""
        sent = [value for name, value in headers if name == b"host"]
        if len(sent) != 1:
            return False
        found = _HOST.fullmatch(sent[0].decode("latin-1").lower())
        return found is not None and (found[1] in self.names or found[1].endswith(self.suffixes))


def read_hosts(setting: str) -> Hosts | None:
    """The hosts of a setting, or None where it is empty and any will do. Raises SettingsError."""
    words = [word.lower() for word in listed(setting)]
    for word in words:
        if not _LISTED.fullmatch(word):
            raise SettingsError(
                f"--hosts has {shorten(word)!r}; give names such as api.example.com or *.example.com, "
                "without scheme, port or path"
            )
    if not words:
        return None
    return Hosts(
        names=frozenset(word for word in words if not word.startswith("*")),
        suffixes=tuple(word[1:] for word in words if word.startswith("*")),
    )
