"""Check P30: the names of all that will be made, against the limits of AWS's own models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from onnxport.deploy.names import SLOTS, version_label
from onnxport.deploy.preflight.facts import Limit
from onnxport.deploy.preflight.finding import Said, judged
from onnxport.deploy.preflight.subject import Subject

# What the models don't say and the service does.
_FORMS = {
    "EnvironmentName": r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?",
    "DNSCnamePrefix": r"[a-z0-9]([a-z0-9-]*[a-z0-9])?",
    "ApplicationName": r"[^/]+",
}


def names_fit(subject: Subject) -> Said:
    """P30"""
    from onnxport.deploy.aws.inspection import name_limits

    limits, named = name_limits(), list(_named(subject))
    return judged(
        name_faults(named, limits),
        f"{len(named)} names, such as {named[1][1]} and {named[3][1]}, keep AWS's limits",
        "choose a shorter app or environment in onnxport.toml, of small letters, digits and hyphens",
    )


def _named(subject: Subject) -> Iterator[tuple[str, str]]:
    """Each name with the shape that AWS's models give it."""
    names = subject.names
    label = version_label(datetime(2000, 1, 1, tzinfo=UTC), "0" * 64)
    yield "ApplicationName", names.application
    yield from (("EnvironmentName", names.environment(slot)) for slot in SLOTS)
    yield "DNSCnamePrefix", names.live_cname
    yield "DNSCnamePrefix", names.idle_cname
    yield "VersionLabel", label
    yield "S3Key", names.version_key(label)
    yield "RepositoryName", names.repository
    yield "roleNameType", names.instance_profile
    yield "roleNameType", names.service_role


def name_faults(named: list[tuple[str, str]], limits: Mapping[str, Limit]) -> Iterator[str]:
    """Names that are too short or too long, or of another form."""
    for shape, name in named:
        limit = limits[shape]
        if not limit.least <= len(name) <= limit.most:
            yield f"{shape} {name[:80]} has {len(name)} characters, and may have {limit.least} to {limit.most}"
        for form in (limit.pattern, _FORMS.get(shape, "")):
            if form and not re.fullmatch(form, name):
                yield f"{shape} {name[:80]} has characters that it may not"
