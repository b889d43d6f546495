"""Checks of where the image is kept: P16, P17, P49."""

from __future__ import annotations

from collections.abc import Iterator

from onnxport.deploy.images import is_docker_hub
from onnxport.deploy.preflight.facts import Shelf
from onnxport.deploy.preflight.finding import Said, failed, judged, ok, warning
from onnxport.deploy.preflight.members import dockerrun_of, image_of
from onnxport.deploy.preflight.subject import Subject

_GRAVE = ("CRITICAL", "HIGH")


def pinned(subject: Subject) -> Said:
    """P16"""
    name = image_of(dockerrun_of(subject.members))
    digest = name.partition("@")[2]
    if not digest:
        return failed(
            f"the bundle names {name or 'no image'} without a digest, and a rollback would be none",
            "let `onnxport deploy` make the bundle",
        )
    if digest != subject.built.digest:
        return failed(
            f"the bundle names {digest[:19]}, and {subject.built.digest[:19]} was built",
            "let `onnxport deploy` make the bundle",
        )
    if not subject.has_account or subject.intent.image.repository:
        return ok(f"{digest[:19]}, which the deployment pushes where it isn't yet")
    held = subject.observed.repository and digest in subject.observed.repository.digests
    there = "is in" if held else "isn't yet in, and is pushed to,"
    return ok(f"{digest[:19]} {there} {subject.names.repository}")


def pulls_unlimited(subject: Subject) -> Said:
    """P17"""
    repository = subject.intent.image.repository
    if is_docker_hub(repository):
        return warning(
            f"{repository} is on Docker Hub, which lets an address without an account pull 100 images in 6 hours",
            "leave image.repository empty to use ECR",
        )
    return ok(f"{repository or 'ECR'} doesn't count pulls")


def shelf_fits(subject: Subject) -> Said:
    """P49"""
    from onnxport.deploy.aws.inspection import read_shelf

    if subject.intent.image.repository:
        return ok(f"the image is kept in {subject.intent.image.repository}, not in ECR")
    digest = subject.built.digest if subject.has_image else ""
    return shelf_verdict(read_shelf(subject.cloud, subject.names.repository, digest))


def shelf_verdict(found: Shelf | None) -> Said:
    """Whether images stay what they are, and where they are."""
    if found is None:
        return ok("the repository isn't there yet; it is made with tags that never move, and scans")
    faults = [*_rules(found)]
    if faults:
        return judged(faults, "", "let the rule expire images without a tag alone")
    grave = {name: count for name, count in (found.findings or {}).items() if name in _GRAVE}
    if grave:
        told = ", ".join(f"{count} {name.lower()}" for name, count in grave.items())
        return warning(f"the scan of the image found {told}", "build on a newer base")
    if not found.is_immutable:
        return warning(
            f"tags of {found.name} can be moved; only digests are deployed",
            "make the tags immutable in ECR",
        )
    scan = "" if found.findings is None else ", its scan found nothing grave"
    return ok(f"{found.name} in this account and region{scan}")


def _rules(found: Shelf) -> Iterator[str]:
    """Lifecycle rules that would take away what a version still names."""
    for rule in found.lifecycle or ():
        selection = rule.get("selection", {})
        if selection.get("tagStatus") != "untagged":
            yield (
                f"rule {rule.get('rulePriority')} of {found.name} expires images with tags, which versions may name"
            )
