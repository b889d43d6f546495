"""The builder that lets docker or podman build: our Dockerfile, with the planned contents as its context, on the base
that we hand over. What comes out is read back, so that it can be pushed and written like any other image.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnxport.errors import BuildError
from onnxport.image.archive import SavedImage, SavedLayer, read_archive, write_archive
from onnxport.image.base_image import BaseImage
from onnxport.image.dockerfile import check_place, local_name, recipe_of, write_context
from onnxport.image.engine import Engine
from onnxport.image.layers import compress
from onnxport.image.order import Built, Order
from onnxport.image.parts import Image, Layer, canonical
from onnxport.image.plan import Plan, Workshop, make_plan
from onnxport.image.reference import parse_reference
from onnxport.image.store import Store
from onnxport.modelfile import read_model_file


@dataclass(frozen=True, slots=True)
class Delegated:
    """What an engine has built. identities: by which it knows each of the images."""

    built: Built
    identities: tuple[str, ...]


def write_contexts(order: Order, folder: Path, workshop: Workshop) -> tuple[Plan, ...]:
    """Dockerfile and contents for those who build themselves; with several platforms a folder for each.

    Raises BuildError and ModelFileError.
    """
    several = len(order.platforms) > 1
    places = [folder / one.architecture if several else folder for one in order.platforms]
    for place in places:
        check_place(place)
    plans = _plans(order, workshop)
    for plan, place in zip(plans, places, strict=True):
        write_context(recipe_of(plan), place)
    return plans


def build(order: Order, workshop: Workshop, engine: Engine) -> Delegated:
    """An image for each platform of the order, which the engine keeps without a name.

    Raises BuildError and ModelFileError. What an engine has stored by then lets it go faster the next time.
    """
    plans = _plans(order, workshop)
    made = [_build(plan, workshop, engine) for plan in plans]
    return Delegated(
        Built(
            images=tuple(image for _, image in made),
            sboms=tuple(plan.sbom for plan in plans),
            warnings=tuple(dict.fromkeys(text for plan in plans for text in plan.warnings)),
            notes=tuple(dict.fromkeys(text for plan in plans for text in plan.notes)),
        ),
        tuple(identity for identity, _ in made),
    )


def _plans(order: Order, workshop: Workshop) -> tuple[Plan, ...]:
    model = read_model_file(order.model)
    return tuple(make_plan(order, model, platform, workshop) for platform in order.platforms)


def _build(plan: Plan, workshop: Workshop, engine: Engine) -> tuple[str, Image]:
    platform = plan.base.platform
    with tempfile.TemporaryDirectory(prefix="onnxport-build-") as folder:
        workshop.tell(f"handing the base for {platform} to {engine.name}")
        base = hand_over(plan.base, engine, Path(folder, "base.tar"))
        context = Path(folder, "context")
        write_context(recipe_of(plan), context)
        workshop.tell(f"{engine.name} builds the image for {platform}")
        identity = engine.build(context, base=base, platform=platform)
        workshop.tell(f"reading the image for {platform} back")
        saved = Path(folder, "image.tar")
        engine.save(identity, saved)
        return identity, _read_back(saved, plan, workshop.store)


def hand_over(base: BaseImage, engine: Engine, archive: Path) -> str:
    """Lets the engine have a base, under a name of ours; by that it knows it the next time."""
    name = local_name(base)
    if not engine.has(name):
        write_archive(_bare(base), parse_reference(name), archive)
        engine.load(archive)
        archive.unlink()
    return name


def _bare(base: BaseImage) -> Image:
    """A base without triggers and volumes of its own: the Dockerfile says all that counts."""
    kept = {key: base.config[key] for key in ("Env", "Labels") if base.config.get(key)}
    document = {
        "architecture": base.platform.architecture,
        "config": kept,
        "created": "1970-01-01T00:00:00Z",
        "history": [{"created_by": layer.title} for layer in base.layers],
        "os": base.platform.os,
        "rootfs": {"diff_ids": [layer.diff_id for layer in base.layers], "type": "layers"},
    }
    return Image(base.platform, canonical(document), base.layers)


def _read_back(archive: Path, plan: Plan, store: Store) -> Image:
    saved = read_archive(archive)[0]
    known = {layer.diff_id: layer for layer in plan.base.layers}
    titles = iter([*(["settings"] if plan.parts[0].removed else []), *_titles(plan)])
    layers = [
        known.get(layer.diff_id) or _packed(layer, titles, store) for layer in _checked(saved, plan)
    ]
    return Image(plan.base.platform, saved.config, tuple(layers))


def _checked(saved: SavedImage, plan: Plan) -> tuple[SavedLayer, ...]:
    """The layers of an image, which must begin with the base's."""
    wanted = [layer.diff_id for layer in plan.base.layers]
    if [layer.diff_id for layer in saved.layers[: len(wanted)]] != wanted:
        raise BuildError(
            "the engine has built on another base than the one that it was given; remove "
            f"{local_name(plan.base)} from it, then run the same command again"
        )
    return saved.layers


def _titles(plan: Plan) -> Iterator[str]:
    yield from (part.title for part in plan.parts)


def _packed(saved: SavedLayer, titles: Iterator[str], store: Store) -> Layer:
    with saved.open() as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        unpacked = sum(member.size for member in tar)
    with saved.open() as stream:
        title = next(titles, "settings") if unpacked else "settings"
        return compress(store, title, stream, unpacked)
