"""Who we are at a registry: given by the user, or found where `docker login` keeps it. No secret enters an argument.

Docker's files: https://docs.docker.com/reference/cli/docker/login/; the helpers' protocol:
https://github.com/docker/docker-credential-helpers, `docker-credential-NAME get` with the server on stdin.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxport.errors import BuildError
from onnxport.image.reference import DOCKER_HUB

_HUB_KEY = "https://index.docker.io/v1/"
_MAX_CONFIG = 4 * 1024 * 1024
_HELPER_SECONDS = 60
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOKEN_USER = "<token>"  # what a helper calls an identity token's user
_NOT_FOUND = b"credentials not found"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password, or an identity token, which a token server changes for others.

    source: where they were found, in the words of a message.
    """

    user: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    source: str = "the command line"

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        pair = f"{self.user}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def redact(self, text: str) -> str:
        """A text of the registry's without our secrets, should it repeat them."""
        secrets = (self.basic.removeprefix("Basic "), self.password, self.identity_token)
        for secret in secrets:
            if secret:
                text = text.replace(secret, "***")
        return text


def find_credentials(
    registry: str,
    user: str | None = None,
    password: str | None = None,
    config_dir: Path | None = None,
) -> Credentials | None:
    """The user and password given, else what Docker's configuration holds for the registry, else None.

    config_dir: instead of `$DOCKER_CONFIG` or `~/.docker`. Raises BuildError for half of a pair, for a configuration
    that can't be read, and for a helper that fails.
    """
    if user is not None or password is not None:
        return _given(user, password)
    path = _config_path(config_dir)
    document = _read_config(path)
    helper = _helper(document, registry, path)
    if helper is not None:
        found = _ask_helper(helper, _server(registry), path)
        if found is not None:
            return found
    return _stored(document, registry, path)


def _given(user: str | None, password: str | None) -> Credentials:
    if not user or not password:
        missing = "a password" if user else "a user"
        raise BuildError(
            f"{missing} is missing for the registry; give --registry-user and the password on stdin"
        )
    password = password.removesuffix("\n").removesuffix("\r")
    if ":" in user or not _is_line(user) or not password or not _is_line(password):
        raise BuildError(
            "the registry's user holds a colon, or user or password a character that no line has; "
            "give both as the registry knows them"
        )
    return Credentials(user, password)


def _is_line(text: str) -> bool:
    return all(character >= " " and character != "\x7f" for character in text)


def _config_path(config_dir: Path | None) -> Path:
    if config_dir is not None:
        return config_dir / "config.json"
    given = os.environ.get("DOCKER_CONFIG", "")
    if given:
        return Path(given) / "config.json"
    try:
        return Path.home() / ".docker" / "config.json"
    except RuntimeError:
        return Path(os.devnull)  # no home folder, so nobody logged in


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_CONFIG + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as err:
        raise BuildError(f"{path} can't be read ({err.strerror}); correct its rights") from err
    if len(content) > _MAX_CONFIG:
        raise BuildError(f"{path} has more than {_MAX_CONFIG} bytes; run docker login anew")
    try:
        document = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError):
        # without a cause: the decoder's error carries the text, and with it the secrets
        raise BuildError(f"{path} is no JSON; run docker login anew") from None
    if not isinstance(document, dict):
        raise BuildError(f"{path} is no JSON object; run docker login anew")
    return document


def _helper(document: Mapping[str, Any], registry: str, path: Path) -> str | None:
    """The credential helper for a registry, by its name."""
    helpers = _mapping(document, "credHelpers", path)
    name = next((helpers[key] for key in _keys(helpers, registry)), document.get("credsStore"))
    if name in (None, ""):
        return None
    if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
        raise BuildError(f"{path} names a credential helper that can't be one; correct it")
    return name


def _ask_helper(name: str, server: str, path: Path) -> Credentials | None:
    program = f"docker-credential-{name}"
    found = shutil.which(program)
    if found is None:
        raise BuildError(
            f"{path} names the credential helper {program}, which isn't on PATH; "
            "install it, or take it out of that file"
        )
    done = _run_helper([found, "get"], server)
    if done.returncode and _NOT_FOUND in done.stdout:
        return None
    if done.returncode:  # its words may hold secrets, so they aren't repeated
        raise BuildError(
            f"{program} failed with exit code {done.returncode}; run `{program} get` by hand, with {server} on stdin, "
            "to see why",
            command=(found, "get"),
        )
    try:
        answer = json.loads(done.stdout)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise _no_answer(program) from None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise _no_answer(program)
    return _known(user, secret, program)


def _run_helper(command: list[str], server: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command,
            input=server.encode(),
            capture_output=True,
            check=False,
            timeout=_HELPER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(
            f"{command[0]} gave no answer within {_HELPER_SECONDS} s; perhaps it waits for a password in another window"
        ) from None
    except OSError as err:
        raise BuildError(f"{command[0]} can't be run: {err.strerror}; install it anew") from err


def _no_answer(program: str) -> BuildError:
    return BuildError(f"{program} gave no user and secret; log in to the registry again")


def _stored(document: Mapping[str, Any], registry: str, path: Path) -> Credentials | None:
    """What stands in the file itself, as base64 of `user:password` or as fields."""
    entries = _mapping(document, "auths", path)
    for key in _keys(entries, registry):
        entry = entries[key]
        if not isinstance(entry, dict):
            raise BuildError(f"{path} has an entry for {registry} that is none; log in again")
        user, password = _decode(entry, registry, path)
        token = entry.get("identitytoken") or ""
        if isinstance(token, str) and token:
            return Credentials(user, password, token, str(path))
        if user and password:
            return _known(user, password, str(path))
    return None


def _decode(entry: Mapping[str, Any], registry: str, path: Path) -> tuple[str, str]:
    packed = entry.get("auth") or ""
    if not packed:
        return str(entry.get("username") or ""), str(entry.get("password") or "")
    try:
        pair = base64.b64decode(packed, validate=True).decode("utf-8").rstrip("\0")
    except (binascii.Error, ValueError, TypeError):
        pair = ""
    user, colon, password = pair.partition(":")
    if not colon:
        raise BuildError(
            f"{path} has an entry for {registry} that is no base64 of a user and a password; log in again"
        )
    return user, password


def _known(user: str, secret: str, source: str) -> Credentials:
    if user == _TOKEN_USER:
        return Credentials("", "", secret, source)
    return Credentials(user, secret, "", source)


def _mapping(document: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    found = document.get(name) or {}
    if not isinstance(found, dict):
        raise BuildError(f"{path}: {name} is no JSON object; run docker login anew")
    return found


def _server(registry: str) -> str:
    """What Docker calls a registry in its files: the Hub by the address that it had at first."""
    return _HUB_KEY if registry == DOCKER_HUB else registry


def _keys(entries: Mapping[str, Any], registry: str) -> list[str]:
    """The entries for a registry: its name as it is, then those that hold a scheme or a path around it."""
    server = _server(registry)
    names = {"docker.io", "index.docker.io"} if registry == DOCKER_HUB else {registry}
    exact = [key for key in entries if key == server]
    return exact + [key for key in entries if key != server and _host(key) in names]


def _host(key: str) -> str:
    return key.rpartition("://")[2].partition("/")[0]
