"""The image of a deployment: built here without an engine, so that its digest is known before anything is planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onnxport.deploy.intent import Intent
from onnxport.image.credentials import Credentials, find_credentials
from onnxport.image.daemonless import build
from onnxport.image.order import Built, Order
from onnxport.image.parts import Platform
from onnxport.image.plan import Workshop
from onnxport.image.reference import DOCKER_HUB, Reference, parse_reference
from onnxport.image.registry import Progress, Registry
from onnxport.image.store import Store
from onnxport.modelfile import read_model_file

Say = Callable[[str], None]

_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a plan needs to know of an image. Sizes in bytes; `size` is compressed. architecture: in EC2's words.

    model, model_version, model_digest: of the model file inside.
    """

    digest: str
    size: int
    unpacked: int
    architecture: str
    model: str
    model_version: str
    model_digest: str

    @property
    def tag(self) -> str:
        """What it is called in a repository; made of the digest, so it never moves."""
        return f"m-{self.digest.removeprefix('sha256:')[:16]}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A built image, still here, and the facts of it. warnings: what the user should know."""

    facts: ImageFacts
    built: Built

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.built.warnings


def prepare(model: Path, intent: Intent, say: Say, *, base: str | None = None) -> Prepared:
    """Builds the image for the intent's architecture. base: instead of the intent's.

    Raises BuildError and ModelFileError.
    """
    file = read_model_file(model)
    platform = Platform(_ARCHITECTURES[intent.instances.architecture])
    order = Order(model, (platform,), base or intent.image.base or None)
    workshop = Workshop(Store(), lambda reference: _connect(reference, None, say), say)
    built = build(order, workshop)
    layers = built.images[0].layers
    facts = ImageFacts(
        digest=built.digest,
        size=sum(layer.blob.size for layer in layers),
        unpacked=sum(layer.unpacked for layer in layers),
        architecture=intent.instances.architecture,
        model=file.manifest.name,
        model_version=file.manifest.version,
        model_digest=file.digest,
    )
    return Prepared(facts, built)


def push(prepared: Prepared, repository: str, credentials: Credentials | None, say: Say) -> str:
    """Sends the image and gives its digest. repository: registry and name. Raises BuildError."""
    target = parse_reference(f"{repository}:{prepared.facts.tag}")
    with _connect(target, credentials, say) as registry:
        return registry.push(prepared.built.images, target)


def is_docker_hub(repository: str) -> bool:
    """Whether it limits how often anybody may pull."""
    return bool(repository) and parse_reference(repository).registry == DOCKER_HUB


@contextmanager
def _connect(reference: Reference, credentials: Credentials | None, say: Say) -> Iterator[Registry]:
    known = credentials or find_credentials(reference.registry, None, None)
    told: set[tuple[str, str]] = set()

    def tell(progress: Progress) -> None:
        key = progress.state, progress.digest
        if progress.state == "waiting":
            say(f"waiting for the registry: {progress.note}")
        elif progress.state in ("fetching", "sending") and key not in told:
            told.add(key)
            say(f"{progress.state} {progress.title} ({progress.size / _MEGABYTE:.1f} MB)")

    with Registry(reference.registry, known, tell=tell) as registry:
        yield registry
