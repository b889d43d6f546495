"""Manifests, lists of them and configurations as others write them, Docker's and OCI's, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.errors import BuildError, shorten
from onnxport.image.parts import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_LIST_TYPE,
    MANIFEST_TYPE,
    Platform,
)
from onnxport.image.reference import is_digest

OCI_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPES = (MANIFEST_TYPE, OCI_MANIFEST_TYPE)
LIST_TYPES = (MANIFEST_LIST_TYPE, OCI_INDEX_TYPE)
MAX_DOCUMENT = (
    4 * 1024 * 1024
)  # bytes; what registries take for a manifest, and ample for a configuration

MAX_BLOB = 16 << 30  # bytes of one layer

GZIP, PLAIN, ZSTD = "gzip", "plain", "zstd"
_COMPRESSIONS = {
    LAYER_TYPE: GZIP,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": PLAIN,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": ZSTD,
    "application/vnd.oci.image.layer.v1.tar": PLAIN,
    "application/vnd.oci.image.layer.v1.tar+gzip": GZIP,
    "application/vnd.oci.image.layer.v1.tar+zstd": ZSTD,
    "application/vnd.oci.image.layer.nondistributable.v1.tar": PLAIN,
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": GZIP,
}
_CONFIG_TYPES = frozenset({CONFIG_TYPE, "application/vnd.oci.image.config.v1+json"})
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_MAX_LAYERS = 500
_MAX_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of a blob or of another manifest.

    platform: only in lists, and not in all. name: what an archive calls the image, or "".
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    name: str = ""

    @property
    def compression(self) -> str:
        """How a layer is packed: "gzip" or "plain". Raises BuildError for zstd and for what is no layer."""
        found = _COMPRESSIONS.get(self.media_type)
        if found is None:
            raise BuildError(
                f"layer {self.digest} is of the kind {shorten(self.media_type, 100)!r}, "
                "which is no tar; take another base"
            )
        if found == ZSTD:
            raise BuildError(
                f"layer {self.digest} is compressed with zstd, which Docker before 23 and AWS Lambda don't take; "
                "take a base whose layers are compressed with gzip"
            )
        return found


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """One image: its configuration's blob and its layers', from the lowest."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """What is needed of an image's configuration. document: all of it."""

    platform: Platform
    diff_ids: tuple[str, ...]
    document: dict[str, Any]


def kind_of(content: bytes, told: str = "") -> str:
    """The media type of a manifest: what it says itself, else what came with it, else what it looks like.

    Raises BuildError for what is neither one image nor a list, and for what could be read as both.
    """
    document = _parse(content, "manifest")
    if "manifests" in document and ("layers" in document or "config" in document):
        raise BuildError("the manifest is an image and a list at once; nobody can tell which")
    own = document.get("mediaType", told.partition(";")[0].strip())
    if own in MANIFEST_TYPES or own in LIST_TYPES:
        return str(own)
    if document.get("schemaVersion") == 1:
        raise BuildError("the manifest has the schema 1 of 2014; push the image anew")
    if isinstance(document.get("manifests"), list):
        return OCI_INDEX_TYPE
    if isinstance(document.get("layers"), list):
        return OCI_MANIFEST_TYPE
    raise BuildError(f"{shorten(str(own), 100)!r} is no kind of manifest that images have")


def parse_manifest(content: bytes) -> ImageManifest:
    """One image's manifest. Raises BuildError for what isn't one, and for other things than images, such as charts."""
    document = _parse(content, "manifest")
    config = _descriptor(document.get("config"), "config")
    if config.media_type not in _CONFIG_TYPES:
        raise BuildError(
            f"what is named is no container image, but {shorten(config.media_type, 100)!r}"
        )
    if config.size > MAX_DOCUMENT:
        raise BuildError(f"the image's configuration has more than {MAX_DOCUMENT} bytes")
    layers = _list(document, "layers", _MAX_LAYERS)
    return ImageManifest(config, tuple(_descriptor(layer, "layer") for layer in layers))


def parse_list(content: bytes) -> tuple[Descriptor, ...]:
    """The entries of a manifest list or an OCI index; attestations, which run nowhere, are left out."""
    entries = _list(_parse(content, "list"), "manifests", _MAX_ENTRIES)
    found = [_descriptor(entry, "entry") for entry in entries]
    return tuple(
        one for one in found if one.platform is None or one.platform.architecture != "unknown"
    )


def choose(entries: Sequence[Descriptor], platform: Platform) -> Descriptor:
    """The entry for a platform. Raises BuildError, naming the platforms that there are."""
    for entry in entries:
        if entry.platform == platform:
            return entry
    there = ", ".join(sorted({str(entry.platform) for entry in entries if entry.platform}))
    has = f"it has {shorten(there, 200)}" if there else "it names no platforms"
    raise BuildError(f"there is no image for {platform}; {has}")


def parse_config(content: bytes) -> Config:
    """An image's configuration; `config` inside it may be empty or missing, as in an imported root."""
    document = _parse(content, "configuration")
    root = document.get("rootfs")
    listed = _list(root, "diff_ids", _MAX_LAYERS) if isinstance(root, dict) else []
    if not all(is_digest(entry) for entry in listed):
        raise BuildError("the image's configuration has a diff_id that is no digest")
    platform = _platform(document)
    if platform is None:
        raise BuildError("the image's configuration names no architecture; build or import it anew")
    return Config(platform, tuple(listed), document)


def _parse(content: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(content) if len(content) <= MAX_DOCUMENT else None
    except (ValueError, RecursionError) as err:
        raise BuildError(f"the image's {what} is no JSON; it was damaged on the way") from err
    if not isinstance(document, dict):
        raise BuildError(f"the image's {what} is no JSON object of at most {MAX_DOCUMENT} bytes")
    return document


def _list(document: dict[str, Any], field: str, limit: int) -> list[Any]:
    found = document.get(field)
    if not isinstance(found, list) or len(found) > limit:
        raise BuildError(f"an image's document has no list {field} of at most {limit}")
    return found


def _descriptor(entry: Any, what: str) -> Descriptor:
    if not isinstance(entry, dict):
        raise BuildError(f"the manifest's {what} is no JSON object")
    digest, size, kind = entry.get("digest"), entry.get("size"), entry.get("mediaType")
    is_size = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_BLOB
    if not is_digest(digest) or not is_size or not isinstance(kind, str):
        raise BuildError(
            f"the manifest's {what} lacks a sha256 digest, a possible size or a media type"
        )
    if entry.get("urls"):
        raise BuildError(f"the manifest's {what} lies at another address; take a base without")
    platform = _platform(entry.get("platform"))
    return Descriptor(kind, str(digest), int(str(size)), platform, _annotated(entry))


def _annotated(entry: dict[str, Any]) -> str:
    """The full name that containerd and Docker write, else the tag that others write."""
    found = entry.get("annotations")
    annotations = found if isinstance(found, dict) else {}
    names = (annotations.get(key) for key in _NAMES)
    return next((name for name in names if isinstance(name, str)), "")


def _platform(entry: Any) -> Platform | None:
    """A platform; of variants only those that our wheels run on, so that 32-bit ARM is never taken for 64-bit."""
    if not isinstance(entry, dict):
        return None
    architecture, os = entry.get("architecture"), entry.get("os", "linux")
    if not (isinstance(architecture, str) and architecture and isinstance(os, str) and os):
        return None
    variant = entry.get("variant") or ""
    if variant and not (architecture == "arm64" and variant == "v8"):
        architecture = f"{architecture}/{variant}"
    return Platform(shorten(architecture), shorten(os))
