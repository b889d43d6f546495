"""Checks of the source bundle: P14, and P20 to P24. All of them read any zip, ours or another's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from onnxport.deploy.bundle import DOCKERRUN
from onnxport.deploy.forms import suggestion
from onnxport.deploy.preflight.finding import Said, failed, judged, ok, skipped, warning
from onnxport.deploy.preflight.members import Member, image_of, port_of
from onnxport.deploy.preflight.nginx import find_nginx, refusal
from onnxport.deploy.preflight.subject import Subject
from onnxport.errors import BuildError, shorten
from onnxport.image.reference import parse_reference

_MB = 1_000_000
_LARGEST = 500 * _MB
_KEYS = (
    *("AWSEBDockerrunVersion", "Authentication", "Image", "Ports", "Volumes", "Logging"),
    *("Entrypoint", "Command"),
)
_VERSION_2 = ("containerDefinitions", "volumes", "family")
_ROOTS = (DOCKERRUN, "Dockerfile", "docker-compose.yml")
_CONF = ".platform/nginx/conf.d/"
_HOOKS = re.compile(r"\.platform/(conf)?hooks/(prebuild|predeploy|postdeploy)/[^/]+")
_UNWANTED = re.compile(r"(^|/)(\.git/.*|\.env|\.DS_Store|__pycache__/.*)$")
_BLOCK = re.compile(r"^\s*(server|upstream\s+docker|http)\s*\{", re.MULTILINE)
_BODY = re.compile(r"^\s*client_max_body_size\s+(\d+)([kKmMgG]?)\s*;", re.MULTILINE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NGINX_BODY = 1 << 20  # bytes that nginx takes where nothing is said
_OURS = "let `onnxport deploy` make the bundle"


# ------------------------------------------------------------------------------------------------------------- P14


def bodies_pass(subject: Subject) -> Said:
    """P14"""
    server, proxy = int(subject.variables["ONNXPORT_MAX_BODY"]), body_limit(subject.members)
    if proxy < server:
        return failed(
            f"the server takes bodies of {server:,} bytes, and nginx refuses them above {proxy:,} with 413",
            f"ship client_max_body_size in {_CONF}, as limits.body_mb does",
        )
    if (largest := _golden_body(subject)) > server:
        return failed(
            f"the stored rows as one list take {largest:,} bytes, and bodies may have {server:,}",
            "raise limits.body_mb",
        )
    return ok(f"nginx takes {proxy:,} bytes, the server {server:,}, the stored rows {largest:,}")


def body_limit(members: Sequence[Member]) -> int:
    """Bytes that the proxy takes."""
    texts = (one.content.decode("utf-8", "replace") for one in _snippets(members))
    found = [match for text in texts for match in _BODY.finditer(text)]
    return int(found[-1][1]) * _UNITS[found[-1][2].lower()] if found else _NGINX_BODY


def _golden_body(subject: Subject) -> int:
    rows = subject.file.selftest
    listed = [rows.row(at) for at in range(rows.rows)]
    return len(json.dumps({"data": listed}, default=str))


# ------------------------------------------------------------------------------------------------------------- P20


def dockerrun_read(subject: Subject) -> Said:
    """P20"""
    return judged(
        dockerrun_faults(subject.members),
        f"{DOCKERRUN} is of version 1, with an image and a port",
        _OURS,
    )


def dockerrun_faults(members: Sequence[Member]) -> Iterator[str]:
    """What the Docker platform wouldn't take of Dockerrun.aws.json."""
    names = {one.name for one in members}
    text = next((one.content for one in members if one.name == DOCKERRUN), None)
    if text is None:
        if not names & set(_ROOTS):
            yield f"there is no {DOCKERRUN}"
        return
    try:
        told = json.loads(text)
    except ValueError as err:
        yield f"{DOCKERRUN} is no JSON: {shorten(str(err), 120)}"
        return
    if not isinstance(told, dict):
        yield f"{DOCKERRUN} is no JSON object"
        return
    yield from _key_faults(told)
    yield from _companions(told, names)
    if "Dockerfile" not in names:
        yield from _image_faults(told)


def _key_faults(told: dict[str, Any]) -> Iterator[str]:
    version = str(told.get("AWSEBDockerrunVersion"))
    if version != "1":
        yield f"AWSEBDockerrunVersion is {shorten(version)}, and one image needs 1"
    for key in told:
        if key in _VERSION_2:
            yield f"{key} belongs to version 2, for the platform of ECS"
        elif key not in _KEYS:
            yield f"{shorten(key)} is no key of it{suggestion(key, _KEYS)}"


def _companions(told: dict[str, Any], names: set[str]) -> Iterator[str]:
    if "docker-compose.yml" in names:
        yield f"docker-compose.yml and {DOCKERRUN} of version 1 can't be together"
    if "Dockerfile" in names and "Image" in told:
        yield "Image is named beside a Dockerfile, which wins"


def _image_faults(told: dict[str, Any]) -> Iterator[str]:
    name = image_of(told)
    if not name:
        yield "Image.Name is missing"
    else:
        try:
            parse_reference(name)
        except BuildError as err:
            yield f"Image.Name: {err}"
    if not port_of(told).isdecimal():
        yield "Ports names no ContainerPort"


# ------------------------------------------------------------------------------------------------------------- P21


def well_packed(subject: Subject) -> Said:
    """P21"""
    return judged(
        layout_faults(subject.members),
        f"{len(subject.members)} files from the bundle's root on, nothing hidden among them",
        _OURS,
    )


def layout_faults(members: Sequence[Member]) -> Iterator[str]:
    """What a zip of a folder, or from another system, gets wrong."""
    names = [one.name for one in members]
    if not set(names) & set(_ROOTS):
        inner = next((name for name in names if name.rpartition("/")[2] in _ROOTS), "")
        if inner:
            yield f"{shorten(inner)} stands in a folder, and must be at the root"
    for member in members:
        name = shorten(member.name)
        if "\\" in member.name:
            yield f"{name} has a backslash"
        if member.name.startswith("/") or ".." in member.name.split("/"):
            yield f"{name} leads out of the bundle"
        if _UNWANTED.search(member.name):
            yield f"{name} doesn't belong into a bundle"
        if _HOOKS.fullmatch(member.name):
            yield from (f"{name} {fault}" for fault in _hook_faults(member))


def _hook_faults(member: Member) -> Iterator[str]:
    if not member.is_executable:
        yield "is a hook and isn't executable"
    if not member.content.startswith((b"#!", b"\x7fELF")):
        yield "is a hook and doesn't begin with #!"
    if b"\r\n" in member.content:
        yield "is a hook with the line ends of Windows"


# ------------------------------------------------------------------------------------------------------------- P22


def small_enough(subject: Subject) -> Said:
    """P22"""
    size = len(subject.bundle)
    if size > _LARGEST:
        return failed(
            f"the bundle has {size / _MB:,.0f} MB, and 500 are allowed", "leave models out of it"
        )
    return ok(f"the bundle has {size:,} bytes")


# ------------------------------------------------------------------------------------------------------------- P23


def nginx_takes_it(subject: Subject) -> Said:
    """P23"""
    return snippets_verdict(subject.members, find_nginx())


def snippets_verdict(members: Sequence[Member], program: str | None) -> Said:
    """program: nginx, or None where there is none to ask."""
    snippets = _snippets(members)
    fix = f"keep {_CONF} to directives of the http block that Elastic Beanstalk doesn't set itself"
    faults = [*snippet_faults(members)]
    if faults or not snippets:
        return judged(faults, "no snippet for nginx", fix)
    if program is None:
        return skipped(
            f"nginx isn't here; {len(snippets)} snippets were read, and have no server or upstream block",
            "install nginx to have them tried",
        )
    said = refusal(program, {one.name: one.content for one in snippets})
    if said:
        return failed(f"nginx refuses the snippets: {said}", fix)
    return ok(f"nginx takes {', '.join(one.name for one in snippets)}")


def _snippets(members: Sequence[Member]) -> list[Member]:
    return [one for one in members if one.name.startswith(_CONF) and one.name.endswith(".conf")]


def snippet_faults(members: Sequence[Member]) -> Iterator[str]:
    """What can be told without nginx."""
    for one in members:
        if one.name.startswith(".ebextensions/nginx/"):
            yield f"{shorten(one.name)} is ignored on Amazon Linux 2023"
    for one in _snippets(members):
        if block := _BLOCK.search(one.content.decode("utf-8", "replace")):
            yield f"{shorten(one.name)} has a block {block[1]}, which Elastic Beanstalk defines"


# ------------------------------------------------------------------------------------------------------------- P24


def extensions_read(subject: Subject) -> Said:
    """P24"""
    files = [one for one in subject.members if one.name.startswith(".ebextensions/")]
    faults = [*extension_faults(files)]
    if faults:
        return judged(faults, "", "write it as JSON, which is YAML too, in a .config file")
    twice = [
        f"{space} {name}" for space, name in _set_there(files) if (space, name) in subject.settings
    ]
    if twice:
        return warning(
            f"{', '.join(twice[:3])} of .ebextensions has no effect beside the environment's own settings",
            "set it in onnxport.toml",
        )
    return ok(f"{len(files)} files in .ebextensions, none of which is overridden")


def extension_faults(files: Sequence[Member]) -> Iterator[str]:
    """Files that Elastic Beanstalk would stop at, or pass over."""
    for one in files:
        name = shorten(one.name)
        if one.name.startswith(".ebextensions/nginx/"):
            continue
        if not one.name.endswith(".config"):
            yield f"{name} isn't called .config, and is passed over"
        elif not isinstance(_parsed(one.content), dict):
            yield f"{name} is no JSON object"


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _set_there(files: Sequence[Member]) -> Iterator[tuple[str, str]]:
    """Options that the files set, in either of the two forms."""
    for one in files:
        told = _parsed(one.content)
        options = told.get("option_settings") if isinstance(told, dict) else None
        if isinstance(options, list):
            named = [option for option in options if isinstance(option, dict)]
            yield from ((str(o.get("namespace")), str(o.get("option_name"))) for o in named)
        elif isinstance(options, dict):
            for space, values in options.items():
                yield from ((space, name) for name in (values if isinstance(values, dict) else ()))
