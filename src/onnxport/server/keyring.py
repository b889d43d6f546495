"""The API keys in force: those of the environment, read once, and those of a file, read again when it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from onnxport.errors import SettingsError
from onnxport.keys import Keys, parse_keys, union
from onnxport.settings import Settings

log = logging.getLogger(__name__)

HASHES = "ONNXPORT_API_KEY_HASHES"
_SETTLED = (
    2_000_000_000  # nanoseconds after which a second change would have another time of change
)

Stamp = tuple[int, int, int]
_GONE: Stamp = (0, 0, 0)


class Keyring:
    """Keys that may change while the server runs; `generation` rises whenever they do.

    A file that can't be read, or not wholly understood, changes nothing: the keys before stay in force, and one error
    is logged for each such change.
    """

    def __init__(self, keys: Keys, *, fixed: Keys | None, path: Path | None) -> None:
        self.keys, self.generation = keys, 0
        self._fixed, self._path = fixed, path
        self._seen: Stamp | None = None  # of the file as it was read; None: look again
        self._complaint: tuple[Stamp, str] | None = None

    def refresh(self) -> None:
        """Reads the file again if it has changed. Cheap when it hasn't: one look at its time, inode and size."""
        if self._path is None:
            return
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp if time.time_ns() - stamp[0] > _SETTLED else None
        try:
            self._take(_join(read_key_file(self._path), self._fixed))
        except SettingsError as err:
            self._complain(stamp, str(err))

    def _take(self, keys: Keys) -> None:
        self._complaint = None
        if keys != self.keys:
            self.keys = keys
            self.generation += 1
            log.info("API keys in force now: %s", ", ".join(keys.ids))

    def _complain(self, stamp: Stamp, why: str) -> None:
        if self._complaint != (stamp, why):
            self._complaint = (stamp, why)
            log.error("%s; the API keys before stay in force", why)


def open_keyring(settings: Settings, environment: Mapping[str, str]) -> Keyring | None:
    """The keys that the settings and the environment name, or None where neither does.

    Raises SettingsError, also where a named source is empty: what was to be guarded must not stand open.
    """
    fixed = parse_keys(environment[HASHES], source=HASHES) if HASHES in environment else None
    path = Path(settings.api_key_file) if settings.api_key_file else None
    if path is not None:
        return Keyring(_join(read_key_file(path), fixed), fixed=fixed, path=path)
    return None if fixed is None else Keyring(fixed, fixed=fixed, path=None)


def read_key_file(path: Path) -> Keys:
    """The keys of a file of id:sha256 lines. Raises SettingsError."""
    source = f"API key file {path}"
    try:
        return parse_keys(path.read_text("utf-8-sig"), source=source)
    except OSError as err:
        raise SettingsError(f"{source}: {err.strerror}; name a file that can be read") from err
    except UnicodeDecodeError as err:
        raise SettingsError(f"{source} is no text in UTF-8; give it id:sha256 lines") from err


def _join(keys: Keys, fixed: Keys | None) -> Keys:
    if fixed is None:
        return keys
    return union(fixed, keys, sources=f"{HASHES} and the API key file")


def _stamp(path: Path) -> Stamp:
    """What differs when a file has changed."""
    try:
        told = path.stat()
    except OSError:
        return _GONE
    return told.st_mtime_ns, told.st_ino, told.st_size
