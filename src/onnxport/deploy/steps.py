"""The steps of which plans consist: for each what it changes, which permissions it needs, and how it is taken back.

The names of actions are rows of the table in `actions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxport.deploy.drift import platform_number
from onnxport.deploy.permissions import CALLED, LOOK, ON_BEHALF, eb, iam
from onnxport.deploy.plan import Step, Undo

Settings = Sequence[Mapping[str, str]]


def _undo(action: str, title: str, **arguments: Any) -> Undo:
    return Undo(action, arguments, title, CALLED[action])


def create_role(
    name: str,
    told: str,
    *,
    trust: Mapping[str, Any],
    policies: Sequence[str],
    inline: Mapping[str, Any] | None,
    tags: Mapping[str, str],
) -> Step:
    """told: what it is for, and what it may."""
    return Step(
        "create_role",
        f"create role {name}",
        "add",
        told,
        {
            "name": name,
            "trust": dict(trust),
            "policies": list(policies),
            "inline": dict(inline) if inline is not None else None,
            "tags": dict(tags),
        },
        iam("CreateRole", "AttachRolePolicy", "PutRolePolicy", "TagRole"),
        _undo("delete_role", f"delete role {name}", name=name),
    )


def create_profile(name: str, role: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_profile",
        f"create instance profile {name}",
        "add",
        f"hands role {role} to the machines",
        {"name": name, "role": role, "tags": dict(tags)},
        iam(
            "CreateInstanceProfile",
            "GetInstanceProfile",
            "AddRoleToInstanceProfile",
            "TagInstanceProfile",
            "PassRole",
        ),
        _undo("delete_profile", f"delete instance profile {name}", name=name),
    )


def create_application(name: str, *, keep: int, service_role: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_application",
        f"create application {name}",
        "add",
        f"holds environments and versions; the newest {keep} versions are kept",
        {"name": name, "keep": keep, "service_role": service_role, "tags": dict(tags)},
        (*eb("CreateApplication", "AddTags"), "iam:PassRole"),
        _undo("delete_application", f"delete application {name}", name=name),
    )


def create_repository(name: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_repository",
        f"create repository {name}",
        "add",
        "in ECR: private, tags never move, each image is scanned",
        {"name": name, "tags": dict(tags)},
        ("ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:TagResource"),
        _undo("delete_repository", f"delete repository {name}", name=name, force=False),
    )


def push_image(repository: str, digest: str, *, megabytes: float, in_ecr: bool) -> Step:
    """repository: registry and name."""
    name = repository.partition("/")[2]
    undo = _undo("delete_image", f"delete image {digest[:19]} of {name}", name=name, digest=digest)
    return Step(
        "push_image",
        f"push image {digest[:19]}",
        "add",
        f"{megabytes:.0f} MB to {repository}, less what is there already",
        {"repository": repository, "digest": digest, "in_ecr": in_ecr},
        (
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:InitiateLayerUpload",
            "ecr:UploadLayerPart",
            "ecr:CompleteLayerUpload",
            "ecr:BatchGetImage",
            "ecr:PutImage",
        )
        if in_ecr
        else (),
        undo if in_ecr else None,
    )


def create_bucket(bucket: str) -> Step:
    return Step(
        "create_bucket",
        f"create bucket {bucket}",
        "add",
        "the account's bucket for Elastic Beanstalk in this region; it stays",
        {"bucket": bucket},
        (
            *eb("CreateStorageLocation"),
            "s3:CreateBucket",
            "s3:PutBucketOwnershipControls",
            "s3:PutBucketPolicy",
            "s3:PutBucketPublicAccessBlock",
        ),
    )


def upload_bundle(bucket: str, key: str, sha256: str) -> Step:
    return Step(
        "upload_bundle",
        f"upload {key.rpartition('/')[2]}",
        "add",
        f"to s3://{bucket}/{key}",
        {"bucket": bucket, "key": key, "sha256": sha256},
        ("s3:PutObject",),
        _undo("delete_object", f"delete s3://{bucket}/{key}", bucket=bucket, key=key),
    )


def create_version(
    application: str,
    label: str,
    *,
    description: str,
    bucket: str,
    key: str,
    tags: Mapping[str, str],
) -> Step:
    return Step(
        "create_version",
        f"create version {label}",
        "add",
        description,
        {
            "application": application,
            "label": label,
            "description": description,
            "bucket": bucket,
            "key": key,
            "tags": dict(tags),
        },
        (
            *eb("CreateApplicationVersion", "DescribeApplicationVersions", "AddTags"),
            "s3:GetObject",
        ),
        _undo("delete_version", f"delete version {label}", application=application, label=label),
    )


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
        _undo(
            "terminate",
            f"terminate environment {name}",
            name=name,
            idle=idle,
            version=version,
            made=True,
        ),
    )


def await_ready(
    name: str, told: str, *, id: str = "", idle: bool = True, version: str = ""
) -> Step:
    """id: of an environment that a broken-off run of ours made, which goes if this or what follows fails.

    idle, version: as for `create_environment`.
    """
    undo = _undo(
        "terminate",
        f"terminate environment {name}",
        name=name,
        idle=idle,
        version=version,
        made=True,
    )
    return Step(
        "await_ready",
        f"wait for {name}",
        "look",
        told,
        {"name": name, "id": id},
        LOOK,
        undo if id else None,
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
    undo = _undo(
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
        undo,
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
        _undo(
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
    undo = _undo(
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
        undo if former else None,
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
        _undo("point", f"swap back to {former}", name=former, former=name, version=None),
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


def write_record(bucket: str, key: str, record: Mapping[str, Any]) -> Step:
    return Step(
        "write_record",
        "write the deployment down",
        "change",
        f"s3://{bucket}/{key}, for `rollback` and `status`",
        {"bucket": bucket, "key": key, "record": dict(record)},
        ("s3:PutObject",),
    )


def check_image(repository: str, digest: str, version: str) -> Step:
    """Before anything is changed: a machine that finds no image fails after minutes."""
    return Step(
        "check_image",
        f"look for image {digest[:19]}",
        "look",
        f"in {repository}; version {version} runs it",
        {"repository": repository, "digest": digest, "version": version},
        ("ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecr:BatchGetImage"),
    )


def remove(action: str, what: str, told: str, **arguments: Any) -> Step:
    """A step of `destroy`. action: one of the undoing ones."""
    return Step(action, f"delete {what}", "remove", told, arguments, CALLED[action])
