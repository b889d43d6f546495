"""Writes an image into a file that every engine loads: Docker's layout and OCI's at once, as Docker does since 25."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import tarfile
from pathlib import Path
from typing import IO, Any

from onnxport.errors import BuildError, shorten
from onnxport.image.archive.layout import INDEX, LAYOUT, MANIFEST, place
from onnxport.image.manifests import OCI_INDEX_TYPE
from onnxport.image.parts import MANIFEST_TYPE, Blob, Image, canonical, digest_of
from onnxport.image.reference import Reference
from onnxport.image.store import digest_of_stream


def write_archive(image: Image, reference: Reference | None, path: Path) -> None:
    """One image as a file that docker, podman and skopeo load. The same image gives the same bytes everywhere.

    reference: what it is called once it is loaded. Nothing is left where that fails, and what was there before stays.
    """
    try:
        _replace(Path(os.path.realpath(path)), image, reference)
    except (OSError, ValueError) as err:  # a ValueError is for a name that no file can have
        if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise BuildError(
                f"there is no space left for {path}; free some, or write it elsewhere"
            ) from err
        why = (isinstance(err, OSError) and err.strerror) or shorten(str(err), 100)
        where = shorten(str(path), 300)
        raise BuildError(f"{where} can't be written ({why}); give another place") from err


def _replace(path: Path, image: Image, reference: Reference | None) -> None:
    if path.exists() and not path.is_file():
        raise BuildError(f"{path} is no file that can be replaced; give the name of a new one")
    unfinished = path.parent / f".onnxport-{secrets.token_hex(8)}"
    try:
        with tarfile.open(unfinished, mode="x", format=tarfile.GNU_FORMAT) as tar:
            _write(tar, image, reference)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _write(tar: tarfile.TarFile, image: Image, reference: Reference | None) -> None:
    blobs = list(dict.fromkeys(layer.blob for layer in image.layers))
    for name, document in _documents(image, reference).items():
        _add(tar, name, len(document), io.BytesIO(document))
    for blob in blobs:
        _add_blob(tar, blob)


def _documents(image: Image, reference: Reference | None) -> dict[str, bytes]:
    """All that isn't a layer, by name."""
    config, manifest = digest_of(image.config), image.manifest
    tag = reference.tag if reference else None
    name = f"{reference.name}:{tag}" if reference and tag else ""
    loaded = {
        "Config": place(config),
        "Layers": [place(layer.blob.digest) for layer in image.layers],
        "RepoTags": [name] if name else None,
    }
    entry: dict[str, Any] = {
        "digest": image.digest,
        "mediaType": MANIFEST_TYPE,
        "size": len(manifest),
    }
    if reference and tag:
        full = f"{reference.registry}/{reference.repository}:{tag}"
        entry["annotations"] = {
            "io.containerd.image.name": full,
            "org.opencontainers.image.ref.name": tag,
        }
    index = {"manifests": [entry], "mediaType": OCI_INDEX_TYPE, "schemaVersion": 2}
    return {
        LAYOUT: canonical({"imageLayoutVersion": "1.0.0"}),
        INDEX: canonical(index),
        MANIFEST: canonical([loaded]),
        place(image.digest): manifest,
        place(config): image.config,
    }


def _add_blob(tar: tarfile.TarFile, blob: Blob) -> None:
    """A layer's blob. Raises BuildError where its file isn't any more what it was."""
    try:
        stream = blob.path.open("rb")
    except OSError as err:
        raise BuildError(f"{blob.path} can't be read ({err.strerror}); build again") from err
    with stream:
        if (
            os.fstat(stream.fileno()).st_size != blob.size
            or digest_of_stream(stream) != blob.digest
        ):
            raise BuildError(f"{blob.path} has changed since it was built; build again")
        stream.seek(0)
        _add(tar, place(blob.digest), blob.size, stream)


def _add(tar: tarfile.TarFile, name: str, size: int, stream: IO[bytes]) -> None:
    """A file without time, owner or rights of this machine."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    tar.addfile(info, stream)
