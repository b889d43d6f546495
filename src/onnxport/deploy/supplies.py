"""Steps on what environments stand on: roles, application, repository, image, bucket, bundle, version, record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxport.deploy.permissions import eb, iam
from onnxport.deploy.plan import Step
from onnxport.deploy.steps import undo


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
        undo("delete_role", f"delete role {name}", name=name),
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
        undo("delete_profile", f"delete instance profile {name}", name=name),
    )


def create_application(name: str, *, keep: int, service_role: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_application",
        f"create application {name}",
        "add",
        f"holds environments and versions; the newest {keep} versions are kept",
        {"name": name, "keep": keep, "service_role": service_role, "tags": dict(tags)},
        (*eb("CreateApplication", "AddTags"), "iam:PassRole"),
        undo("delete_application", f"delete application {name}", name=name),
    )


def create_repository(name: str, tags: Mapping[str, str]) -> Step:
    return Step(
        "create_repository",
        f"create repository {name}",
        "add",
        "in ECR: private, tags never move, each image is scanned",
        {"name": name, "tags": dict(tags)},
        ("ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:TagResource"),
        undo("delete_repository", f"delete repository {name}", name=name, force=False),
    )


def push_image(repository: str, digest: str, *, megabytes: float, in_ecr: bool) -> Step:
    """repository: registry and name."""
    name = repository.partition("/")[2]
    inverse = undo(
        "delete_image", f"delete image {digest[:19]} of {name}", name=name, digest=digest
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
        inverse if in_ecr else None,
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
        undo("delete_object", f"delete s3://{bucket}/{key}", bucket=bucket, key=key),
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
        undo("delete_version", f"delete version {label}", application=application, label=label),
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


def write_record(bucket: str, key: str, record: Mapping[str, Any]) -> Step:
    return Step(
        "write_record",
        "write the deployment down",
        "change",
        f"s3://{bucket}/{key}, for `rollback` and `status`",
        {"bucket": bucket, "key": key, "record": dict(record)},
        ("s3:PutObject",),
    )
