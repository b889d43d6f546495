"""Looks for what no image should hold: keys, passwords and tokens, by the forms that their issuers give them."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from typing import IO

from onnxport.errors import shorten

_PIECE = 1 << 22
_OVERLAP = 256  # bytes; no form is longer

# Variables that look like secrets by their name and are none: keys that are public, hashes of keys, files' names.
_HARMLESS = re.compile(r"GPG_KEY|ONNXPORT_API_KEY_HASHES|.*_FILE|.*KEEP_?ALIVE.*", re.IGNORECASE)
_SECRET_NAME = re.compile(r".*(KEY|SECRET|TOKEN|PASSW(OR)?D|CREDENTIAL).*", re.IGNORECASE)
# Each form with the bytes that it can't do without, since looking for those is a hundred times faster.
_FORMS = (
    (
        "a private key",
        (b" PRIVATE KEY-----",),
        rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}",
    ),
    ("an AWS access key", (b"AKIA", b"ASIA"), rb"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    (
        "a GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
        rb"gh[pousr]_[A-Za-z0-9]{36}(?![A-Za-z0-9])",
    ),
    ("a GitLab token", (b"glpat-",), rb"glpat-[A-Za-z0-9_-]{20}(?![A-Za-z0-9])"),
    ("a Slack token", (b"xox",), rb"xox[abpr]-[0-9]{8,}-[A-Za-z0-9-]{20,}"),
    ("a Google API key", (b"AIza",), rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("an onnxport API key", (b"onnxport_",), rb"onnxport_[0-9a-f]{48}(?![0-9a-f])"),
)
_FILES = re.compile(
    r"(^|/)(\.env|\.netrc|\.npmrc|\.pypirc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)"
    r"|\.aws/credentials|\.docker/config\.json|\.kube/config|\.git/config|\.ssh/[^/]+)$"
)


def leaks_of_variables(variables: Iterable[str]) -> Iterator[str]:
    """Sentences about variables, `NAME=value` each, that look like secrets. No value is told."""
    for variable in variables:
        name, _, value = variable.partition("=")
        by_name = _SECRET_NAME.fullmatch(name) and not _HARMLESS.fullmatch(name)
        if value and (by_name or _kinds(value.encode("utf-8", "replace"))):
            yield f"the variable {shorten(name)} is set in the image"


def leaks_of_text(text: bytes, where: str) -> Iterator[str]:
    """Sentences about secrets in a document, such as the configuration with its history."""
    yield from (f"{where} holds {kind}" for kind in sorted(_kinds(text)))


def leaks_of_layer(stream: IO[bytes]) -> Iterator[str]:
    """Sentences about the files of a layer's tar."""
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if not member.isfile():
                continue
            name = shorten(member.name, 200)
            if _FILES.search(member.name) and member.size:
                yield f"/{name} is a file for secrets"
            content = tar.extractfile(member)
            if content is not None:
                yield from _leaks_of_stream(content, f"/{name}")


def _leaks_of_stream(stream: IO[bytes], where: str) -> Iterator[str]:
    found: set[str] = set()
    tail = b""
    while piece := stream.read(_PIECE):
        found |= _kinds(tail + piece)
        tail = piece[-_OVERLAP:]
    yield from (f"{where} holds {kind}" for kind in sorted(found))


def _kinds(content: bytes) -> set[str]:
    """Which forms occur."""
    return {
        kind
        for kind, marks, form in _FORMS
        if any(mark in content for mark in marks) and re.search(form, content)
    }
