"""Roles and instance profiles: missing ones are made under our names and tags, existing ones are never altered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from onnxport.deploy.aws.beanstalk import tag_list
from onnxport.deploy.aws.session import Cloud, absent_is_fine, told
from onnxport.deploy.grants import PULL

_GONE = "NoSuchEntity"
_MADE = "EntityAlreadyExists"


def create_role(
    cloud: Cloud,
    *,
    name: str,
    trust: Mapping[str, Any],
    policies: Sequence[str],
    inline: Mapping[str, Any] | None,
    tags: Mapping[str, str],
) -> None:
    """A role with its policies. What a broken-off run of ours made already is completed: the caller has seen its tags.

    trust, inline: policy documents. policies: ARNs of managed ones.
    """
    with told(f"create role {name}"):
        with absent_is_fine(_MADE):
            cloud.iam.create_role(
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps(trust),
                Description="made by onnxport",
                Tags=tag_list(tags),
            )
        for policy in policies:
            cloud.iam.attach_role_policy(RoleName=name, PolicyArn=policy)
        if inline is not None:
            cloud.iam.put_role_policy(
                RoleName=name, PolicyName=PULL, PolicyDocument=json.dumps(inline)
            )


def create_profile(cloud: Cloud, *, name: str, role: str, tags: Mapping[str, str]) -> None:
    """An instance profile with the role inside."""
    with told(f"create instance profile {name}"):
        with absent_is_fine(_MADE):
            cloud.iam.create_instance_profile(InstanceProfileName=name, Tags=tag_list(tags))
        if not _held(cloud, name):
            try:
                cloud.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
            except (
                ClientError
            ):  # a second one is refused: where an answer was lost, the first is inside
                if role not in _held(cloud, name):
                    raise


def _held(cloud: Cloud, profile: str) -> list[str]:
    """The roles inside an instance profile; none where there is no such profile."""
    with absent_is_fine(_GONE):
        found = cloud.iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
        return [role["RoleName"] for role in found["Roles"]]
    return []


def delete_profile(cloud: Cloud, *, name: str) -> None:
    with told(f"delete instance profile {name}"):
        for role in _held(cloud, name):
            with absent_is_fine(_GONE):
                cloud.iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
        with absent_is_fine(_GONE):
            cloud.iam.delete_instance_profile(InstanceProfileName=name)


def delete_role(cloud: Cloud, *, name: str) -> None:
    """The role with whatever is attached to it. Each call stands alone: one whose answer was lost finds nothing when it
    is made again, and the others are still to be made.
    """
    with told(f"delete role {name}"):
        for policy in _attached(cloud, name):
            with absent_is_fine(_GONE):
                cloud.iam.detach_role_policy(RoleName=name, PolicyArn=policy)
        for inline in _inside(cloud, name):
            with absent_is_fine(_GONE):
                cloud.iam.delete_role_policy(RoleName=name, PolicyName=inline)
        with absent_is_fine(_GONE):
            cloud.iam.delete_role(RoleName=name)


def _attached(cloud: Cloud, role: str) -> list[str]:
    with absent_is_fine(_GONE):
        found = cloud.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        return [policy["PolicyArn"] for policy in found]
    return []


def _inside(cloud: Cloud, role: str) -> list[str]:
    with absent_is_fine(_GONE):
        return list(cloud.iam.list_role_policies(RoleName=role)["PolicyNames"])
    return []
