"""The steps of which plans consist: for each what it changes, which permissions it needs, and how it is taken back.

The names of actions are rows of the table in `actions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxport.deploy.plan import Step, Undo

Settings = Sequence[Mapping[str, str]]

_LOOK = (
    "elasticbeanstalk:DescribeEnvironments",
    "elasticbeanstalk:DescribeEvents",
    "elasticbeanstalk:DescribeEnvironmentHealth",
)
# What Elastic Beanstalk does in the caller's name while it makes an environment.
_ON_BEHALF = (
    "autoscaling:*",
    "cloudformation:*",
    "ec2:*",
    "elasticloadbalancing:*",
    "iam:PassRole",
    "s3:GetObject",
)


def _eb(*actions: str) -> tuple[str, ...]:
    return tuple(f"elasticbeanstalk:{action}" for action in actions)


def _iam(*actions: str) -> tuple[str, ...]:
    return tuple(f"iam:{action}" for action in actions)


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
        _iam("CreateRole", "AttachRolePolicy", "PutRolePolicy", "TagRole"),
        Undo("delete_role", {"name": name}, f"delete role {name}"),
    )


def create_profile(name: str, role: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_profile",
        f"create instance profile {name}",
        "add",
        f"hands role {role} to the machines",
        {"name": name, "role": role, "tags": dict(tags)},
        _iam(
            "CreateInstanceProfile",
            "GetInstanceProfile",
            "AddRoleToInstanceProfile",
            "TagInstanceProfile",
            "PassRole",
        ),
        Undo("delete_profile", {"name": name}, f"delete instance profile {name}"),
    )


def create_application(name: str, *, keep: int, service_role: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_application",
        f"create application {name}",
        "add",
        f"holds environments and versions; the newest {keep} versions are kept",
        {"name": name, "keep": keep, "service_role": service_role, "tags": dict(tags)},
        (*_eb("CreateApplication", "AddTags"), "iam:PassRole"),
        Undo("delete_application", {"name": name}, f"delete application {name}"),
    )


def create_repository(name: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_repository",
        f"create repository {name}",
        "add",
        "in ECR: private, tags never move, each image is scanned",
        {"name": name, "tags": dict(tags)},
        ("ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:TagResource"),
        Undo("delete_repository", {"name": name}, f"delete repository {name}"),
    )


def push_image(repository: str, digest: str, *, megabytes: float, in_ecr: bool) -> Step:
    """repository: registry and name."""
    name = repository.partition("/")[2]
    undo = Undo(
        "delete_image", {"name": name, "digest": digest}, f"delete image {digest[:19]} of {name}"
    )
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
        (*_eb("CreateStorageLocation"), "s3:CreateBucket"),
    )


def upload_bundle(bucket: str, key: str, sha256: str) -> Step:
    return Step(
        "upload_bundle",
        f"upload {key.rpartition('/')[2]}",
        "add",
        f"to s3://{bucket}/{key}",
        {"bucket": bucket, "key": key, "sha256": sha256},
        ("s3:PutObject",),
        Undo("delete_object", {"bucket": bucket, "key": key}, f"delete s3://{bucket}/{key}"),
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
            *_eb("CreateApplicationVersion", "DescribeApplicationVersions", "AddTags"),
            "s3:GetObject",
        ),
        Undo(
            "delete_version",
            {"application": application, "label": label},
            f"delete version {label}",
        ),
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
) -> Step:
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
        (*_eb("CreateEnvironment", "AddTags"), *_LOOK, *_ON_BEHALF),
        Undo("terminate", {"name": name}, f"terminate environment {name}"),
    )


def await_ready(name: str, told: str, *, takes_back: bool = False) -> Step:
    """takes_back: whether the environment goes if it or what follows fails; nobody relies on it yet."""
    undo = Undo("terminate", {"name": name}, f"terminate environment {name}")
    return Step(
        "await_ready",
        f"wait for {name}",
        "look",
        told,
        {"name": name},
        _LOOK,
        undo if takes_back else None,
    )


def await_gone(name: str) -> Step:
    return Step(
        "await_gone",
        f"wait for the end of {name}",
        "look",
        "it is terminating",
        {"name": name},
        _LOOK,
    )


def update_settings(
    name: str, told: str, *, settings: Settings, remove: Settings, back: Settings, added: Settings
) -> Step:
    """back: the values that there were. added: options that there weren't, which go when it is taken back."""
    undo = Undo(
        "update_settings",
        {"name": name, "settings": list(map(dict, back)), "remove": list(map(dict, added))},
        f"put the former settings of {name} back",
    )
    return Step(
        "update_settings",
        f"change settings of {name}",
        "change",
        told,
        {"name": name, "settings": list(map(dict, settings)), "remove": list(map(dict, remove))},
        (*_eb("UpdateEnvironment"), *_LOOK, *_ON_BEHALF),
        undo,
    )


def update_version(
    name: str,
    version: str,
    told: str,
    *,
    former: str | None,
    tags: Mapping[str, str],
    former_tags: Mapping[str, str],
) -> Step:
    undo = Undo(
        "update_version",
        {"name": name, "version": former, "tags": dict(former_tags)},
        f"put version {former} back on {name}",
    )
    return Step(
        "update_version",
        f"put version {version} on {name}",
        "change",
        told,
        {"name": name, "version": version, "tags": dict(tags)},
        (*_eb("UpdateEnvironment", "AddTags"), *_LOOK, *_ON_BEHALF),
        undo if former else None,
    )


def verify(name: str, *, latency_ms: float, model_digest: str, commits: bool) -> Step:
    """Golden requests to an environment's own address."""
    return Step(
        "verify",
        f"verify {name}",
        "look",
        f"health is green, golden requests are answered as stored, each within {latency_ms:g} ms",
        {"name": name, "latency_ms": latency_ms, "model_digest": model_digest},
        _LOOK,
        commits=commits,
    )


def swap(name: str, former: str, address: str) -> Step:
    """The address that callers know comes to `name`."""
    return Step(
        "point",
        f"swap {name} and {former}",
        "change",
        f"{address} leads to {name} from then on",
        {"name": name, "former": former},
        (*_eb("SwapEnvironmentCNAMEs"), *_LOOK),
        Undo("point", {"name": former, "former": name}, f"swap back to {former}"),
    )


def watch(name: str, *, seconds: int, model_digest: str) -> Step:
    return Step(
        "watch",
        f"watch {name} for {seconds} s",
        "look",
        "golden requests and health; a failure takes all of it back",
        {"name": name, "seconds": seconds, "model_digest": model_digest},
        _LOOK,
        commits=True,
    )


def terminate(name: str, told: str) -> Step:
    return Step(
        "terminate",
        f"terminate environment {name}",
        "remove",
        told,
        {"name": name},
        (*_eb("TerminateEnvironment"), *_LOOK, *_ON_BEHALF),
    )


def abort(name: str) -> Step:
    return Step(
        "abort",
        f"abort the update of {name}",
        "change",
        "it returns to the version and settings of before",
        {"name": name},
        (*_eb("AbortEnvironmentUpdate"), *_LOOK),
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


def remove(action: str, what: str, told: str, permissions: Sequence[str], **arguments: Any) -> Step:
    """A step of `destroy`. action: one of the undoing ones."""
    return Step(action, f"delete {what}", "remove", told, arguments, tuple(permissions))
