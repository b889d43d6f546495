"""From an order to a plan: which base, which files in which layer, which settings. Whatever builds, builds this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from onnxport.image.base_image import BaseImage, Connect, open_base
from onnxport.image.bytecode import MINOR, can_compile
from onnxport.image.contents import MODEL, SBOM, Tree, package_tree
from onnxport.image.labels import created, labels
from onnxport.image.layers import Entry
from onnxport.image.libraries import Subject, proven_libraries
from onnxport.image.memory import Key
from onnxport.image.order import Order
from onnxport.image.parts import Platform, digest_of
from onnxport.image.sbom import write_sbom
from onnxport.image.settings import container_config, model_name
from onnxport.image.stdlib import bytecode_tree
from onnxport.image.store import Store
from onnxport.image.wheels import Target, Tell, fetch_wheels
from onnxport.modelfile import ModelFile


@dataclass(frozen=True, slots=True)
class Part:
    """A layer to be. removed: paths of the base, without the first slash, that it takes away.

    key: all that decides on its bytes.
    """

    title: str
    key: Key
    entries: Callable[[], Iterable[Entry]]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """parts: from the one that changes least to the model's. config: the container's settings, in Docker's words.

    created: RFC 3339. sbom: as CycloneDX; it stands in the last part too.
    """

    base: BaseImage
    parts: tuple[Part, ...]
    config: Mapping[str, Any]
    created: str
    sbom: bytes
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where plans are made: the cache, the way to registries, and whom to tell what goes on."""

    store: Store
    connect: Connect
    tell: Tell


def make_plan(order: Order, model: ModelFile, platform: Platform, workshop: Workshop) -> Plan:
    """Raises BuildError, and ModelFileError for a model that fails its self-test. model: the order's."""
    store, tell = workshop.store, workshop.tell
    tell(f"reading the base for {platform}")
    base = open_base(order.base, platform, store, workshop.connect)
    target = Target(base.interpreter.minor, base.interpreter.glibc, platform)
    wheels = fetch_wheels(target, store, tell)
    tell(f"preparing the contents for {platform}")
    package = package_tree(store, target)
    subject = Subject(order.model, model, package)
    libraries = proven_libraries(subject, target, wheels, store)
    sbom = write_sbom(model, base, wheels)
    told = labels(model, base, libraries.runtime, order.labels)
    return Plan(
        base=base,
        parts=(
            *_base_parts(base, libraries.tree, store),
            Part("onnxport", _key(package), package.entries),
            _model_part(model, sbom),
        ),
        config=container_config(base, told),
        created=created(model),
        sbom=sbom,
        warnings=_warnings(target),
        notes=libraries.notes,
    )


def _base_parts(base: BaseImage, libraries: Tree, store: Store) -> Iterator[Part]:
    """What changes with the base and the pinned libraries alone. The first part takes away what nobody needs."""
    removed = base.interpreter.unwanted
    compiled = bytecode_tree(store, base)
    if compiled is not None:
        yield Part("bytecode", _key(compiled, removed), compiled.entries, removed)
        removed = ()
    yield Part("libraries", _key(libraries, removed), libraries.entries, removed)


def _key(tree: Tree, removed: tuple[str, ...] = ()) -> Key:
    return {"tree": tree.key, "place": tree.place, "removed": list(removed)}


def _model_part(model: ModelFile, sbom: bytes) -> Part:
    name = f"{MODEL}/{model_name(model)}.onnx"
    key = {"model": model.digest, "name": name, "sbom": digest_of(sbom)}
    return Part("model", key, partial(_model_entries, name, model.content, sbom))


def _model_entries(name: str, content: bytes, sbom: bytes) -> Iterable[Entry]:
    return Entry(name, content), Entry(SBOM, sbom)


def _warnings(target: Target) -> tuple[str, ...]:
    if can_compile(target.minor):
        return ()
    return (
        (
            f"the base has Python 3.{target.minor} and 3.{MINOR} runs here, so nothing in the image is compiled, and "
            "each start of a container takes about twice as long, two seconds more on a small machine; build with "
            f"Python 3.{target.minor}, or give a --base with 3.{MINOR}"
        ),
    )
