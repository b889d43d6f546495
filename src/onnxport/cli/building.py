"""The command that makes a model file a container image."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from onnxport.cli.commands import Command, say
from onnxport.cli.files import JSON_OPTION
from onnxport.cli.progress import progress
from onnxport.errors import BuildError, shorten

if TYPE_CHECKING:
    from onnxport.image.order import Built, Order
    from onnxport.image.parts import Image, Layer, Platform
    from onnxport.image.reference import Reference
    from onnxport.image.registry import Progress, Registry

_T = TypeVar("_T")
_BAR = 30  # characters
_MEGABYTE = 1e6
_MAX_PASSWORD = 65_536
_MAX_LABEL = 4096
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where an image goes. tag: what an archive is loaded as."""

    tag: Reference | None
    push: Reference | None
    output: Path | None
    sbom: Path | None


@click.command(cls=Command)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-t", "--tag", metavar="NAME:TAG", help="The image's name.")
@click.option("--push", metavar="REGISTRY/NAME:TAG", help="Send the image to a registry.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the image into a tar for docker load, podman load and skopeo.  "
    "[default without --push: the model's name with .tar]",
)
@click.option(
    "--platform", "platforms", help="Such as linux/amd64,linux/arm64.  [default: this machine's]"
)
@click.option(
    "--base",
    metavar="REF|IMAGE.TAR",
    help="What to build on: an image's name, or a file of docker save.  "
    "[default: the official slim image of the Python that runs here]",
)
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label of yours.")
@click.option(
    "--registry-user",
    metavar="NAME",
    help="Who pushes; the password is read from stdin. Else ~/.docker/config.json says.",
)
@click.option(
    "--sbom",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the list of what is inside (CycloneDX) there.  [default: beside the tar]",
)
@JSON_OPTION
def build(
    model: Path,
    tag: str | None,
    push: str | None,
    output: Path | None,
    platforms: str | None,
    base: str | None,
    labels: tuple[str, ...],
    registry_user: str | None,
    sbom: Path | None,
    as_json: bool,
) -> None:
    """Build a container image that serves a model file.

    Needs no container engine and no root. The same model, base and versions give the same digest on every machine.
    """
    delivery = _delivery(model, tag, push, output, sbom)
    order = _order(model, base, platforms, labels, delivery)
    password = _password(registry_user)
    with progress(f"building an image for {model.name}") as tell:
        built = _build(order, tell)
        if delivery.push:
            tell(f"pushing {delivery.push}")
            with _registry(delivery.push, registry_user, password, tell) as registry:
                registry.push(built.images, delivery.push)
        sboms = _write(built, delivery)
    for warning in built.warnings:
        say(f"warning: {warning}")
    told = _facts(built, delivery, sboms)
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(built, told)))


# ------------------------------------------------------------------------------------------------- what is wanted


def _delivery(
    model: Path, tag: str | None, push: str | None, output: Path | None, sbom: Path | None
) -> Delivery:
    from onnxport.image.reference import parse_reference

    if output is None and push is None:
        output = Path(f"{model.stem or 'image'}.tar")
    target = _usage(parse_reference, push) if push is not None else None
    named = _usage(parse_reference, tag) if tag is not None else target
    if sbom is None and output is not None:
        sbom = output.with_name(f"{output.name.removesuffix('.tar')}.cdx.json")
    return Delivery(named, target, output, sbom)


def _order(
    model: Path,
    base: str | None,
    platforms: str | None,
    labels: tuple[str, ...],
    delivery: Delivery,
) -> Order:
    from onnxport.image.order import Order
    from onnxport.image.reference import parse_platforms
    from onnxport.image.replay import own_platform

    wanted: tuple[Platform, ...] = (own_platform(),)
    if platforms is not None:
        wanted = _usage(parse_platforms, platforms)
    if len(wanted) > 1 and delivery.output is not None:
        raise click.UsageError(
            "a file takes the image of one --platform; for several give --push and no --output"
        )
    return Order(model, wanted, base, dict(map(_label, labels)))


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not _LABEL.fullmatch(key):
        raise click.UsageError(
            f"--label {shorten(text)!r}: give KEY=VALUE, the key of small letters, digits, dots, dashes and _"
        )
    if len(value) > _MAX_LABEL or not value.isprintable():
        raise click.UsageError(
            f"--label {key}: a value has at most {_MAX_LABEL} characters, and no line breaks or control characters"
        )
    return key, value


def _usage(parse: Callable[[str], _T], text: str) -> _T:
    """What doesn't fit its grammar is wrong usage, not a build that failed."""
    try:
        return parse(text)
    except BuildError as err:
        raise click.UsageError(str(err)) from err


def _password(user: str | None) -> str | None:
    if user is None:
        return None
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, err=True))
    text = sys.stdin.readline(_MAX_PASSWORD).rstrip("\r\n")
    if not text:
        raise click.UsageError(
            "--registry-user takes the password from stdin, and nothing is there"
        )
    return text


# ------------------------------------------------------------------------------------------------------ doing it


def _build(order: Order, tell: Callable[[str], None]) -> Built:
    from onnxport.image.daemonless import build as build_image
    from onnxport.image.plan import Workshop
    from onnxport.image.store import Store

    workshop = Workshop(Store(), lambda reference: _registry(reference, None, None, tell), tell)
    return build_image(order, workshop)


@contextmanager
def _registry(
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


def _write(built: Built, delivery: Delivery) -> list[Path]:
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
        path.write_bytes(content)
    return paths


# ------------------------------------------------------------------------------------------------- what came of it


def _facts(built: Built, delivery: Delivery, sboms: Sequence[Path]) -> dict[str, Any]:
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


def _lines(built: Built, told: dict[str, Any]) -> Iterator[str]:
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
    if told["output"]:
        yield f"wrote {told['output']}; load it with docker load -i {told['output']}"
    if told["sbom"]:
        yield f"contents listed in {', '.join(told['sbom'])}"


def _size(count: int) -> str:
    return f"{count / _MEGABYTE:8.1f} MB"
