"""API keys: shown once when they are made, and known ever after by an id and a SHA-256 hash.

A plain hash is enough, and no salt: a key holds 192 random bits, which nobody guesses, whatever the hash's speed
(NIST SP 800-63B, section 5.1.2.2: look-up secrets of 112 bits or more are hashed, shorter ones salted too).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from onnxport.errors import SettingsError

PREFIX = "onnxport_"  # by which secret scanners, and people, know a key where it shouldn't be
_RANDOM_BYTES = 24
_KEY = re.compile(PREFIX + "[0-9a-f]{8}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9A-Fa-f]{64}")
_OF_NOTHING = hashlib.sha256().digest()
_ID_FORM = (
    "an id has 1 to 64 letters, digits, dots, hyphens or underscores, the first a letter or digit, "
    "and is no key itself"
)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: `key` is for the caller, `line` for the server."""

    id: str
    key: str = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.key.encode()).hexdigest()

    @property
    def line(self) -> str:
        return f"{self.id}:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that a server knows: pairs of an id and the 32 bytes of the key's hash; `parse_keys` makes them."""

    known: tuple[tuple[str, bytes], ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.known)

    def find(self, presented: bytes) -> str | None:
        """The id of a presented key, or None.

        Every known hash is compared, each in constant time, so that how long it takes tells nothing of any key.
        """
        digest = hashlib.sha256(presented).digest()
        found = None
        for name, known in self.known:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def new_key(name: str | None = None) -> NewKey:
    """A new key of 192 random bits. name: its id, by which logs tell of it; by default a random one.

    Raises SettingsError for a name that can't be an id.
    """
    known_as = f"key-{secrets.token_hex(4)}" if name is None else name
    if not _is_id(known_as):
        raise SettingsError(f"the name that was given is no id for a key; {_ID_FORM}")
    return NewKey(known_as, PREFIX + secrets.token_hex(_RANDOM_BYTES))


def parse_keys(text: str, *, source: str) -> Keys:
    """The keys of a text: one `id:sha256` a line, or several in a line by commas; # begins a comment line.

    source: what the text is called in errors. They tell the line and never its content, which may be a key.
    Raises SettingsError: a line of another form, an id or a key that stands twice, or no key at all.
    """
    lines: dict[str | bytes, int] = {}
    known = []
    for number, entry in _entries(text):
        where = f"{source}, line {number}"
        name, digest = _parse(entry, where)
        for seen, what in ((name, f"the id {name!r}"), (digest, f"the key of {name!r}")):
            if seen in lines:
                raise SettingsError(
                    f"{where}: {what} stands in line {lines[seen]} already; keep one"
                )
            lines[seen] = number
        known.append((name, digest))
    if not known:
        raise SettingsError(f"{source} holds no key; make one with `onnxport key`")
    return Keys(tuple(known))


def union(first: Keys, second: Keys, *, sources: str) -> Keys:
    """The keys of two sources, where the same line may stand in both.

    Raises SettingsError where they disagree on which key an id is of, or on a key's id.
    """
    by_id, by_hash = dict(first.known), {digest: name for name, digest in first.known}
    for name, digest in second.known:
        if by_id.get(name, digest) != digest:
            raise SettingsError(f"{sources} have different keys of the id {name!r}; rename one")
        if by_hash.get(digest, name) != name:
            raise SettingsError(
                f"{sources} have one key as {by_hash[digest]!r} and as {name!r}; keep one of them"
            )
        by_id[name] = digest
    return Keys(tuple(by_id.items()))


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """What stands in the lines, with their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        for entry in line.split(","):
            yield number, entry.strip()


def _parse(entry: str, where: str) -> tuple[str, bytes]:
    name, colon, digest = entry.partition(":")
    if _KEY.search(entry):
        raise SettingsError(
            f"{where} holds a key itself, which now is no secret; make another with `onnxport key`, "
            "and put its id:sha256 line here"
        )
    if not colon:
        raise SettingsError(f"{where} is not of the form id:sha256, as `onnxport key` prints it")
    if not _is_id(name):
        raise SettingsError(f"{where} has no good id before the colon; {_ID_FORM}")
    if not _HASH.fullmatch(digest):
        raise SettingsError(f"{where} has no SHA-256 of 64 hexadecimal digits after the colon")
    if bytes.fromhex(digest) == _OF_NOTHING:
        raise SettingsError(f"{where} has the hash of an empty text; make a key: `onnxport key`")
    return name, bytes.fromhex(digest)


def _is_id(name: str) -> bool:
    return _ID.fullmatch(name) is not None and not _KEY.search(name)
