"""What `onnxport build` says of what it has built, to people and to scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxport.cli.builders import Delivery
from onnxport.errors import shorten

if TYPE_CHECKING:
    from onnxport.image.order import Built
    from onnxport.image.parts import Image, Layer

_MAX_PATH = 4096  # characters
_BAR = 30  # characters
_MEGABYTE = 1e6


def facts(built: Built, delivery: Delivery, sboms: Sequence[Path]) -> dict[str, Any]:
    return {
        "digest": built.digest,
        "tag": str(delivery.tag) if delivery.tag else None,
        "pushed": str(delivery.push) if delivery.push else None,
        "output": str(delivery.output) if delivery.output else None,
        "sbom": [str(path) for path in sboms],
        "images": [_image(image) for image in built.images],
        "warnings": list(built.warnings),
        "notes": list(built.notes),
    }


def _image(image: Image) -> dict[str, Any]:
    from onnxport.image.parts import digest_of

    return {
        "platform": str(image.platform),
        "digest": image.digest,
        "id": digest_of(image.config),
        "compressed": sum(layer.blob.size for layer in image.layers),
        "unpacked": sum(layer.unpacked for layer in image.layers),
        "layers": [_layer(layer) for layer in image.layers],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "title": layer.title,
        "digest": layer.blob.digest,
        "diff_id": layer.diff_id,
        "compressed": layer.blob.size,
        "unpacked": layer.unpacked,
    }


def lines(built: Built, told: dict[str, Any]) -> Iterator[str]:
    """For people: each layer with a bar, the sums, and where the image is now."""
    for image in told["images"]:
        yield f"{image['platform']}{'':10}compressed   unpacked"
        largest = max(layer["unpacked"] for layer in image["layers"]) or 1
        for layer in image["layers"]:
            bar = "=" * max(1, round(_BAR * layer["unpacked"] / largest))
            yield f"  {layer['title']:<14}{_size(layer['compressed'])}{_size(layer['unpacked'])}  {bar}"
        yield f"  {'all':<14}{_size(image['compressed'])}{_size(image['unpacked'])}"
    yield from built.notes
    yield f"digest {built.digest}"
    if told["pushed"]:
        yield f"pushed {told['pushed']}"
    if "engine" in told:
        yield f"{told['engine']} has it as {told['kept']}"
    if told["output"]:
        path = shorten(told["output"], _MAX_PATH)
        yield f"wrote {path}; load it with docker load -i {path}"
    if told["sbom"]:
        paths = ", ".join(shorten(path, _MAX_PATH) for path in told["sbom"])
        yield f"contents listed in {paths}"


def _size(count: int) -> str:
    digits = 1 if count >= _MEGABYTE else 2  # a small model isn't 0.0 MB
    return f"{count / _MEGABYTE:8.{digits}f} MB"
