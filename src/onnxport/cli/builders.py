"""What `onnxport build` does once it knows what is wanted: builds, tries, writes, names."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxport.cli.commands import say
from onnxport.cli.progress import progress
from onnxport.errors import BuildError, shorten

if TYPE_CHECKING:
    from onnxport.image.engine import Engine
    from onnxport.image.order import Built, Order
    from onnxport.image.plan import Workshop
    from onnxport.image.reference import Reference
    from onnxport.image.registry import Progress, Registry
    from onnxport.image.trial import Trial

_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where an image goes. tag: what an archive is loaded as."""

    tag: Reference | None
    push: Reference | None
    output: Path | None
    sbom: Path | None


@dataclass(frozen=True, slots=True)
class Made:
    """What was built. engine: which built it, if one did, and keeps it; identities: by which it knows each image."""

    built: Built
    engine: Engine | None = None
    identities: tuple[str, ...] = ()


def needed_engine(order: Order, name: str | None, *, check: bool) -> Engine | None:
    """The engine, where one is needed: to build, or to try what was built. That it can is made sure of beforehand."""
    if name is None and not check:
        return None
    from onnxport.image.engine import find_engine
    from onnxport.image.trial import runnable

    engine = find_engine(name)
    if check:
        runnable(engine, order.platforms)
    return engine


def build_with(order: Order, engine: Engine | None, tell: Callable[[str], None]) -> Made:
    from onnxport.image.daemonless import build as build_image

    if engine is None:
        return Made(build_image(order, _workshop(tell)))
    from onnxport.image.delegated import build as let_build

    delegated = let_build(order, _workshop(tell), engine)
    return Made(delegated.built, engine, delegated.identities)


def _workshop(tell: Callable[[str], None]) -> Workshop:
    from onnxport.image.plan import Workshop
    from onnxport.image.store import Store

    return Workshop(Store(), lambda reference: open_registry(reference, None, None, tell), tell)


def write_context(order: Order, folder: Path, *, as_json: bool) -> int:
    from onnxport.image.delegated import write_contexts

    with progress(f"writing a build context for {order.model.name}") as tell:
        plans = write_contexts(order, folder, _workshop(tell))
    for warning in dict.fromkeys(text for plan in plans for text in plan.warnings):
        say(f"warning: {warning}")
    told = f"wrote {folder}; build it with docker build -t NAME:TAG {folder}"
    click.echo(json.dumps({"context": str(folder)}) if as_json else told)
    return 0


def try_made(order: Order, made: Made, engine: Engine, tell: Callable[[str], None]) -> Trial:
    from onnxport.image.trial import lent, runnable, try_image

    which = runnable(engine, order.platforms)
    if made.engine:
        return try_image(engine, made.identities[which], order.model, tell)
    tell(f"handing the image to {engine.name}")
    with lent(engine, made.built.images[which]) as identity:
        return try_image(engine, identity, order.model, tell)


def keep(made: Made, delivery: Delivery) -> dict[str, Any]:
    """Names the image in the engine that has built it: that for its own platform, if there are several."""
    if made.engine is None:
        return {}
    platforms = [image.platform for image in made.built.images]
    own = made.engine.platform
    identity = made.identities[platforms.index(own) if own in platforms else 0]
    if delivery.tag:
        made.engine.tag(identity, str(delivery.tag))
    return {"engine": made.engine.name, "kept": str(delivery.tag or identity)}


@contextmanager
def open_registry(
    reference: Reference, user: str | None, password: str | None, tell: Callable[[str], None]
) -> Iterator[Registry]:
    from onnxport.image.credentials import find_credentials
    from onnxport.image.registry import Registry

    credentials = find_credentials(reference.registry, user, password)
    with Registry(reference.registry, credentials, tell=_Transfers(tell)) as registry:
        yield registry


class _Transfers:
    """Tells once of each blob that takes a transfer, and of each wait."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[tuple[str, str]] = set()

    def __call__(self, progress: Progress) -> None:
        if progress.state == "waiting":
            self._tell(f"waiting for the registry: {progress.note}")
        elif progress.state in ("fetching", "sending"):
            key = progress.state, progress.digest
            if key not in self._told:
                self._told.add(key)
                size = f" ({progress.size / _MEGABYTE:.1f} MB)" if progress.size else ""
                self._tell(f"{progress.state} {progress.title}{size}")


def reach(
    delivery: Delivery, user: str | None, password: str | None, tell: Callable[[str], None]
) -> None:
    """Before a long build: whether the registry is there, and takes anything from us."""
    if delivery.push:
        with open_registry(delivery.push, user, password, tell) as registry:
            registry.reach(delivery.push)


def push(
    built: Built,
    delivery: Delivery,
    user: str | None,
    password: str | None,
    tell: Callable[[str], None],
) -> None:
    if delivery.push:
        tell(f"pushing {delivery.push}")
        with open_registry(delivery.push, user, password, tell) as registry:
            registry.push(built.images, delivery.push)


def write_files(built: Built, delivery: Delivery) -> list[Path]:
    """The archive, and the lists of contents: one for each platform."""
    from onnxport.image.archive import write_archive

    if delivery.output is not None:
        write_archive(built.images[0], delivery.tag, delivery.output)
    if delivery.sbom is None:
        return []
    paths = [delivery.sbom]
    if len(built.images) > 1:
        stem = delivery.sbom
        paths = [
            stem.with_stem(f"{stem.stem}-{image.platform.architecture}") for image in built.images
        ]
    for path, content in zip(paths, built.sboms, strict=True):
        _write(path, content)
    return paths


def _write(path: Path, content: bytes) -> None:
    """The whole file or none."""
    told = f"--sbom {shorten(str(path))!r}"
    if path.exists() and not path.is_file():
        raise BuildError(f"{told} is no file that can be replaced; give the name of a new one")
    unfinished = path.parent / f".onnxport-{secrets.token_hex(8)}"
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as err:
        raise BuildError(f"{told} can't be written ({err.strerror}); give another place") from err
    finally:
        unfinished.unlink(missing_ok=True)
