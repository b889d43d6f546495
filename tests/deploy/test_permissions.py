"""Every call that a command makes stands in its plan, as the IAM action that it needs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import Project

# For requests of S3, method and whether a key is named: "Actions defined by Amazon S3" in AWS's service reference.
_ACTIONS = {
    ("HEAD", False): "s3:ListBucket",
    ("GET", False): "s3:ListBucket",
    ("GET", True): "s3:GetObject",
    ("PUT", True): "s3:PutObject",
    ("DELETE", True): "s3:DeleteObject",
}
_FREE = {"sts:GetCallerIdentity"}  # needs no permission


class Calls:
    """The IAM actions of the calls that the fake sees."""

    def __init__(self, aws: FakeAws) -> None:
        self._aws, self._seen = aws, 0

    def news(self) -> set[str]:
        """Of those since the last look."""
        found = self._aws.calls()
        fresh, self._seen = found[self._seen :], len(found)
        return {_action(one["service"], one["operation"]) for one in fresh} - _FREE


def _action(service: str, operation: str) -> str:
    if service != "s3":
        return f"{service}:{operation}"
    method, _, path = operation.partition(" ")
    return _ACTIONS[method, "/" in path.strip("/")]


def missing(calls: set[str], plan: dict[str, Any]) -> set[str]:
    """What was called, and the plan doesn't name."""
    names = {*plan["permissions"], *plan["reading"], *plan["permissions_to_undo"]}
    services = {name.removesuffix(":*") for name in names if name.endswith(":*")}
    return {name for name in calls - names if name.partition(":")[0] not in services}


def done(project: Project, *words: str) -> dict[str, Any]:
    told = project.run(*words, "--yes", "--json")
    assert told.code == 0, told.stderr
    plan: dict[str, Any] = told.told["plan"]
    return plan


def test_a_life_calls_only_what_its_plans_name(project: Project, live_aws: FakeAws) -> None:
    calls = Calls(live_aws)
    first = done(project, "deploy")
    seen = calls.news()
    assert "iam:CreateRole" in seen
    assert missing(seen, first) == set()
    project.use("2.0")
    second = done(project, "deploy", "--keep")
    seen = calls.news()
    assert "elasticbeanstalk:SwapEnvironmentCNAMEs" in seen
    assert missing(seen, second) == set()
    assert missing(seen, first) == {"elasticbeanstalk:SwapEnvironmentCNAMEs"}
    back = done(project, "rollback")
    assert missing(calls.news(), back) == set()
    gone = done(project, "destroy", "--images", "--purge")
    seen = calls.news()
    assert "ecr:DeleteRepository" in seen
    assert missing(seen, gone) == set()


def test_what_is_taken_back_calls_only_what_the_plan_names(
    project: Project, live_aws: FakeAws
) -> None:
    calls = Calls(live_aws)
    dry = project.run("deploy", "--dry-run", "--json")
    live_aws.script("bad_gateway")
    assert project.run("deploy", "--yes").code == 1
    seen = calls.news()
    assert {"iam:DeleteRole", "elasticbeanstalk:TerminateEnvironment"} <= seen
    assert missing(seen, dry.told["plan"]) == set()


@pytest.mark.long
def test_updates_in_place_call_only_what_the_plan_names(
    project: Project, live_aws: FakeAws
) -> None:
    project.deploy()
    calls = Calls(live_aws)
    calls.news()
    project.use("2.0")
    plan = done(project, "deploy", "--strategy", "immutable")
    seen = calls.news()
    assert "elasticbeanstalk:UpdateEnvironment" in seen
    assert missing(seen, plan) == set()
