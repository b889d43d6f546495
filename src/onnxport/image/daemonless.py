"""The builder that needs nothing running: layers and documents are written by us, the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from onnxport.image.contents import own_version
from onnxport.image.layers import Entry, cached_layer
from onnxport.image.order import Built, Order
from onnxport.image.parts import Image, Layer, canonical
from onnxport.image.plan import Part, Plan, Workshop, make_plan
from onnxport.image.rootfs import WHITEOUT
from onnxport.image.store import Store
from onnxport.modelfile import read_model_file


def build(order: Order, workshop: Workshop) -> Built:
    """An image for each platform of the order. Raises BuildError and ModelFileError, and leaves nothing half-made."""
    model = read_model_file(order.model)
    plans = [make_plan(order, model, platform, workshop) for platform in order.platforms]
    images = []
    for plan in plans:
        workshop.tell(f"packing the image for {plan.base.platform}")
        images.append(pack(plan, workshop.store))
    return Built(
        images=tuple(images),
        sboms=tuple(plan.sbom for plan in plans),
        warnings=_once(plan.warnings for plan in plans),
        notes=_once(plan.notes for plan in plans),
    )


def pack(plan: Plan, store: Store) -> Image:
    """The image of a plan, its layers in the store."""
    added = [_pack_part(part, store) for part in plan.parts]
    layers = (*plan.base.layers, *added)
    document = {
        "architecture": plan.base.platform.architecture,
        "config": plan.config,
        "created": plan.created,
        "history": _history(plan, layers),
        "os": plan.base.platform.os,
        "rootfs": {"diff_ids": [layer.diff_id for layer in layers], "type": "layers"},
    }
    return Image(plan.base.platform, canonical(document), layers)


def _pack_part(part: Part, store: Store) -> Layer:
    return cached_layer(store, part.key, part.title, lambda: _with_whiteouts(part))


def _with_whiteouts(part: Part) -> Iterator[Entry]:
    yield from part.entries()
    for path in part.removed:
        folder, _, name = path.rpartition("/")
        yield Entry(f"{folder}/{WHITEOUT}{name}")


def _history(plan: Plan, layers: Iterable[Layer]) -> list[dict[str, Any]]:
    tool = f"onnxport {own_version()}"
    return [{"created": plan.created, "created_by": f"{tool}: {layer.title}"} for layer in layers]


def _once(told: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for texts in told for text in texts))
