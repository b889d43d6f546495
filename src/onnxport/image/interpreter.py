"""Which Python a root file system holds, and on which C library: read from its files alone."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from onnxport.errors import BuildError, shorten
from onnxport.image.parts import Platform
from onnxport.image.rootfs import Root

OLDEST, NEWEST = 11, 13  # the minors of Python 3 that onnxport runs on
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NUMBERED = re.compile(r"python3\.(\d+)")
_MACHINES = {62: "amd64", 183: "arm64"}  # e_machine of ELF
_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_LIBRARY_FOLDERS = ("/lib/{}", "/usr/lib/{}", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
_GLIBC = re.compile(rb"stable release version (\d+)\.(\d+)")
_LOADER = re.compile(rb"/lib[a-z0-9/]*/(?:ld-musl|ld-linux)[a-z0-9_.-]*")
_NEEDED = ("libstdc++.so.6", "libgcc_s.so.1")  # of ONNX Runtime and numpy, beside glibc
_WITHOUT = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """path: in the image, without links. version: as far as it can be read, at least `3.minor`.

    unwanted: paths of pip and the like, without the first slash, that no server needs. is_compiled: whether the
    standard library has its bytecode; that of the official images comes without.
    """

    path: str
    minor: int
    version: str
    glibc: tuple[int, int]
    unwanted: tuple[str, ...]
    is_compiled: bool

    @property
    def library(self) -> str:
        """The folder of the standard library, without the first slash."""
        return f"{_prefix(self.path)}/lib/python3.{self.minor}".removeprefix("/")


def find_interpreter(root: Root, platform: Platform, search_path: str, name: str) -> Interpreter:
    """The first supported Python on the search path. name: the base's, for the message.

    Raises BuildError where there is none, for musl, and for another architecture than the platform's.
    """
    others: list[str] = []
    for path, content in _candidates(root, search_path):
        found = re.search(r"python3\.(\d+)$", path)
        minor = int(found[1]) if found else _minor_of(root, path)
        if minor is None or not OLDEST <= minor <= NEWEST:
            others.append(f"3.{minor}" if minor is not None else path)
            continue
        _check_machine(content, platform, name)
        _check_library(root, path, minor, name)
        version = _version(root, path, content, minor)
        library = f"{_prefix(path)}/lib/python3.{minor}"
        return Interpreter(
            path=path,
            minor=minor,
            version=version,
            glibc=_glibc(root, content, platform, name),
            unwanted=_unwanted(root, path, minor),
            is_compiled=bool(root.names(f"{library}/asyncio/__pycache__")),
        )
    raise _no_python(others, name)


def _candidates(root: Root, search_path: str) -> Iterator[tuple[str, bytes]]:
    """Real paths and contents of programs that are called as Python is."""
    folders = [f for f in (search_path or DEFAULT_PATH).split(":") if f.startswith("/")]
    for folder in dict.fromkeys([*folders, *DEFAULT_PATH.split(":")]):
        for name in ("python3", "python", *_numbered(root, folder)):
            path = root.real_path(f"{folder}/{name}")
            node = root.find(path) if path else None
            if path and node and node.content.startswith(b"\x7fELF"):
                yield path, node.content


def _numbered(root: Root, folder: str) -> list[str]:
    """The programs that are called by their minor, newest first."""
    found = filter(None, map(_NUMBERED.fullmatch, root.names(folder)))
    return [one[0] for one in sorted(found, key=lambda one: -int(one[1]))]


def _minor_of(root: Root, path: str) -> int | None:
    """By the folder of its standard library, where the program's name doesn't tell."""
    names = root.names(f"{_prefix(path)}/lib")
    minors = [int(one[1]) for one in map(_NUMBERED.fullmatch, names) if one]
    return minors[0] if len(minors) == 1 else None


def _prefix(path: str) -> str:
    return path.rpartition("/bin/")[0]


def _check_machine(content: bytes, platform: Platform, name: str) -> None:
    machine = struct.unpack_from("<H", content, 18)[0] if len(content) > 20 else 0
    found = _MACHINES.get(machine, f"machine {machine}")
    if found != platform.architecture:
        raise BuildError(
            f"base {name}: its Python is for {found}, and the image is for {platform}; give a base for "
            f"{platform}, or --platform linux/{found}"
        )


def _check_library(root: Root, path: str, minor: int, name: str) -> None:
    folder = f"{_prefix(path)}/lib/python3.{minor}"
    if not root.find(f"{folder}/asyncio"):
        raise BuildError(
            f"base {name}: the standard library of its Python 3.{minor} isn't whole, asyncio is missing; "
            f"give a base with all of it (on Debian the package python3.{minor}, not -minimal)"
        )


def _version(root: Root, path: str, content: bytes, minor: int) -> str:
    """With the patch, which stands in the program or in its shared library."""
    shared = root.find(f"{_prefix(path)}/lib/libpython3.{minor}.so.1.0")
    for each in (content, shared.content if shared else b""):
        found = re.search(rb"\x00(3\.%d\.\d{1,3})\+?\x00" % minor, each)
        if found:
            return found[1].decode()
    return f"3.{minor}"


def _glibc(root: Root, content: bytes, platform: Platform, name: str) -> tuple[int, int]:
    loader = _LOADER.search(content)
    if loader and b"musl" in loader[0]:
        raise BuildError(
            f"base {name}: it is built on musl (Alpine), for which there is no ONNX Runtime; give a base "
            "on glibc, such as python:3.11-slim"
        )
    triplet = _TRIPLETS[platform.architecture]
    folders = [folder.format(triplet) for folder in _LIBRARY_FOLDERS]
    node = next((n for f in folders if (n := root.find(f"{f}/libc.so.6"))), None)
    found = _GLIBC.search(node.content) if node else None
    if found is None:
        raise BuildError(
            f"base {name}: no glibc is in it, which ONNX Runtime needs; give a base such as python:3.11-slim"
        )
    lacking = [one for one in _NEEDED if not any(root.find(f"{f}/{one}") for f in folders)]
    if lacking:
        raise BuildError(
            f"base {name}: {lacking[0]} is missing, which ONNX Runtime needs; give a base with it "
            "(on Debian the package libstdc++6)"
        )
    return int(found[1]), int(found[2])


def _unwanted(root: Root, path: str, minor: int) -> tuple[str, ...]:
    """Where pip lies, which could only install what isn't in the list of contents."""
    prefix = _prefix(path)
    library = f"{prefix}/lib/python3.{minor}"
    folders = [
        f"{library}/site-packages",
        f"{library}/dist-packages",
        f"{prefix}/lib/python3/dist-packages",
    ]
    found = [f"{folder}/{one}" for folder in folders for one in root.names(folder) if _is_tool(one)]
    found += [
        f"{prefix}/bin/{one}" for one in root.names(f"{prefix}/bin") if re.match(r"pip[\d.]*$", one)
    ]
    found += [f"{library}/{one}" for one in ("ensurepip",) if root.find(f"{library}/{one}")]
    return tuple(sorted(one.lstrip("/") for one in found))


def _is_tool(name: str) -> bool:
    return name.partition("-")[0] in _WITHOUT


def _no_python(others: Iterable[str], name: str) -> BuildError:
    told = ", ".join(dict.fromkeys(shorten(one) for one in others))
    has = f"its Python is {told}" if told else "no Python is in it"
    return BuildError(
        f"base {name}: {has}, and onnxport runs on 3.{OLDEST} to 3.{NEWEST}; give a base such as "
        f"python:3.{NEWEST}-slim"
    )
