"""What the tests of the preflight share: a model file, and the image that is really built of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from onnxport.deploy.intent import Intent
from onnxport.deploy.preflight.subject import Subject
from onnxport.image.daemonless import build
from onnxport.image.order import Built, Order
from onnxport.image.parts import Platform
from onnxport.image.plan import Workshop
from onnxport.image.reference import Reference
from onnxport.image.registry import Registry
from onnxport.image.store import Store
from tests.image import bases

OPEN = Intent(app="iris", auth="none", region="eu-central-1")


@pytest.fixture(scope="session")
def model(models: dict[str, Path]) -> Path:
    return models["1.0"]


@pytest.fixture(scope="session")
def store(root: Path) -> Store:
    """The cache that the tests of images keep from one run to the next."""
    folder = root / "build" / "image-cache" / "onnxport"
    folder.mkdir(parents=True, exist_ok=True)
    return Store(folder)


@pytest.fixture(scope="session")
def built(model: Path, root: Path, store: Store) -> Built:
    """The image of the model, on the base of `make base`, as a deployment builds it."""

    def connect(reference: Reference) -> Registry:
        raise AssertionError(f"{reference} was to be fetched")

    order = Order(model, (Platform("amd64"),), str(bases.slim(root)))
    return build(order, Workshop(store, connect, lambda _: None))


@pytest.fixture
def subject_of(tmp_path: Path, model: Path, store: Store) -> Callable[..., Subject]:
    """`subject_of(intent, built=..., ...)`: with the model, in a folder of its own."""

    def make(intent: Intent = OPEN, **parts: object) -> Subject:
        given = {"model": model, "store": store, **parts}
        return Subject(intent, tmp_path, **given)  # type: ignore[arg-type]

    return make
