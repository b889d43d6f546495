"""The command that makes a model file a container image."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from onnxport.cli.builders import (
    Delivery,
    build_with,
    keep,
    needed_engine,
    reach,
    try_made,
    write_context,
    write_files,
)
from onnxport.cli.builders import (
    push as push_image,
)
from onnxport.cli.built import facts, lines
from onnxport.cli.commands import FAILED, Command, say
from onnxport.cli.files import JSON_OPTION
from onnxport.cli.progress import progress
from onnxport.errors import BuildError, shorten

if TYPE_CHECKING:
    from onnxport.image.order import Order
    from onnxport.image.parts import Platform

_T = TypeVar("_T")
OWN_BUILDER = "daemonless"
_MAX_PASSWORD = 65_536
_MAX_LABEL = 4096
_OUR_LABELS = ("io.onnxport.", "org.opencontainers.image.base.")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")


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
@click.option(
    "--builder",
    type=click.Choice([OWN_BUILDER, "docker", "podman"]),
    default=OWN_BUILDER,
    show_default=True,
    help="Who packs the image: onnxport itself, or an engine, which then keeps it.",
)
@click.option(
    "--context",
    type=click.Path(path_type=Path, file_okay=False),
    help="Build nothing, but write a Dockerfile and its context there.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Run the image with docker or podman, and prove that it serves; what fails goes nowhere.",
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
    builder: str,
    context: Path | None,
    check: bool,
    labels: tuple[str, ...],
    registry_user: str | None,
    sbom: Path | None,
    as_json: bool,
) -> int:
    """Build a container image that serves a model file.

    Needs no container engine and no root. The same model, base and versions give the same digest on every machine.
    """
    if context is not None:
        _refuse_beside_context(tag=tag, push=push, output=output, check=check)
    is_own = builder == OWN_BUILDER
    delivery = _delivery(model, tag, push, output, sbom, is_kept=bool(context) or not is_own)
    _check_places(delivery, model, base)
    order = _order(model, base, platforms, labels, delivery)
    if context is not None:
        return write_context(order, context, as_json=as_json)
    if registry_user is not None and push is None:
        raise click.UsageError("--registry-user goes with --push")
    password = _password(registry_user)
    with progress(f"building an image for {shorten(model.name)}") as tell:
        engine = needed_engine(order, None if is_own else builder, check=check)
        reach(delivery, registry_user, password, tell)
        made = build_with(order, None if is_own else engine, tell)
        built = made.built
        trial = try_made(order, made, engine, tell) if check and engine else None
        if trial and not trial.passed:
            delivery = Delivery(None, None, None, None)
        sboms = write_files(built, delivery)
        kept = keep(made, delivery)
        push_image(built, delivery, registry_user, password, tell)
    for warning in built.warnings:
        say(f"warning: {warning}")
    if trial and engine and len(order.platforms) > 1:
        say(f"only the image for {engine.platform} was tried; {engine.name} here runs no other")
    told = {
        **facts(built, delivery, sboms),
        **kept,
        **({"check": trial.to_json()} if trial else {}),
    }
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join([*lines(built, told), *(trial.lines() if trial else ())]))
    return FAILED if trial and not trial.passed else 0


# ------------------------------------------------------------------------------------------------- what is wanted


def _refuse_beside_context(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise click.UsageError(f"--context builds no image; leave --{name} out, or --context")


def _delivery(
    model: Path,
    tag: str | None,
    push: str | None,
    output: Path | None,
    sbom: Path | None,
    *,
    is_kept: bool,
) -> Delivery:
    """is_kept: whether there is a place for the image already, other than a file."""
    from onnxport.image.reference import parse_reference

    if output is None and push is None and not is_kept:
        output = Path(f"{model.stem or 'image'}.tar")
    target = _usage(parse_reference, push) if push is not None else None
    named = _usage(parse_reference, tag) if tag is not None else target
    if tag is not None and named and named.digest:
        raise click.UsageError(
            "--tag names what is built, whose digest comes of it; leave out @sha256:..."
        )
    if sbom is None and output is not None:
        sbom = output.parent / f"{output.name.removesuffix('.tar')}.cdx.json"
    return Delivery(named, target, output, sbom)


def _check_places(delivery: Delivery, model: Path, base: str | None) -> None:
    """What is written takes the place neither of what is read nor of what is written besides."""
    taken = {"the model": model}
    if base is not None and Path(base).is_file():
        taken["the base"] = Path(base)
    for option, path in (("--output", delivery.output), ("--sbom", delivery.sbom)):
        if path is None:
            continue
        told = f"{option} {shorten(str(path))!r}"
        if not path.name:
            raise click.UsageError(f"{told} is no file's name; give one")
        for what, other in taken.items():
            if os.path.realpath(path) == os.path.realpath(other):
                raise click.UsageError(
                    f"{told} would be written over {what}; give another file with {option}"
                )
        if not path.parent.is_dir():
            raise BuildError(f"{told}: its folder isn't there; make it, or give another place")
        taken["the image"] = path


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
    if key.startswith(_OUR_LABELS):
        raise click.UsageError(
            f"--label {key}: labels of {' and '.join(_OUR_LABELS)} say where the image comes from; take another key"
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
