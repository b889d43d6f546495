"""Looks through an image's layers, each once for all time: for programs, the C library that they need, and secrets."""

from __future__ import annotations

import gzip
import re
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnxport.errors import shorten
from onnxport.image.contents import own_version
from onnxport.image.leaks import leaks_of_layer
from onnxport.image.memory import recall, remember
from onnxport.image.parts import Layer
from onnxport.image.store import Store

_MACHINES = {3: "386", 40: "arm", 62: "amd64", 183: "arm64"}  # e_machine of ELF
_HEAD = 20
_LIBRARY = re.compile(r".*\.so(\.[0-9.]+)?")
_LIBC = re.compile(r"(.*/)?(libc\.so\.6|libc-2\.\d+\.so)")
_MUSL = re.compile(r"(.*/)?ld-musl-[^/]*\.so\.1")
_NEEDS = re.compile(rb"GLIBC_2\.(\d{1,3})(?![0-9])")
_HAS = re.compile(rb"stable release version 2\.(\d{1,3})")
BASE = "base"


@dataclass(slots=True)
class Programs:
    """What was found. machines: a path for each processor. needs: the newest minor of glibc 2 that a library wants, and
    which one does; has: the minor of the image's own. musl: its loader's path, or "".
    """

    count: int = 0
    machines: dict[str, str] = field(default_factory=dict)
    needs: tuple[int, str] = (0, "")
    has: int = 0
    musl: str = ""

    def add(self, other: Programs) -> None:
        """What the layer above holds too."""
        self.count += other.count
        self.machines = {**other.machines, **self.machines}
        self.needs = max(self.needs, other.needs)
        self.has, self.musl = other.has or self.has, other.musl or self.musl


def read_programs(layers: Iterable[Layer], store: Store) -> Programs:
    """All programs of an image, as their files tell of themselves."""
    found = Programs()
    for layer in layers:
        key = {"is_base": layer.title == BASE}
        told = _kept(store, layer, "programs", key, lambda each: asdict(_programs(each)))
        found.add(Programs(**{**told, "needs": tuple(told["needs"])}))
    return found


def read_leaks(layers: Iterable[Layer], store: Store) -> Iterator[str]:
    """Sentences about what looks like a secret in the layers' files."""
    for layer in layers:
        yield from _kept(store, layer, "leaks", {}, lambda each: {"leaks": [*_leaks(each)]})[
            "leaks"
        ]


def _kept(
    store: Store,
    layer: Layer,
    kind: str,
    key: Mapping[str, Any],
    read: Callable[[Layer], dict[str, Any]],
) -> dict[str, Any]:
    """What was found in a layer of this digest before; reading all of them takes a quarter of a minute."""
    whole = {"layer": layer.blob.digest, "version": own_version(), **key}
    found = recall(store, kind, whole)
    if found is None:
        found = read(layer)
        remember(store, kind, whole, found)
    return found


def _leaks(layer: Layer) -> Iterator[str]:
    with gzip.open(layer.blob.path) as stream:
        yield from leaks_of_layer(stream)  # type: ignore[arg-type]


def _programs(layer: Layer) -> Programs:
    found = Programs()
    with gzip.open(layer.blob.path) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            if member.issym() and _MUSL.fullmatch(member.name):
                found.musl = f"/{member.name}"
            elif member.isfile() and member.size > _HEAD:
                _look(found, tar, member, is_ours=layer.title != BASE)
    return found


def _look(found: Programs, tar: tarfile.TarFile, member: tarfile.TarInfo, *, is_ours: bool) -> None:
    stream = tar.extractfile(member)
    head = stream.read(_HEAD) if stream else b""
    if stream is None or not head.startswith(b"\x7fELF"):
        return
    name = f"/{shorten(member.name, 200)}"
    machine = struct.unpack_from("<H", head, 18)[0]
    found.count += 1
    found.machines.setdefault(_MACHINES.get(machine, f"machine {machine}"), name)
    if _MUSL.fullmatch(member.name):
        found.musl = name
    if _LIBC.fullmatch(member.name):
        has = _HAS.search(stream.read())
        found.has = int(has[1]) if has else found.has
    elif is_ours and _LIBRARY.fullmatch(member.name):
        newest = max((int(minor) for minor in _NEEDS.findall(stream.read())), default=0)
        found.needs = max(found.needs, (newest, name))
