"""What an image says of itself: the labels of the Open Container Initiative, and our own below io.onnxport."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from onnxport.errors import shorten
from onnxport.image.base_image import BaseImage
from onnxport.image.bytecode import PYTHON_VERSION
from onnxport.image.contents import own_version
from onnxport.image.layers import ZLIB_VERSION
from onnxport.image.parts import canonical, digest_of
from onnxport.manifest import write_signature
from onnxport.modelfile import ModelFile

_OCI = "org.opencontainers.image."
_OURS = "io.onnxport."
_MAX_TEXT = 512
_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ")


def labels(
    model: ModelFile, base: BaseImage, runtime: str, given: Mapping[str, str]
) -> dict[str, str]:
    """Sorted labels. runtime: the onnxruntime on which the self-test passed. given: the user's, which win.

    All that decides on the image's bytes is among them: the base's digest, onnxport's version, the patch of the Python
    that compiled, and the version of zlib.
    """
    facts = model.manifest["model"]
    found = {
        _OCI + "title": model.manifest.name,
        _OCI + "version": model.manifest.version,
        _OCI + "description": str(facts.get("description", "")),
        _OCI + "created": created(model),
        _OCI + "base.name": base.name,
        _OCI + "base.digest": base.digest,
        _OURS + "version": own_version(),
        _OURS + "build.python": PYTHON_VERSION,
        _OURS + "build.zlib": ZLIB_VERSION,
        _OURS + "python": base.interpreter.version,
        _OURS + "model.digest": f"sha256:{model.digest}",
        _OURS + "model.signature": signature_digest(model),
        _OURS + "model.selftest": f"passed: {model.selftest.rows} rows on onnxruntime {runtime}",
    }
    told = {name: shorten(text, _MAX_TEXT) for name, text in found.items() if text}
    return dict(sorted({**told, **given}.items()))


def created(model: ModelFile) -> str:
    """When the model was saved: an image has no time of its own, or no two of them would be the same."""
    told = str(model.manifest["model"].get("created", ""))
    return told if _TIME.fullmatch(told) else "1970-01-01T00:00:00Z"


def signature_digest(model: ModelFile) -> str:
    """Of what goes in and comes out: two models with the same digest can take each other's place."""
    document: dict[str, Any] = write_signature(model.manifest.signature)
    return digest_of(canonical({"task": model.manifest.signature.task, **document}))
