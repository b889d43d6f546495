"""What an image is made of: platforms, blobs, layers, and the document that binds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Docker's "image manifest V2, schema 2": the one form that Docker, podman, ECR, Lambda and SageMaker all take.
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(content: bytes) -> str:
    """The content's address: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def canonical(document: Any) -> bytes:
    """The one JSON text of a document: sorted keys, no spaces, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """What an image runs on; `architecture` in Go's words, amd64 or arm64."""

    architecture: str
    os: str = "linux"

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in a file, addressed by their digest. size: in bytes."""

    digest: str
    size: int
    path: Path


@dataclass(frozen=True, slots=True)
class Layer:
    """A gzipped tar. diff_id: the digest of the tar before compression. unpacked: bytes of its files.

    title: what it holds, in a word or two, such as "libraries".
    """

    blob: Blob
    diff_id: str
    unpacked: int
    title: str


@dataclass(frozen=True, slots=True)
class Image:
    """A complete image for one platform. config: the bytes of its configuration, in canonical form."""

    platform: Platform
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def manifest(self) -> bytes:
        """The document whose digest is the image's."""
        config = {
            "digest": digest_of(self.config),
            "mediaType": CONFIG_TYPE,
            "size": len(self.config),
        }
        layers = [
            {"digest": one.blob.digest, "mediaType": LAYER_TYPE, "size": one.blob.size}
            for one in self.layers
        ]
        return canonical(
            {"config": config, "layers": layers, "mediaType": MANIFEST_TYPE, "schemaVersion": 2}
        )

    @property
    def digest(self) -> str:
        """What `NAME@DIGEST` pins."""
        return digest_of(self.manifest)


def manifest_list(images: Sequence[Image]) -> bytes:
    """The document that holds one image for each platform."""
    manifests = [
        {
            "digest": image.digest,
            "mediaType": MANIFEST_TYPE,
            "platform": {"architecture": image.platform.architecture, "os": image.platform.os},
            "size": len(image.manifest),
        }
        for image in sorted(images, key=lambda image: image.platform)
    ]
    return canonical({"manifests": manifests, "mediaType": MANIFEST_LIST_TYPE, "schemaVersion": 2})
