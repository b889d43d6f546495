"""What was found out about blobs, kept beside them: a key of the inputs leads to a small JSON document."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxport.errors import BuildError
from onnxport.image.parts import canonical, digest_of
from onnxport.image.store import UNUSED_SECONDS, Store

Key = Mapping[str, Any]


def recall(store: Store, kind: str, key: Key) -> dict[str, Any] | None:
    """What `remember` kept for the same key, or None; a damaged note counts as none."""
    try:
        found = json.loads(place(store, kind, key).with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def remember(store: Store, kind: str, key: Key, document: Mapping[str, Any]) -> None:
    """Keeps a document for a key. Raises BuildError where the folder takes none."""
    path = place(store, kind, key).with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(canonical(document))
        Path(name).replace(path)
    except OSError as err:
        raise _refused(store, err) from err


@contextlib.contextmanager
def alone(store: Store, kind: str) -> Iterator[None]:
    """One process at a time makes what the others then find; where a system has no such locks, each makes its own."""
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        stream = (store.folder / f"{kind}.lock").open("a")
    except OSError as err:
        raise _refused(store, err) from err
    with stream:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
            _sweep(store.folder / kind)
        yield


def _sweep(folder: Path) -> None:
    """Removes temporary folders of runs that were killed, and what is long unused; when nobody else is at work."""
    oldest = time.time() - UNUSED_SECONDS
    for path in folder.glob("*"):
        if path.name.startswith(tempfile.gettempprefix()) or path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)


def place(store: Store, kind: str, key: Key) -> Path:
    """Where a folder or note of this kind and key belongs."""
    return store.folder / kind / digest_of(canonical(key)).removeprefix("sha256:")[:40]


def _refused(store: Store, err: OSError) -> BuildError:
    return BuildError(
        f"{store.folder} can't keep what a build finds out ({err.strerror}); set XDG_CACHE_HOME to a folder of yours"
    )
