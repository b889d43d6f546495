"""A tar of somebody else's, read in place and never unpacked to disk; what it claims is checked before use."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from onnxport.errors import BuildError, shorten
from onnxport.image.manifests import MAX_BLOB

MAX_UNPACKED = MAX_BLOB  # bytes of a whole archive, too
_MAX_RATIO = 100  # of a layer that unpacks to more than is harmless; gzip's own limit is 1032
_HARMLESS = 1 << 30
_MAX_MEMBERS = 50_000
_MAX_READ = 1 << 24  # tarfile reads long names and extended headers whole, whatever size they claim
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BROKEN = (
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,  # from a header that is said of a header that is said of a header
)
_OPENERS: dict[bytes, Callable[..., object]] = {
    _GZIP: gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


class Tarball:
    """An open archive: its regular files by name. refusal: why nobody should use it, or None."""

    def __init__(self, tar: tarfile.TarFile, size: int) -> None:
        self._tar = tar
        self._files, self.refusal = _index(tar, _limit(size))

    @property
    def names(self) -> set[str]:
        return set(self._files)

    def open(self, name: str) -> IO[bytes]:
        """A file's bytes as they lie in the archive. Raises BuildError where there is none of that name."""
        member = self._files.get(name)
        stream = self._tar.extractfile(member) if member else None
        if stream is None:
            raise BuildError(f"{shorten(name, 100)!r} is missing; save the image again")
        return stream

    def open_packed(self, name: str, what: str) -> IO[bytes]:
        """A layer's tar, whether it is compressed or not. what: its name in messages.

        Raises BuildError for zstd; and while it is read, where it is damaged or unpacks to far more than it holds.
        """
        stream = self.open(name)
        start = stream.read(4)
        stream.seek(0)
        if start.startswith(_ZSTD):
            raise BuildError(
                f"{what} is compressed with zstd, which Docker before 23 and AWS Lambda don't take; "
                "save the image with gzip or without compression"
            )
        if not start.startswith(_GZIP):
            return _bounded(stream, MAX_UNPACKED, what)
        unpacked = cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb"))
        return _bounded(unpacked, _limit(self._files[name].size), what)

    def read(self, name: str, limit: int) -> bytes:
        """A small file's bytes."""
        content = self.open(name).read(limit + 1)
        if len(content) > limit:
            raise BuildError(f"{shorten(name, 100)!r} has more than {limit} bytes")
        return content


@contextmanager
def open_tarball(path: Path) -> Iterator[Tarball]:
    """An archive, compressed or not. Raises BuildError for what is none."""
    with ExitStack() as opened:
        with told(path):
            raw = opened.enter_context(path.open("rb"))
            tar = opened.enter_context(tarfile.open(fileobj=_careful(raw), mode="r:"))
            tarball = Tarball(tar, os.fstat(raw.fileno()).st_size)
        yield tarball


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What is wrong with an archive, in words that begin with its path."""
    try:
        yield
    except _BROKEN as err:
        why = shorten(str(err), 100)
        raise BuildError(f"{path} is no whole tar ({why}); save the image again") from err
    except OSError as err:
        why = err.strerror or shorten(str(err), 100)
        raise BuildError(f"{path} can't be read ({why}); give a saved image") from err
    except BuildError as err:
        raise BuildError(f"{path}: {err}") from err


class _Bounded(io.RawIOBase):
    """A stream that ends in an error where it should long have ended."""

    def __init__(self, stream: IO[bytes], limit: int, what: str) -> None:
        self._stream, self._left, self._limit, self._what = stream, limit, limit, what

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            piece = self._stream.read(len(buffer))
        except (*_BROKEN, OSError) as err:
            why = shorten(str(err), 100)
            raise BuildError(f"{self._what} is damaged ({why}); save the image again") from err
        self._left -= len(piece)
        if self._left < 0:
            limit = self._limit >> 20
            raise BuildError(
                f"{self._what} unpacks to more than {limit} MB, which no honest layer of its size does"
            )
        buffer[: len(piece)] = piece
        return len(piece)


def _bounded(stream: IO[bytes], limit: int, what: str) -> IO[bytes]:
    return io.BufferedReader(_Bounded(stream, limit, what), 1 << 20)


class _Careful(io.RawIOBase):
    """Refuses to read much at once, since tarfile believes the sizes that headers claim."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError("a header claims a size that no header has")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()


def _careful(raw: IO[bytes]) -> IO[bytes]:
    """The tar within what `docker save | gzip` and its like leave."""
    start = raw.read(6)
    raw.seek(0)
    if start.startswith(_ZSTD):
        raise tarfile.ReadError("it is compressed with zstd; unpack it first")
    opener = next((_OPENERS[mark] for mark in _OPENERS if start.startswith(mark)), None)
    inner = opener(raw, "rb") if opener else raw
    return cast(IO[bytes], _Careful(cast(IO[bytes], inner)))


def _limit(size: int) -> int:
    """How many bytes so many compressed ones may become."""
    return min(MAX_UNPACKED, max(_HARMLESS, _MAX_RATIO * size))


def _index(
    tar: tarfile.TarFile, limit: int
) -> tuple[dict[str, tarfile.TarInfo], BuildError | None]:
    """The regular files by name, and links to them within the archive, as old versions of Docker write them.

    The error is for what no tool writes for an image: names that lead out, or that stand twice, devices, sparse files.
    """
    files: dict[str, tarfile.TarInfo] = {}
    links: dict[str, str] = {}
    refusals: list[BuildError] = []
    for count, member in enumerate(tar):
        if tar.offset > limit or count >= _MAX_MEMBERS:  # before what a member claims is skipped
            raise BuildError("it claims to hold more than an image can; save it again")
        try:
            _sort(member, files, links)
        except BuildError as err:
            refusals.append(err)
    reached = {name: files[target] for name, target in links.items() if target in files}
    return files | reached, refusals[0] if refusals else None


def _sort(
    member: tarfile.TarInfo, files: dict[str, tarfile.TarInfo], links: dict[str, str]
) -> None:
    name = _name(member.name)
    if member.isdir():
        return
    if name in files or name in links:
        raise BuildError(f"it holds {shorten(name)!r} twice; save the image again")
    if member.issym():
        links[name] = _target(name, member.linkname)
    elif member.isreg() and not member.issparse():
        files[name] = member
    else:
        raise BuildError(
            f"it holds {shorten(name)!r}, which is no plain file; save the image again"
        )


def _name(name: str) -> str:
    """A member's name, in the one form in which manifests spell it."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise BuildError(
            f"it holds {shorten(name)!r}, a name that leads out of it; don't use that file"
        )
    return "/".join(parts)


def _target(name: str, link: str) -> str:
    """Where a link leads, seen from the archive's root."""
    parts: list[str] = list(PurePosixPath(name).parent.parts)
    for part in PurePosixPath(link).parts:
        if part == "/" or (part == ".." and not parts):
            raise BuildError(
                f"it holds a link, {shorten(name)!r}, that leads out of it; don't use that file"
            )
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)
