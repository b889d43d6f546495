"""What an image is called and what it runs on, read as Docker reads it; the only door for a user's names.

The grammar is that of github.com/distribution/reference: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`, where the first part
is a registry if it holds a dot, a colon or a capital letter, or is localhost. Whatever passes holds letters, digits
and `._-/:@[]` alone, so it is harmless in a URL, a header, a file name or an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from onnxport.errors import BuildError, shorten
from onnxport.image.parts import Platform

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"

_MAX_NAME = 255  # of registry and repository together
_MAX_TEXT = _MAX_NAME + 1 + 128 + 1 + 71
_MAX_PLATFORMS = 20  # named one after another, the same ones again and again
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")

_ARCHITECTURES = {
    "amd64": "amd64",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "arm64": "arm64",
    "aarch64": "arm64",
    "arm64/v8": "arm64",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A complete name. tag: None where a digest alone says which image. digest: None where the tag does."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository, as Docker shows them: `docker.io` and `library/` are understood."""
        if self.registry != DOCKER_HUB:
            return f"{self.registry}/{self.repository}"
        short = self.repository.removeprefix("library/")
        is_clear = _split_registry(short) == (DOCKER_HUB, self.repository)
        return short if is_clear else f"{DOCKER_HUB}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return self.name + tag + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """A name such as `iris:1`, `ghcr.io/team/iris:1` or `python@sha256:...`; without tag and digest, `latest` is meant.

    Raises BuildError for anything else.
    """
    if len(text) > _MAX_TEXT:
        raise _no_name(text, f"it has {len(text)} characters, and no name has that many")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        # what stands before may be a password
        raise _no_name(f"...@{digest}", "after @ stand sha256: and 64 hexadecimal digits alone")
    name, tag = _split_tag(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _no_name(text, "a tag has 1 to 128 letters, digits, dots, dashes and underscores")
    registry, repository = _split_registry(name)
    _check_name(text, registry, repository)
    if tag is None and not at:
        tag = DEFAULT_TAG
    return Reference(registry, repository, tag, digest if at else None)


def is_digest(text: object) -> bool:
    """Whether something is `sha256:` and 64 hexadecimal digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def parse_platforms(text: str) -> tuple[Platform, ...]:
    """Platforms as `docker build --platform` takes them, `linux/amd64,linux/arm64`, each named once.

    Raises BuildError for an empty list and for what no image of ours runs on.
    """
    named = [_parse_platform(part.strip()) for part in text.split(",", _MAX_PLATFORMS)]
    return tuple(dict.fromkeys(named))


def _parse_platform(text: str) -> Platform:
    os, slash, architecture = text.partition("/")
    if not slash:
        os, architecture = "linux", text
    known = _ARCHITECTURES.get(architecture.lower())
    if os.lower() != "linux" or known is None:
        raise BuildError(
            f"{shorten(text)!r} is no platform that images are built for; "
            "give linux/amd64, linux/arm64, or both with a comma between them"
        )
    return Platform(known)


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon after the last slash begins the tag; one before it begins a port."""
    head, colon, tail = text.rpartition(":")
    if not colon or "/" in tail or text.endswith("]"):
        return text, None
    return head, tail


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_registry = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    registry, repository = (first, rest) if is_registry else (DOCKER_HUB, name)
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def _check_name(text: str, registry: str, repository: str) -> None:
    if "://" in text:
        raise _no_name(text, "it is a URL; leave out what stands before the registry")
    if not _REGISTRY.fullmatch(registry):
        raise _no_name(text, f"{shorten(registry)!r} is no registry's host name")
    if repository != repository.lower() and _REPOSITORY.fullmatch(repository.lower()):
        raise _no_name(text, "a repository's name has no capital letters")
    if not _REPOSITORY.fullmatch(repository):
        raise _no_name(
            text, "a repository's name has small letters, digits, and single ._-/ between them"
        )
    if len(registry) + 1 + len(repository) > _MAX_NAME:
        raise _no_name(text, f"registry and repository have more than {_MAX_NAME} characters")
    if registry == DOCKER_HUB and _HEXADECIMAL.fullmatch(repository.removeprefix("library/")):
        raise _no_name(text, "64 hexadecimal digits are an image's id; give it a name")


def _no_name(text: str, why: str) -> BuildError:
    return BuildError(
        f"{shorten(text)!r} is no image name: {why}; give one such as iris:1 or registry.example.com/team/iris:1"
    )
