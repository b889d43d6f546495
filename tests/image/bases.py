"""Bases to build on: the slim one of `make base`, and made-up ones that hold what a test is about and nothing else."""

from __future__ import annotations

import fcntl
import io
import json
import struct
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxport.image.parts import canonical, digest_of
from tests import programs

MACHINES = {"amd64": 62, "arm64": 183}
LOADERS = {"amd64": b"/lib64/ld-linux-x86-64.so.2", "arm64": b"/lib/ld-linux-aarch64.so.1"}


def slim(root: Path) -> Path:
    """`build/base-slim.tar`, made where it isn't there yet; two processes wait for each other."""
    programs.program("mmdebstrap")
    programs.root("to make a root file system")
    path = root / "build" / "base-slim.tar"
    path.parent.mkdir(exist_ok=True)
    with (root / "build" / "base-slim.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            command = [sys.executable, str(root / "tools" / "base.py")]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
    return path


def elf(architecture: str, *more: bytes) -> bytes:
    """The head of a program for an architecture, and texts that stand in it."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, MACHINES[architecture])
    return b"\x00".join([head, LOADERS[architecture], *more, b""])


def files(
    architecture: str = "amd64",
    *,
    version: str = "3.11.9",
    glibc: str = "2.36",
    prefix: str = "usr",
) -> dict[str, bytes]:
    """What a root must hold to be taken for a base with Python and glibc."""
    minor = version.split(".")[1]
    triplet = {"amd64": "x86_64", "arm64": "aarch64"}[architecture] + "-linux-gnu"
    libc = f"GNU C Library (Debian GLIBC) stable release version {glibc}.".encode()
    return {
        f"{prefix}/bin/python3.{minor}": elf(architecture, version.encode()),
        f"{prefix}/lib/python3.{minor}/asyncio/__init__.py": b"",
        f"usr/lib/{triplet}/libc.so.6": elf(architecture, libc),
        f"usr/lib/{triplet}/libgcc_s.so.1": b"",
        f"usr/lib/{triplet}/libstdc++.so.6": b"",
    }


def layer(contents: Mapping[str, bytes | None], links: Mapping[str, str] | None = None) -> bytes:
    """A layer's tar: files, folders where the content is None, and symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def save(
    path: Path,
    layers: Sequence[bytes],
    *,
    architecture: str = "amd64",
    config: Mapping[str, Any] | None = None,
) -> Path:
    """A file as `docker save` writes it. config: what runs in it, None as after `docker import`."""
    document = {
        "architecture": architecture,
        "config": config,
        "os": "linux",
        "rootfs": {"diff_ids": [digest_of(each) for each in layers], "type": "layers"},
    }
    name = digest_of(canonical(document)).removeprefix("sha256:")
    members = {f"{name}.json": canonical(document)}
    members |= {f"{at}/layer.tar": each for at, each in enumerate(layers)}
    entry = {"Config": f"{name}.json", "Layers": [*members][1:], "RepoTags": None}
    with tarfile.open(path, "w") as tar:
        for member, content in {**members, "manifest.json": json.dumps([entry]).encode()}.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def ready(path: Path, architecture: str = "amd64", **more: str) -> Path:
    """A base that is taken, though nothing in it would run."""
    links = {"usr/bin/python3": f"python3.{more.get('version', '3.11').split('.')[1]}"}
    return save(
        path, [layer(files(architecture, **more), links)], architecture=architecture, config={}
    )
