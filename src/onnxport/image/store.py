"""A folder of blobs, each under its digest: what was fetched or made once is there the next time."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, NoReturn

from onnxport.errors import BuildError, shorten
from onnxport.image.parts import Blob
from onnxport.image.reference import is_digest

_PIECE = 1 << 20
_UNFINISHED = "unfinished-"
_STALE_SECONDS = 24 * 3600  # what another run left half-written for so long is nobody's any more
UNUSED_SECONDS = (
    90 * 24 * 3600
)  # what nobody has used for so long goes; it is made or fetched again if need be
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/onnxport`, else `~/.cache/onnxport`; a relative variable counts for nothing, as XDG wants it."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "onnxport"
    try:
        return Path.home() / ".cache" / "onnxport"
    except RuntimeError as err:
        raise BuildError(
            "there is no home folder to keep layers in; set XDG_CACHE_HOME to a folder"
        ) from err


def digest_of_stream(stream: IO[bytes]) -> str:
    """The digest of all that a stream brings."""
    found = hashlib.sha256()
    while piece := stream.read(_PIECE):
        found.update(piece)
    return "sha256:" + found.hexdigest()


class WrongBytes(BuildError):
    """Bytes that came from elsewhere are not those that were announced."""


class Store:
    """Blobs in files `sha256/HEX` below a folder. Several processes may share it: files appear whole or not at all.

    Every blob is checked against its digest when it is written, and once more when it is first found. What hasn't been
    found for 90 days is removed when something new comes.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else default_folder()
        self._checked: set[str] = set()

    def put(
        self, content: bytes | IO[bytes], *, digest: str | None = None, size: int | None = None
    ) -> Blob:
        """Keeps bytes, or a stream's to its end. Raises WrongBytes where they don't have the digest or the size given.

        A stream is left as soon as it brings more than `size`.
        """
        with self.writing(digest=digest, size=size) as blob:
            for piece in _pieces(content):
                blob.write(piece)
        return blob.blob

    @contextmanager
    def writing(self, *, digest: str | None = None, size: int | None = None) -> Iterator[Writing]:
        """A file to write to, which becomes a blob at the end of the block unless that raises.

        Raises BuildError where the disk is full, WrongBytes for bytes that don't have the digest or the size given.
        """
        with _told(self.folder):
            path = self._unfinished()
        try:
            with path.open("wb", buffering=0) as stream:
                writing = Writing(stream, size, self.folder)
                yield writing
            writing.check(digest)
            with _told(self.folder):
                writing.blob = self._keep(path, writing)
        finally:
            path.unlink(missing_ok=True)

    def find(self, digest: str, *, size: int | None = None) -> Blob | None:
        """The blob of a digest, or None; a file that was damaged since is removed and counts as none."""
        path = self._path(digest)
        with _told(self.folder):
            if not path.is_file():
                return None
            found = path.stat().st_size
            if size not in (None, found) or not self._is_whole(path, digest):
                path.unlink(missing_ok=True)
                return None
            note_use(path)
        return Blob(digest, found, path)

    def _is_whole(self, path: Path, digest: str) -> bool:
        """Reads a file once in the life of this store."""
        if digest not in self._checked:
            with path.open("rb") as stream:
                if digest_of_stream(stream) != digest:
                    return False
            self._checked.add(digest)
        return True

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise BuildError(
                f"{shorten(digest)!r} is no digest; only sha256: and 64 digits are known"
            )
        return self.folder / "sha256" / digest.removeprefix("sha256:")

    def _unfinished(self) -> Path:
        """A new file beside the blobs, on the same disk as they."""
        folder = self.folder / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=folder)
        os.close(handle)
        return Path(name)

    def _keep(self, path: Path, writing: Writing) -> Blob:
        final = self._path(writing.digest)
        path.chmod(0o644)
        path.replace(final)
        self._checked.add(writing.digest)
        return Blob(writing.digest, writing.size, final)


class Writing:
    """A file on its way into a store. `blob` is there after the block."""

    blob: Blob

    def __init__(self, stream: IO[bytes] | FileIO, limit: int | None, folder: Path) -> None:
        self.size = 0
        self._stream, self._limit, self._folder = stream, limit, folder
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return "sha256:" + self._hash.hexdigest()

    def write(self, piece: bytes) -> int:
        size = self.size + len(piece)
        if self._limit is not None and size > self._limit:
            raise WrongBytes(
                f"more bytes come than the {self._limit} announced; what sends them is broken"
            )
        rest = memoryview(piece)
        with _told(self._folder):
            while rest:
                rest = rest[self._stream.write(rest) or 0 :]
        self._hash.update(piece)
        self.size = size
        return len(piece)

    def flush(self) -> None:
        """For gzip and tarfile, which call it; nothing waits here."""

    def check(self, digest: str | None) -> None:
        if self._limit is not None and self.size < self._limit:
            raise WrongBytes(
                f"only {self.size} of {self._limit} bytes came; try again, they broke off"
            )
        if digest is not None and digest != self.digest:
            _refuse_digest(digest, self.digest)


def note_use(path: Path) -> None:
    """Notes that somebody has used a file or a folder now; in a store that can only be read nothing is swept either."""
    with suppress(PermissionError):
        os.utime(path)


def _refuse_digest(expected: str, found: str) -> NoReturn:
    raise WrongBytes(
        f"bytes that should have the digest {shorten(expected, 80)} have {found}; "
        "they were damaged or exchanged on the way, get them again"
    )


def _pieces(content: bytes | IO[bytes]) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    while piece := content.read(_PIECE):
        yield piece


def _sweep(folder: Path) -> None:
    """Removes what runs that were killed left half-written, and what has long been of no use."""
    now = time.time()
    for path in folder.iterdir():
        longest = _STALE_SECONDS if path.name.startswith(_UNFINISHED) else UNUSED_SECONDS
        try:
            if path.stat().st_mtime < now - longest:
                path.unlink()
        except FileNotFoundError:
            pass  # another run was quicker


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What a folder can't do, in words."""
    try:
        yield
    except OSError as err:
        if err.errno in _FULL:
            what = f"there is no space left in {folder} for the image's layers"
            raise BuildError(f"{what}; free some, or set XDG_CACHE_HOME to another disk") from err
        what = f"{folder} can't keep layers ({err.strerror})"
        raise BuildError(f"{what}; set XDG_CACHE_HOME to a folder of yours") from err
