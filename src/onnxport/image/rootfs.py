"""The file system that layers make one above the other, read from their tars without unpacking anything."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from onnxport.errors import BuildError, shorten

# https://github.com/opencontainers/image-spec/blob/main/layer.md: how a layer takes away what lies below it.
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"

_MAX_LINKS = 40  # the kernel's own limit
_MAX_MEMBERS = 2_000_000
_MAX_UNPACKED = 64 * 1024**3
_MAX_KEPT = 256 * 1024**2  # bytes of all telling files together
_PIECE = 1 << 20

# Files whose content tells what the image is; all others' is passed over.
TELLING = re.compile(
    r"(?:.*/)?(?:bin/python3?(?:\.\d+)?|libc\.so\.6|libc-2\.\d+\.so|libpython3\.\d+\.so\.1\.0)|"
    r"var/lib/dpkg/status|var/lib/dpkg/status\.d/[^/]+|(?:usr/lib|etc)/os-release"
)


@dataclass(slots=True)
class Node:
    """A folder, file or link of the layer with that number. content: of a file that tells something, else empty."""

    layer: int
    children: dict[str, Node] | None = None
    link: str | None = None
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a layer's tar turned out to be. unpacked: bytes of its files."""

    diff_id: str
    unpacked: int


class Root:
    """Layers from the lowest to the highest, added one after the other."""

    def __init__(self, telling: re.Pattern[str] = TELLING) -> None:
        self._telling = telling
        self._top = Node(0, children={})
        self._layer = self._members = self._unpacked = self._kept = 0
        self._open: tuple[list[str], dict[str, Node]] | None = None  # where the last member stood

    def add(self, stream: IO[bytes]) -> Scanned:
        """Lays the next layer over what is there. Raises BuildError for what is no tar."""
        counted = _Counted(stream)
        before = self._unpacked
        self._layer += 1
        try:
            with tarfile.open(fileobj=_as_stream(counted), mode="r|") as tar:
                for member in tar:
                    self._add(tar, member)
            while counted.read(_PIECE):
                pass
        except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as err:
            raise BuildError(
                f"a layer of the base can't be read ({shorten(str(err), 100)}); fetch or save it again"
            ) from err
        return Scanned(counted.digest, self._unpacked - before)

    def find(self, path: str) -> Node | None:
        """What stands at an absolute path, links followed."""
        found = self._walk(path)
        return found[0] if found else None

    def real_path(self, path: str) -> str | None:
        """An absolute path without links, or None where nothing stands there."""
        found = self._walk(path)
        return "/" + "/".join(found[1]) if found else None

    def names(self, path: str) -> tuple[str, ...]:
        """What a folder holds, sorted; empty where there is none."""
        node = self.find(path)
        return tuple(sorted(node.children)) if node and node.children else ()

    def files(self, path: str) -> Iterator[tuple[str, bytes]]:
        """Names below a folder and contents, of those files whose contents are kept; links aren't followed."""
        top = self.find(path)
        waiting = [("", top)] if top is not None else []
        while waiting:
            name, node = waiting.pop()
            if node.content:
                yield name, node.content
            for child, inner in (node.children or {}).items():
                waiting.append((f"{name}/{child}".removeprefix("/"), inner))

    def _walk(self, path: str) -> tuple[Node, list[str]] | None:
        waiting = _parts(path)[::-1]
        trail: list[tuple[str, Node]] = []
        links = 0
        while waiting:
            name = waiting.pop()
            if name == "..":
                trail = trail[:-1]
                continue
            here = trail[-1][1] if trail else self._top
            node = (here.children or {}).get(name)
            if node is None:
                return None
            if node.link is None:
                trail.append((name, node))
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            trail = [] if node.link.startswith("/") else trail
            waiting.extend(_parts(node.link)[::-1])
        return (trail[-1][1] if trail else self._top), [name for name, _ in trail]

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._count(member)
        parts = _parts(member.name)
        if ".." in parts:
            raise ValueError(f"it holds {shorten(member.name)!r}, which leads out of the root")
        if not parts:
            return
        *folders, name = parts
        children = self._folder(folders)
        if name == OPAQUE:
            lower = [each for each, node in children.items() if node.layer < self._layer]
        elif name.startswith(WHITEOUT):
            lower = [name.removeprefix(WHITEOUT)]
        else:
            self._put(tar, member, children, name)
            return
        for each in lower:
            children.pop(each, None)
        self._open = None

    def _put(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, children: dict[str, Node], name: str
    ) -> None:
        there = children.get(name)
        if member.isdir() and there is not None and there.children is not None:
            return
        if there is not None:
            self._open = None
        children[name] = self._node(tar, member)

    def _node(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
        if member.isdir():
            return Node(self._layer, children={})
        if member.issym():
            return Node(self._layer, link=member.linkname)
        if member.islnk():
            linked = self.find(member.linkname)
            return Node(self._layer, content=linked.content if linked else b"")
        return Node(self._layer, content=self._content(tar, member))

    def _content(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        name = "/".join(_parts(member.name))
        if not member.isreg() or not self._telling.fullmatch(name):
            return b""
        self._kept += member.size
        if self._kept > _MAX_KEPT:
            raise ValueError("what is called like Python, glibc or dpkg's list is too large")
        stream = tar.extractfile(member)
        return stream.read() if stream else b""

    def _folder(self, names: list[str]) -> dict[str, Node]:
        """The children of a folder; links on the way are followed, and what is missing is made, as unpackers do."""
        if self._open is not None and self._open[0] == names:
            return self._open[1]
        path, here = "", self._top
        for name in names:
            path = f"{path}/{name}"
            found = self._walk(path)
            node = found[0] if found else None
            if node is None or node.children is None:
                node = Node(self._layer, children={})
                assert here.children is not None
                here.children[name] = node
            here = node
        assert here.children is not None
        self._open = names, here.children
        return here.children

    def _count(self, member: tarfile.TarInfo) -> None:
        self._members += 1
        self._unpacked += member.size if member.isreg() else 0
        if self._members > _MAX_MEMBERS or self._unpacked > _MAX_UNPACKED:
            raise ValueError("it unpacks to more than any base needs")


class _Counted:
    """A stream whose bytes are hashed as they are read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._hash = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._hash.update(piece)
        return piece

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _as_stream(counted: Any) -> IO[bytes]:
    """What tarfile asks for in its types; it calls read alone."""
    stream: IO[bytes] = counted
    return stream
