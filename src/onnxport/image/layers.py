"""A layer depends on nothing but the names and bytes of its files: no time, owner, mode or order of this machine."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from onnxport.image.memory import Key, recall, remember
from onnxport.image.parts import Layer
from onnxport.image.store import Store

ZLIB_VERSION = zlib.ZLIB_RUNTIME_VERSION  # decides on the compressed bytes
_LEVEL = 6
_GZIP = 31  # zlib's word for a gzip header, which it writes without a time or a name
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a layer: `name` is its path in the image, without the first slash; a whiteout has no content."""

    name: str
    content: Path | bytes = b""


class _Sink(Protocol):
    def write(self, piece: bytes, /) -> int: ...


class Gzip:
    """Compresses what is written to it into another stream, and knows the digest of what came in."""

    def __init__(self, target: _Sink) -> None:
        self._target, self._hash = target, hashlib.sha256()
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

    def write(self, piece: bytes) -> int:
        self._hash.update(piece)
        self._target.write(self._packer.compress(piece))
        return len(piece)

    def close(self) -> None:
        self._target.write(self._packer.flush())

    @property
    def diff_id(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def write_layer(store: Store, title: str, entries: Iterable[Entry]) -> Layer:
    """Packs files into a layer. Their folders are made, everything belongs to root, and nothing is executable."""
    unpacked = 0
    with store.writing() as blob:
        packed = Gzip(blob)
        with tarfile.open(fileobj=_as_stream(packed), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for entry in _with_folders(entries):
                unpacked += _add(tar, entry)
        packed.close()
    return Layer(blob.blob, packed.diff_id, unpacked, title)


def cached_layer(store: Store, key: Key, title: str, make: Callable[[], Iterable[Entry]]) -> Layer:
    """The layer that was written for the same key before, else a new one. The key names all that `make` reads."""
    key = {**key, "title": title, "zlib": ZLIB_VERSION, "level": _LEVEL}
    known = recall(store, "layers", key)
    layer = restore(store, known) if known else None
    if layer is None:
        layer = write_layer(store, title, make())
        remember(store, "layers", key, describe(layer))
    return layer


def compress(store: Store, title: str, tar: IO[bytes], unpacked: int) -> Layer:
    """A layer from a tar as it is."""
    with store.writing() as blob:
        packed = Gzip(blob)
        while piece := tar.read(_PIECE):
            packed.write(piece)
        packed.close()
    return Layer(blob.blob, packed.diff_id, unpacked, title)


def describe(layer: Layer) -> dict[str, Any]:
    """A layer as plain data, without where it lies."""
    return {
        "digest": layer.blob.digest,
        "size": layer.blob.size,
        "diff_id": layer.diff_id,
        "unpacked": layer.unpacked,
        "title": layer.title,
    }


def restore(store: Store, known: dict[str, Any]) -> Layer | None:
    """A described layer, or None where the store doesn't hold its blob any more."""
    try:
        blob = store.find(str(known["digest"]), size=int(known["size"]))
        if blob is None:
            return None
        return Layer(blob, str(known["diff_id"]), int(known["unpacked"]), str(known["title"]))
    except (KeyError, TypeError, ValueError):
        return None


def folder_entries(folder: Path, place: str) -> Iterator[Entry]:
    """All files below a folder, as they are to stand below `place` in the image."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield Entry(f"{place}/{path.relative_to(folder).as_posix()}", path)


def _with_folders(entries: Iterable[Entry]) -> list[tuple[str, Entry | None]]:
    """Folders and files in the order of their names, a folder before what it holds."""
    named: dict[str, Entry | None] = {}
    for entry in entries:
        for parent in PurePosixPath(entry.name).parents:
            named.setdefault(str(parent), None)
        named[entry.name] = entry
    named.pop(".", None)
    return sorted(named.items(), key=lambda item: item[0].split("/"))


def _add(tar: tarfile.TarFile, item: tuple[str, Entry | None]) -> int:
    name, entry = item
    info = tarfile.TarInfo(name)
    if entry is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
        return 0
    info.mode = 0o644
    if isinstance(entry.content, bytes):
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
    else:
        info.size = entry.content.stat().st_size
        with entry.content.open("rb") as stream:
            tar.addfile(info, stream)
    return info.size


def _as_stream(sink: Any) -> IO[bytes]:
    """What tarfile asks for in its types; it calls write alone."""
    stream: IO[bytes] = sink
    return stream
