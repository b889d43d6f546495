"""From a registry: manifests by tag, digest and platform, and blobs into the store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from onnxport.errors import BuildError, shorten
from onnxport.image.manifests import LIST_TYPES, MANIFEST_TYPES, choose, kind_of, parse_list
from onnxport.image.parts import Blob, Platform, digest_of
from onnxport.image.reference import Reference
from onnxport.image.registry.link import Link, Progress, announced
from onnxport.image.registry.wire import Request
from onnxport.image.store import Store, WrongBytes

ACCEPT = {"Accept": ", ".join((*MANIFEST_TYPES, *LIST_TYPES))}


class Manifest(NamedTuple):
    """A manifest as it was delivered, and its digest."""

    content: bytes
    media_type: str
    digest: str


def fetch_manifest(link: Link, reference: Reference, platform: Platform) -> Manifest:
    """One image's manifest: the one named, or the platform's where a list is named."""
    named = _fetch(link, reference, reference.digest or reference.tag or "")
    if named.media_type not in LIST_TYPES:
        return named
    try:
        entry = choose(parse_list(named.content), platform)
    except BuildError as err:
        raise BuildError(f"{reference}: {err}") from err
    found = _fetch(link, reference, entry.digest)
    if found.media_type not in MANIFEST_TYPES or len(found.content) != entry.size:
        raise BuildError(f"{reference} is a list that names no image for {platform}; push it anew")
    return found


def fetch_blob(
    link: Link, reference: Reference, digest: str, size: int, store: Store, title: str
) -> Blob:
    """A blob of the reference's repository, from the store if it is there already."""
    there = store.find(digest, size=size)
    if there is not None:
        link.tell(Progress("there", title, digest, size, size))
        return there
    try:
        return link.persist(
            title, partial(_fetch_blob, link, reference, digest, size, store, title)
        )
    except WrongBytes as err:
        raise BuildError(f"{link.registry}, {title} of {reference}: {err}") from err


def _fetch(link: Link, reference: Reference, name: str) -> Manifest:
    path = f"/v2/{reference.repository}/manifests/{name}"
    request = _get(path, reference, f"image {reference}", ACCEPT)
    answer = link.call("manifest", request, HTTPStatus.OK)
    digest = digest_of(answer.content)
    wanted = name if name.startswith("sha256:") else announced(answer) or digest
    if digest != wanted:
        raise BuildError(
            f"{link.registry} delivers a manifest of {reference} with the digest {digest} instead of "
            f"{shorten(wanted, 80)}; it was damaged or exchanged on the way, try again or another registry"
        )
    try:
        kind = kind_of(answer.content, answer.headers.get("Content-Type", ""))
    except BuildError as err:
        raise BuildError(f"{reference}: {err}") from err
    return Manifest(answer.content, kind, digest)


def _fetch_blob(
    link: Link, reference: Reference, digest: str, size: int, store: Store, title: str
) -> Blob:
    """One try."""
    path = f"/v2/{reference.repository}/blobs/{digest}"
    request = _get(path, reference, f"layer {digest} of {reference}", {})
    with (
        link.wire.download(request) as pieces,
        store.writing(digest=digest, size=size) as writing,
    ):
        for piece in pieces:
            writing.write(piece)
            link.tell(Progress("fetching", title, digest, writing.size, size))
    link.tell(Progress("done", title, digest, size, size))
    return writing.blob


def _get(path: str, reference: Reference, missing: str, headers: Mapping[str, str]) -> Request:
    doing = f"fetch {reference.name}"
    return Request("GET", path, reference.repository, doing, missing, headers=headers)
