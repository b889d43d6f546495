"""Checks of the image as it is, none of which runs it: P04, P05, P06, P15, P18, P19."""

from __future__ import annotations

from collections.abc import Iterator

from onnxport.deploy.agreement import architecture_of
from onnxport.deploy.preflight.finding import Said, failed, judged, ok, warning
from onnxport.deploy.preflight.layers import Programs, read_leaks, read_programs
from onnxport.deploy.preflight.model import machine_if_told
from onnxport.deploy.preflight.subject import Subject
from onnxport.errors import BuildError
from onnxport.image import leaks, proofs
from onnxport.image.manifests import kind_of, parse_manifest
from onnxport.image.parts import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, manifest_list

ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}  # EC2's words in Docker's
_GB = 1e9
_COPIES, _SYSTEM = 3, 3e9  # the new image, the old one, what is unpacked meanwhile; the system
_LABELS = ("org.opencontainers.image.title", "org.opencontainers.image.version")


def fits_disk(subject: Subject) -> Said:
    """P04"""
    unpacked = sum(layer.unpacked for layer in subject.image.layers)
    need, disk = (_COPIES * unpacked + _SYSTEM) / _GB, subject.intent.instances.volume_gb
    told = f"{_COPIES} x {unpacked / _GB:.2f} GB of image and {_SYSTEM / _GB:.0f} GB of system"
    if need > disk:
        return failed(
            f"{told} don't fit on {disk} GB", f"write volume_gb = {int(need) + 1} in [instances]"
        )
    return ok(f"{told} fit on {disk} GB")


def same_processor(subject: Subject) -> Said:
    """P05"""
    told, found = subject.intent.instances, subject.image.platform.architecture
    wanted = ARCHITECTURES[told.architecture]
    if found != wanted:
        return failed(
            f"the image is for {found}, and the instances are {told.architecture}",
            f"build it for linux/{wanted}, or take other instance types",
        )
    for name in told.types:
        kinds = _architectures(subject, name)
        if told.architecture not in kinds:
            return failed(
                f"{name} is {' or '.join(kinds)}, and the image for {told.architecture}",
                f'take a type with {told.architecture}, or write architecture = "{kinds[0]}"',
            )
    return ok(f"image, instance types {', '.join(told.types)} and option: {told.architecture}")


def _architectures(subject: Subject, name: str) -> tuple[str, ...]:
    found = machine_if_told(subject, name)
    return found.architectures if found else (architecture_of(name),)


def same_machine_code(subject: Subject) -> Said:
    """P06"""
    image = subject.image
    programs = read_programs(image.layers, subject.store)
    return judged(
        _code_faults(programs, image.platform.architecture),
        f"{programs.count} programs and libraries for {image.platform.architecture}; they need glibc "
        f"2.{programs.needs[0]} and have 2.{programs.has}",
        "build on another --base, with glibc and for this processor",
    )


def _code_faults(programs: Programs, architecture: str) -> Iterator[str]:
    if programs.musl:
        yield f"{programs.musl} is musl's loader, for which there is no ONNX Runtime"
    for machine_code, path in programs.machines.items():
        if machine_code != architecture:
            yield f"{path} is for {machine_code}, and the image for {architecture}"
    needs, path = programs.needs
    if needs > programs.has:
        yield f"{path} needs glibc 2.{needs}, and the image has 2.{programs.has}"


def plain_manifest(subject: Subject) -> Said:
    """P15"""
    built = subject.built
    content = built.images[0].manifest if len(built.images) == 1 else manifest_list(built.images)
    return judged(
        manifest_faults(content),
        "one image of Docker's schema 2, no list and no attestations",
        "build for one platform, without --provenance and --sbom",
    )


def manifest_faults(content: bytes) -> Iterator[str]:
    """What of a manifest Lambda or SageMaker would refuse, and Elastic Beanstalk on old Docker."""
    kind = kind_of(content)
    if kind != MANIFEST_TYPE:
        yield f"the manifest is {kind}"
        return
    manifest = parse_manifest(content)
    for one in (manifest.config, *manifest.layers):
        if one.media_type not in (CONFIG_TYPE, LAYER_TYPE):
            yield f"{one.digest[:19]} is {one.media_type}"


def no_secrets(subject: Subject) -> Said:
    """P18"""
    faults = [
        one.text
        for one in proofs.settings(subject.config)
        if one.check == "P18" and one.verdict == "failure"
    ]
    return judged(
        [*faults, *_leaks(subject)],
        f"no key, password or token in {len(subject.image.layers)} layers and the variables; telemetry is off",
        "build from a clean base with `onnxport build`, and change whatever has been told",
    )


def _leaks(subject: Subject) -> Iterator[str]:
    image = subject.image
    yield from leaks.leaks_of_variables(subject.config.get("Env") or [])
    yield from leaks.leaks_of_text(image.config, "the image's configuration")
    yield from read_leaks(image.layers, subject.store)


def labelled(subject: Subject) -> Said:
    """P19"""
    labels = subject.config.get("Labels") or {}
    for name in _LABELS:
        if not labels.get(name):
            return warning(f"the image has no label {name}", "build it with `onnxport build`")
    facts = subject.file.manifest["model"]
    title, version = (labels[name] for name in _LABELS)
    if (title, version) != (subject.file.manifest.name, subject.file.manifest.version):
        raise BuildError(
            f"the image says {title} {version}, and the model file another name; build it again"
        )
    if not facts.get("license"):
        return warning(
            f"{title} {version} is labelled, and names no licence",
            "give license= to onnxport.save, where others may use the model",
        )
    return ok(f"{title} {version}, licence {facts['license']}")
