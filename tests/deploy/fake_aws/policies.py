"""Whether a role may do something: the documents that moto holds, Amazon's own among them, judged as IAM judges them.

Allow needs a statement that fits and no Deny that fits; conditions other than none are taken as not met for Allow.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator
from typing import Any

from moto.iam.models import IAMBackend, ManagedPolicy, iam_backends

from tests.deploy.fake_aws.grafting import put


def graft() -> None:
    """Amazon's own policies are parsed once, not anew after each reset: that takes seconds."""
    parse = IAMBackend._init_aws_policies
    parsed: dict[tuple[str, str], list[ManagedPolicy]] = {}

    def kept(backend: IAMBackend) -> list[ManagedPolicy]:
        place = backend.account_id, backend.region_name
        if place not in parsed:
            parsed[place] = parse(backend)
        for policy in parsed[place]:
            policy.attachment_count = 0
        return parsed[place]

    put(IAMBackend, "_init_aws_policies", kept)


def role_of_profile(account: str, profile: str) -> str | None:
    """The role in an instance profile, by the profile's name or ARN; "" if it is empty, None if there is no profile."""
    name = profile.rpartition("/")[2]
    profiles = iam_backends[account]["aws"].instance_profiles.values()
    for one in profiles:
        if one.name == name:
            return str(one.roles[0].name) if one.roles else ""
    return None


def role_allows(account: str, role: str, action: str, resource: str = "*") -> bool:
    """Whether the role's policies allow the action on the resource."""
    return judge(_statements(account, role), action, resource)


def policy_allows(account: str, policy: str, action: str, resource: str = "*") -> bool:
    """Whether one policy, by its ARN, allows the action."""
    statements = _of_document(_current(iam_backends[account]["aws"].get_policy(policy)))
    return judge(statements, action, resource)


def judge(statements: Iterable[dict[str, Any]], action: str, resource: str) -> bool:
    """Whether one of the statements allows it, and none denies it."""
    effects = [one.get("Effect") for one in statements if _fits(one, action, resource)]
    return "Allow" in effects and "Deny" not in effects


def trusts(account: str, role: str, service: str) -> bool:
    """Whether the service may assume the role."""
    document = json.loads(iam_backends[account]["aws"].get_role(role).assume_role_policy_document)
    for statement in _listed(document["Statement"]):
        principals = _listed(statement.get("Principal", {}).get("Service", []))
        if statement.get("Effect") == "Allow" and service in principals:
            return True
    return False


def exists(account: str, role: str) -> bool:
    return any(one.name == role for one in iam_backends[account]["aws"].roles.values())


def _statements(account: str, role: str) -> Iterator[dict[str, Any]]:
    found = iam_backends[account]["aws"].get_role(role)
    documents = [_current(policy) for policy in found.managed_policies.values()]
    for document in [*documents, *found.policies.values()]:
        yield from _of_document(document)


def _current(policy: ManagedPolicy) -> str:
    """The document of the version in force."""
    versions = {one.version_id: one.document for one in policy.versions}
    return str(versions[policy.default_version_id])


def _of_document(text: str) -> list[dict[str, Any]]:
    return _listed(json.loads(text)["Statement"])


def _fits(statement: dict[str, Any], action: str, resource: str) -> bool:
    if statement.get("Condition") and statement.get("Effect") == "Allow":
        return False
    if "NotAction" in statement:
        acts = not _matches(statement["NotAction"], action.lower(), lower=True)
    else:
        acts = _matches(statement.get("Action", []), action.lower(), lower=True)
    return acts and _matches(statement.get("Resource", "*"), resource)


def _matches(patterns: Any, text: str, *, lower: bool = False) -> bool:
    for pattern in _listed(patterns):
        pattern = pattern.lower() if lower else pattern
        if fnmatch.fnmatchcase(text, pattern.replace("[", "[[]")):
            return True
    return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
