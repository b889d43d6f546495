"""One check of the preflight, by its id; and images that differ from a good one in one thing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxport.deploy.preflight.finding import Finding
from onnxport.deploy.preflight.run import look
from onnxport.deploy.preflight.subject import Subject
from onnxport.deploy.preflight.table import CHECKS
from onnxport.image.order import Built
from onnxport.image.parts import Image, Layer, canonical, digest_of
from onnxport.image.store import Store
from tests.image import made

_BY_ID = {check.id: check for check in CHECKS}


def finding(check: str, subject: Subject) -> Finding:
    """What one check finds."""
    return look(_BY_ID[check], subject)


def fires(check: str, subject: Subject, told: str, outcome: str = "failed") -> Finding:
    """Asserts that a check fires, says this, and how to mend it in one sentence."""
    found = finding(check, subject)
    assert found.outcome == outcome, found
    assert told in found.looked_at, found
    assert found.fix, found
    assert "\n" not in found.fix
    return found


def passes(check: str, subject: Subject, told: str = "") -> Finding:
    """Asserts that a check doesn't."""
    found = finding(check, subject)
    assert found.outcome == "ok", found
    assert told in found.looked_at, found
    assert found.looked_at
    return found


def built_of(image: Image) -> Built:
    return Built((image,), (b"",), (), ())


def with_config(built: Built, **settings: Any) -> Built:
    """The same image with other settings of its container; None takes one away."""
    image = built.images[0]
    document = json.loads(image.config)
    config = {**document["config"], **settings}
    document["config"] = {name: value for name, value in config.items() if value is not None}
    return built_of(replace(image, config=canonical(document)))


def with_environment(built: Built, *variables: str) -> Built:
    """With more variables, the last of a name counting."""
    told = json.loads(built.images[0].config)["config"]["Env"]
    return with_config(built, Env=[*told, *variables])


def with_layer(
    built: Built, store: Store, files: Mapping[str, bytes], *, unpacked: int | None = None
) -> Built:
    """With one layer more, called base as in somebody else's image, or of a size that it only claims."""
    image = built.images[0]
    plain = made.tar(files)
    blob = store.put(gzip.compress(plain, 6, mtime=0))
    size = sum(len(content) for content in files.values()) if unpacked is None else unpacked
    layer = Layer(blob, digest_of(plain), size, "more")
    document = json.loads(image.config)
    document["rootfs"]["diff_ids"].append(layer.diff_id)
    return built_of(Image(image.platform, canonical(document), (*image.layers, layer)))
