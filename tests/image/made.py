"""Small images, made byte by byte without the builder, for the tests of registries and archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

from onnxport.image.parts import Image, Layer, Platform, canonical, digest_of
from onnxport.image.store import Store

AMD64, ARM64 = Platform("amd64"), Platform("arm64")


def tar(files: Mapping[str, bytes]) -> bytes:
    """A layer's tar, not compressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def layer(store: Store, title: str, files: Mapping[str, bytes]) -> Layer:
    plain = tar(files)
    blob = store.put(gzip.compress(plain, 6, mtime=0))
    return Layer(blob, digest_of(plain), sum(len(content) for content in files.values()), title)


def config(diff_ids: list[str], platform: Platform = AMD64) -> bytes:
    return canonical(
        {
            "architecture": platform.architecture,
            "config": {"Entrypoint": ["/bin/true"]},
            "history": [{"created": "1970-01-01T00:00:00Z"} for _ in diff_ids],
            "os": platform.os,
            "rootfs": {"diff_ids": diff_ids, "type": "layers"},
        }
    )


def image(store: Store, *contents: bytes, platform: Platform = AMD64) -> Image:
    """An image of one layer for each content, called base, libraries, model."""
    titles = ["base", "libraries", "model", *(f"layer {at}" for at in range(3, len(contents)))]
    layers = tuple(
        layer(store, title, {f"app/{title}": content})
        for title, content in zip(titles, contents, strict=False)
    )
    return Image(platform, config([one.diff_id for one in layers], platform), layers)
