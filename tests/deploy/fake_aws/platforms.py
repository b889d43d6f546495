"""Platforms: solution stacks, branches and versions, those of moto's list and those that an account has used before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moto.elasticbeanstalk.responses import SOLUTION_STACK_DETAILS

from tests.deploy.fake_aws.refusals import invalid
from tests.deploy.fake_aws.state import Cloud

_STACK = re.compile(r"(?P<system>.+?) v(?P<version>\d+\.\d+\.\d+) running (?P<language>.+)")
# The first version is old, so that who sorts names as texts or takes the first one is found out.
_DOCKER = "64bit Amazon Linux 2023 v{} running Docker"
_MORE = (_DOCKER.format("4.10.1"), _DOCKER.format("4.9.2"))
_SUPPORTED, _RETIRED = "Supported", "Retired"


def stacks(cloud: Cloud) -> list[str]:
    """Names of solution stacks, in no order that means anything."""
    names = [str(one["SolutionStackName"]) for one in SOLUTION_STACK_DETAILS]
    return [*names, *_MORE, *cloud.world.used_platforms]


def file_types(name: str) -> list[str]:
    for one in SOLUTION_STACK_DETAILS:
        if one["SolutionStackName"] == name:
            return [str(kind) for kind in one["PermittedFileTypes"]]
    return [] if "Docker" in name else ["zip"]


def is_docker(name: str) -> bool:
    return name.endswith(" running Docker")


def arn_of(cloud: Cloud, name: str) -> str:
    """A platform version's ARN belongs to no account."""
    found = _STACK.fullmatch(name)
    if found is None:
        return ""
    title = f"{found['language']} running on {found['system']}"
    return f"arn:aws:elasticbeanstalk:{cloud.region}::platform/{title}/{found['version']}"


def chosen(cloud: Cloud, parameters: Mapping[str, Any]) -> str:
    """The solution stack that a request names by either of two ways."""
    name, arn = parameters.get("SolutionStackName"), parameters.get("PlatformArn")
    if name is not None:
        if name not in stacks(cloud):
            raise invalid(f"No Solution Stack named '{name}' found.")
        return str(name)
    for one in stacks(cloud):
        if arn_of(cloud, one) == arn:
            return one
    raise invalid(f"Platform version '{arn}' does not exist." if arn else _NO_PLATFORM)


_NO_PLATFORM = "Unable to determine base for template pack (no solution stack)"


def summaries(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """As ListPlatformVersions tells them: newest of a branch first, and only it recommended."""
    parsed = [(name, match) for name in stacks(cloud) if (match := _STACK.fullmatch(name))]
    newest: dict[str, str] = {}
    for name, match in sorted(parsed, key=lambda pair: _number(pair[1]["version"]), reverse=True):
        branch = f"{match['language']} running on {match['system']}"
        newest.setdefault(branch, name)
        is_old = "2023" not in match["system"]
        yield {
            "PlatformArn": arn_of(cloud, name),
            "PlatformOwner": "AWSElasticBeanstalk",
            "PlatformStatus": "Ready",
            "PlatformCategory": match["language"].split(" ")[0],
            "OperatingSystemName": "Amazon Linux",
            "OperatingSystemVersion": match["system"].rpartition("Linux ")[2],
            "SupportedTierList": ["WebServer/Standard", "Worker/SQS/HTTP"],
            "SupportedAddonList": ["Log/S3", "WorkerDaemon/SQSD"],
            "PlatformLifecycleState": "Recommended" if newest[branch] == name else "",
            "PlatformVersion": match["version"],
            "PlatformBranchName": branch,
            "PlatformBranchLifecycleState": _RETIRED if is_old else _SUPPORTED,
        }


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def branches(cloud: Cloud) -> list[dict[str, Any]]:
    """As ListPlatformBranches tells them."""
    found: dict[str, dict[str, Any]] = {}
    for order, one in enumerate(summaries(cloud)):
        found.setdefault(
            one["PlatformBranchName"],
            {
                "PlatformName": one["PlatformCategory"],
                "BranchName": one["PlatformBranchName"],
                "LifecycleState": one["PlatformBranchLifecycleState"],
                "BranchOrder": order,
                "SupportedTierList": one["SupportedTierList"],
            },
        )
    return list(found.values())


def fits(one: Mapping[str, Any], filters: Iterable[Mapping[str, Any]], key: str) -> bool:
    """Whether all filters of a request let this one through. key: what the request calls the field."""
    return all(_fits(one, filter_, key) for filter_ in filters)


def _fits(one: Mapping[str, Any], filter_: Mapping[str, Any], key: str) -> bool:
    value, wanted = str(one.get(_field(filter_[key]), "")), filter_.get("Values", [])
    match filter_.get("Operator", "="):
        case "=" | "in":
            return value in wanted
        case "!=" | "not_in":
            return value not in wanted
        case "begins_with":
            return any(value.startswith(text) for text in wanted)
        case "ends_with":
            return any(value.endswith(text) for text in wanted)
        case "contains":
            return any(text in value for text in wanted)
    raise invalid(f"Invalid filter operator {filter_.get('Operator')}.")


def _field(name: str) -> str:
    return {"PlatformName": "PlatformCategory"}.get(name, name)
