"""Who may call: the key of golden requests, which stays here, and the hashes of all keys, which are deployed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from onnxport.deploy.intent import Intent
from onnxport.deploy.starting import KEY_ID
from onnxport.errors import SettingsError
from onnxport.keys import Keys, parse_keys, union

VARIABLE = "ONNXPORT_API_KEY"  # as for other commands that call a URL
_LEAST = 16  # characters; of less, a hash tells too much
_MAX_FILE = 64 * 1024
_OTHERS = 0o077  # rights of group and others


def read_key(
    intent: Intent, folder: str | Path, environment: Mapping[str, str] | None = None
) -> str | None:
    """The key that golden requests send: of its file, or of ONNXPORT_API_KEY where there is no file; None without auth.

    Raises SettingsError for a missing key, and for what can't be one; it is never told.
    """
    if intent.auth == "none":
        return None
    path = Path(folder) / intent.key_file
    given = (os.environ if environment is None else environment).get(VARIABLE, "")
    if path.exists() or not given:
        return _checked(_read(path, _MISSING).strip(), f"key_file {path.name}")
    return _checked(given.strip(), VARIABLE)


def exposed(intent: Intent, folder: str | Path) -> str:
    """A sentence where other users of this machine may read or change the file of the key; else ""."""
    path = Path(folder) / intent.key_file
    if intent.auth == "none" or os.name != "posix" or not path.is_file():
        return ""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _OTHERS:
        return ""
    return f"{path.name} can be read by others on this machine (mode {mode:o}); run `chmod 600 {path.name}`"


_MISSING = (
    "isn't here; make one with `onnxport deploy --init`, set ONNXPORT_API_KEY, "
    'or write auth = "none" to let anybody call'
)


def hash_lines(intent: Intent, folder: str | Path, key: str | None) -> tuple[str, ...]:
    """The `id:sha256` lines that the server is given, in order of id; none without auth.

    key: what `read_key` gave. Raises SettingsError for a `more_keys` file that can't be read.
    """
    if key is None:
        return ()
    keys = Keys(((KEY_ID, hashlib.sha256(key.encode()).digest()),))
    if intent.more_keys:
        path = Path(folder) / intent.more_keys
        more = parse_keys(_read(path, "isn't here"), source=path.name)
        keys = union(keys, more, sources=f"key_file and {path.name}")
    return tuple(f"{name}:{digest.hex()}" for name, digest in sorted(keys.known))


def _read(path: Path, missing: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE).decode("utf-8")
    except FileNotFoundError as err:
        raise SettingsError(f"{path.name} {missing}") from err
    except OSError as err:
        raise SettingsError(f"{path.name} can't be read: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise SettingsError(f"{path.name} is no text file; it should hold a key") from err


def _checked(key: str, source: str) -> str:
    if len(key) < _LEAST or not (key.isascii() and key.isprintable()) or " " in key:
        raise SettingsError(
            f"{source} holds no API key: one line of at least {_LEAST} printable characters without spaces; put there "
            "what `onnxport key` shows as `key` (its `line` isn't needed: the hash is made of the key)"
        )
    if ":" in key:
        raise SettingsError(
            f"{source} holds an id:sha256 line, and golden requests need the key itself; such lines "
            "belong in the file of more_keys"
        )
    return key
