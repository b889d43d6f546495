"""Steps on environments: for each what it changes, which permissions it needs, and how it is taken back. `supplies.py`
has those on all that environments stand on.

The names of actions are rows of the table in `actions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxport.deploy.drift import platform_number
from onnxport.deploy.permissions import CALLED, LOOK, ON_BEHALF, eb
from onnxport.deploy.plan import Step, Undo

Settings = Sequence[Mapping[str, str]]


def undo(action: str, title: str, **arguments: Any) -> Undo:
    """What takes a step back. action: one of the undoing ones."""
    return Undo(action, arguments, title, CALLED[action])


def _end_made(name: str, *, idle: bool, version: str) -> Undo:
    """Ends what this run has made, or one that it goes on with, and nothing else."""
    title = f"terminate environment {name}"
    return undo("terminate", title, name=name, idle=idle, version=version, made=True)


def create_environment(
    name: str,
    told: str,
    *,
    application: str,
    cname: str,
    version: str,
    platform: str,
    settings: Settings,
    tags: Mapping[str, str],
    idle: bool,
) -> Step:
    """idle: whether it gets an address that callers don't know; then it is never taken back once they do."""
    return Step(
        "create_environment",
        f"create environment {name}",
        "add",
        told,
        {
            "application": application,
            "name": name,
            "cname": cname,
            "version": version,
            "platform": platform,
            "settings": [dict(setting) for setting in settings],
            "tags": dict(tags),
        },
        (*eb("CreateEnvironment", "AddTags"), *LOOK, *ON_BEHALF),
        _end_made(name, idle=idle, version=version),
    )


def await_ready(
    name: str, told: str, *, id: str = "", idle: bool = True, version: str = ""
) -> Step:
    """id: of an environment that a broken-off run of ours made, which goes if this or what follows fails.

    idle, version: as for `create_environment`.
    """
    return Step(
        "await_ready",
        f"wait for {name}",
        "look",
        told,
        {"name": name, "id": id},
        LOOK,
        _end_made(name, idle=idle, version=version) if id else None,
    )


def await_gone(name: str) -> Step:
    return Step(
        "await_gone",
        f"wait for the end of {name}",
        "look",
        "it is terminating",
        {"name": name},
        LOOK,
    )


def update_settings(
    name: str,
    told: str,
    *,
    settings: Settings,
    remove: Settings,
    back: Settings,
    added: Settings,
    idle: bool,
) -> Step:
    """back: the values that there were. added: options that there weren't, which go when it is taken back. idle:
    whether callers mustn't reach it meanwhile.
    """
    inverse = undo(
        "update_settings",
        f"put the former settings of {name} back",
        name=name,
        settings=list(map(dict, back)),
        remove=list(map(dict, added)),
        idle=idle,
    )
    return Step(
        "update_settings",
        f"change settings of {name}",
        "change",
        told,
        {
            "name": name,
            "settings": list(map(dict, settings)),
            "remove": list(map(dict, remove)),
            "idle": idle,
        },
        CALLED["update_settings"],
        inverse,
    )


def update_platform(name: str, platform: str, told: str, *, former: str) -> Step:
    """platform, former: ARNs, or names of stacks."""
    number, old = platform_number(platform), platform_number(former)
    return Step(
        "update_platform",
        f"put {name} on platform {number}",
        "change",
        f"in place of {old}; {told}",
        {"name": name, "platform": platform},
        CALLED["update_platform"],
        undo(
            "update_platform",
            f"put {name} back on platform {old}",
            name=name,
            platform=former,
        ),
    )


def update_version(
    name: str,
    version: str,
    told: str,
    *,
    former: str | None,
    tags: Mapping[str, str],
    former_tags: Mapping[str, str],
    idle: bool,
) -> Step:
    """idle: whether callers mustn't reach it meanwhile."""
    inverse = undo(
        "update_version",
        f"put version {former} back on {name}",
        name=name,
        version=former,
        tags=dict(former_tags),
        idle=idle,
    )
    return Step(
        "update_version",
        f"put version {version} on {name}",
        "change",
        told,
        {"name": name, "version": version, "tags": dict(tags), "idle": idle},
        CALLED["update_version"],
        inverse if former else None,
    )


def verify(
    name: str, *, latency_ms: float, model_digest: str, commits: bool, is_here: bool = True
) -> Step:
    """Golden requests to an environment's own address. is_here: whether the model file is, from which they come."""
    asked = (
        f"golden requests are answered as stored, each within {latency_ms:g} ms"
        if is_here
        else f"it serves model {model_digest[:12]}, whose file isn't here for golden requests"
    )
    return Step(
        "verify",
        f"verify {name}",
        "look",
        f"health is green, {asked}",
        {"name": name, "latency_ms": latency_ms, "model_digest": model_digest},
        LOOK,
        commits=commits,
    )


def swap(name: str, former: str, address: str, *, version: str | None) -> Step:
    """The address that callers know comes to `name`. version: which it must have then."""
    return Step(
        "point",
        f"swap {name} and {former}",
        "change",
        f"{address} leads to {name} from then on",
        {"name": name, "former": former, "version": version},
        CALLED["point"],
        undo("point", f"swap back to {former}", name=former, former=name, version=None),
    )


def watch(name: str, *, seconds: int, model_digest: str, is_here: bool = True) -> Step:
    """is_here: as for `verify`."""
    asked = "golden requests" if is_here else f"model {model_digest[:12]}"
    return Step(
        "watch",
        f"watch {name} for {seconds} s",
        "look",
        f"{asked} and health; a failure takes all of it back",
        {"name": name, "seconds": seconds, "model_digest": model_digest},
        LOOK,
        commits=True,
    )


def terminate(name: str, told: str, *, idle: bool, launching: bool = False) -> Step:
    """idle: only while callers don't reach it. launching: only as long as it never was ready."""
    return Step(
        "terminate",
        f"terminate environment {name}",
        "remove",
        told,
        {"name": name, "idle": idle, "launching": launching},
        CALLED["terminate"],
    )


def abort(name: str) -> Step:
    return Step(
        "abort",
        f"abort the update of {name}",
        "change",
        "it returns to the version and settings of before",
        {"name": name},
        (*eb("AbortEnvironmentUpdate"), *LOOK),
    )


def remove(action: str, what: str, told: str, **arguments: Any) -> Step:
    """A step of `destroy`. action: one of the undoing ones."""
    return Step(action, f"delete {what}", "remove", told, arguments, CALLED[action])
