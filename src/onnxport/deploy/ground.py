"""What all environments stand on: roles, instance profile, application. Only what is missing is made. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from onnxport.deploy import supplies
from onnxport.deploy.grants import (
    PULL,
    machine_policies,
    machine_trust,
    pull_policy,
    service_policies,
    service_trust,
)
from onnxport.deploy.observed import Observed
from onnxport.deploy.plan import Step
from onnxport.deploy.tags import own_tags, shared_tags
from onnxport.deploy.wanted import Wanted, service_role
from onnxport.errors import DeployError

KEPT_VERSIONS = 50


def ground(wanted: Wanted, observed: Observed) -> Iterator[Step]:
    """What all environments stand on; only what is missing."""
    intent, names, account = wanted.intent, wanted.names, observed.account
    role = service_role(intent, observed, names)
    policies = service_policies(account.partition)
    found = observed.roles.get(role)
    broke_off = found and role == names.service_role and not found.policies >= set(policies)
    if found is None or (broke_off and not intent.roles.service):
        _must_be_ours(bool(intent.roles.service), "roles.service", role)
        yield supplies.create_role(
            role,
            "Elastic Beanstalk reads health and updates the platform with it",
            trust=service_trust(),
            policies=policies,
            inline=None,
            tags=own_tags(intent),
        )
    yield from _machine_role(wanted, observed)
    if observed.application is None:
        arn = f"arn:{account.partition}:iam::{account.id}:role/{role}"
        yield supplies.create_application(
            names.application, keep=KEPT_VERSIONS, service_role=arn, tags=shared_tags(intent)
        )


def _machine_role(wanted: Wanted, observed: Observed) -> Iterator[Step]:
    intent, account, name = wanted.intent, observed.account, wanted.names.instance_profile
    profile = observed.profiles.get(name)
    if intent.roles.instance_profile:
        _must_be_ours(profile is None, "roles.instance_profile", name)
        return
    policies = machine_policies(account.partition)
    role, complete = observed.roles.get(name), {*policies, *((PULL,) if wanted.in_ecr else ())}
    if role is None or not role.policies >= complete:
        repository = wanted.names.repository
        pull = pull_policy(account.partition, account.region, account.id, repository)
        yield supplies.create_role(
            name,
            "the machines' own: WebTier, and pulling images of one repository"
            if wanted.in_ecr
            else "the machines' own: WebTier",
            trust=machine_trust(account.partition),
            policies=policies,
            inline=pull if wanted.in_ecr else None,
            tags=own_tags(intent),
        )
    if profile is None or not profile.roles:
        yield supplies.create_profile(name, name, own_tags(intent))


def _must_be_ours(is_missing: bool, option: str, name: str) -> None:
    if is_missing:
        raise DeployError(
            f"{option} names {name}, which isn't there",
            remedy=f"correct it, or leave {option} empty to have one made",
        )
