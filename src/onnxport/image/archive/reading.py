"""Reads images in files, in Docker's layout and in OCI's, and believes no digest that it hasn't computed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeGuard

from onnxport.errors import BuildError, shorten
from onnxport.image.archive.layout import (
    BLOBS,
    INDEX,
    MANIFEST,
    place,
)
from onnxport.image.archive.tarball import Tarball, open_tarball, told
from onnxport.image.manifests import (
    LIST_TYPES,
    MAX_DOCUMENT,
    Descriptor,
    kind_of,
    parse_config,
    parse_list,
    parse_manifest,
)
from onnxport.image.parts import digest_of
from onnxport.image.store import digest_of_stream

_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
_MAX_IMAGES = 100
_MAX_DEPTH = 3  # of indexes within indexes


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer in an archive, which was found to have its diff_id."""

    archive: Path
    name: str
    diff_id: str

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its tar, not compressed."""
        with open_tarball(self.archive) as tarball:
            yield tarball.open_packed(self.name, f"{self.archive}, layer {self.diff_id},")


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image in an archive. layers: from the lowest. tags: what it was saved as."""

    config: bytes
    layers: tuple[SavedLayer, ...]
    tags: tuple[str, ...] = ()


def read_archive(path: Path) -> list[SavedImage]:
    """The images in a file, every digest checked, in the order of the file.

    Raises BuildError for what is no saved image, for one that is damaged, and for one that no honest tool writes.
    """
    with open_tarball(path) as tarball, told(path):
        if not {MANIFEST, INDEX} & tarball.names:
            raise _no_image(tarball.names)
        if tarball.refusal is not None:
            raise tarball.refusal
        reader = _Reader(path, tarball)
        images = list(reader.docker() if MANIFEST in tarball.names else reader.oci())
        if not images:
            raise BuildError("it holds no image; save one into it")
    return images


def _no_image(names: set[str]) -> BuildError:
    if any(name.startswith(("usr/", "etc/", "bin/")) for name in names):
        return BuildError("a root file system, no image; run docker import and docker save with it")
    return BuildError(
        f"no saved image: it has neither {MANIFEST} nor {INDEX}; write it with docker save"
    )


class _Reader:
    """Reads one archive. A layer that several images share is checked once."""

    def __init__(self, path: Path, tarball: Tarball) -> None:
        self._path, self._tarball = path, tarball
        self._checked: set[tuple[str, str]] = set()

    def docker(self) -> Iterator[SavedImage]:
        for entry in self._entries():
            config, layers = entry.get("Config"), entry.get("Layers")
            tags = entry.get("RepoTags") or []
            if not (isinstance(config, str) and _is_texts(layers) and _is_texts(tags)):
                raise BuildError(f"{MANIFEST} has an entry that is none; save the image again")
            content = self._tarball.read(_plain(config), MAX_DOCUMENT)
            name = PurePosixPath(config).name.removesuffix(".json")
            if _HEXADECIMAL.fullmatch(name) and digest_of(content) != f"sha256:{name}":
                raise _damaged(config)
            yield self._image(content, [_plain(layer) for layer in layers], tags)

    def oci(self) -> Iterator[SavedImage]:
        index = self._tarball.read(INDEX, MAX_DOCUMENT)
        for count, (content, name) in enumerate(self._manifests(index, _MAX_DEPTH)):
            if count >= _MAX_IMAGES:
                raise BuildError(f"{INDEX} names more than {_MAX_IMAGES} images; save fewer")
            manifest = parse_manifest(content)
            names = [place(layer.digest) for layer in manifest.layers if layer.compression]
            yield self._image(self._document(manifest.config), names, [name] if name else [])

    def _entries(self) -> list[dict[str, Any]]:
        try:
            entries = json.loads(self._tarball.read(MANIFEST, MAX_DOCUMENT))
        except (ValueError, RecursionError) as err:
            raise BuildError(f"{MANIFEST} is no JSON; save the image again") from err
        is_list = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
        if not is_list or len(entries) > _MAX_IMAGES:
            raise BuildError(f"{MANIFEST} is no list of images; save the image again")
        return list(entries)

    def _manifests(self, index: bytes, depth: int) -> Iterator[tuple[bytes, str]]:
        """The manifest and the name of each image in an index and in those below it.

        What a list names may lie elsewhere: of several platforms, Docker saves those that it has.
        """
        entries = parse_list(index)
        if not depth:
            raise BuildError(f"{INDEX} names lists of lists of lists; save the image again")
        for entry in entries:
            if depth < _MAX_DEPTH and place(entry.digest) not in self._tarball.names:
                continue
            content = self._document(entry)
            if kind_of(content, entry.media_type) in LIST_TYPES:
                for inner, name in self._manifests(content, depth - 1):
                    yield inner, name or entry.name
            else:
                yield content, entry.name

    def _document(self, entry: Descriptor) -> bytes:
        content = self._tarball.read(place(entry.digest), MAX_DOCUMENT)
        if digest_of(content) != entry.digest or len(content) != entry.size:
            raise _damaged(entry.digest)
        return content

    def _image(self, config: bytes, names: list[str], tags: list[str]) -> SavedImage:
        """An image whose layers are those that its configuration lists."""
        diff_ids = parse_config(config).diff_ids
        if len(diff_ids) != len(names):
            raise BuildError(
                f"the configuration lists {len(diff_ids)} layers and the manifest {len(names)}; save the image again"
            )
        layers = list(zip(names, diff_ids, strict=True))
        for name, diff_id in layers:
            self._check(name, diff_id)
        return SavedImage(
            config, tuple(SavedLayer(self._path, *layer) for layer in layers), tuple(tags)
        )

    def _check(self, name: str, diff_id: str) -> None:
        """Reads a layer once: its blob has the digest that names it, its tar the one of the configuration."""
        if (name, diff_id) in self._checked:
            return
        if (
            name.startswith(BLOBS)
            and digest_of_stream(self._tarball.open(name)) != f"sha256:{name[len(BLOBS) :]}"
        ):
            raise _damaged(name)
        if digest_of_stream(self._tarball.open_packed(name, f"layer {diff_id}")) != diff_id:
            raise _damaged(diff_id)
        self._checked.add((name, diff_id))


def _plain(name: str) -> str:
    """A name as the archive's own index spells it."""
    return str(PurePosixPath(name))


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _damaged(what: str) -> BuildError:
    return BuildError(
        f"{shorten(what, 100)!r} doesn't have the digest that it should; it was damaged, save the image again"
    )
