"""Amazon's own policy documents, asked: what an instance may do with which of them attached."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.deploy.account import (
    ACCOUNT,
    PULL_ONLY,
    WEB_TIER,
    Account,
    bundle,
    client,
    profile,
    push,
)
from tests.deploy.fake_aws import policies
from tests.deploy.fake_aws.process import FakeAws

_REPOSITORY = f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/onnxport/iris"
_ECR = (
    "ecr:GetAuthorizationToken",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:PutImage",
)


@pytest.fixture(scope="module", autouse=True)
def _documents() -> Iterator[None]:
    """Here, not in the fake's process: the judge itself is tried."""
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        yield


@pytest.mark.parametrize("action", _ECR)
def test_the_web_tier_has_no_right_to_ecr(action: str) -> None:
    assert not policies.policy_allows(ACCOUNT, WEB_TIER, action, _REPOSITORY)
    assert not policies.policy_allows(ACCOUNT, WEB_TIER, action)


@pytest.mark.parametrize("action", _ECR[:3])
def test_the_pull_policy_pulls(action: str) -> None:
    assert policies.policy_allows(ACCOUNT, PULL_ONLY, action, _REPOSITORY)


def test_the_pull_policy_pushes_nothing() -> None:
    assert not policies.policy_allows(ACCOUNT, PULL_ONLY, "ecr:PutImage", _REPOSITORY)


def test_the_web_tier_reads_and_writes_its_own_buckets_and_logs_alone() -> None:
    def may(action: str, resource: str) -> bool:
        return policies.policy_allows(ACCOUNT, WEB_TIER, action, resource)

    assert may("s3:GetObject", "arn:aws:s3:::elasticbeanstalk-eu-central-1-1/a.zip")
    assert not may("s3:GetObject", "arn:aws:s3:::models/a.zip")
    logs = f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group"
    assert may("logs:PutLogEvents", f"{logs}:/aws/elasticbeanstalk/iris/x")
    assert not may("logs:PutLogEvents", f"{logs}:/aws/lambda/x")
    assert not may("ec2:TerminateInstances", "*")


def test_an_instance_pulls_from_ecr_with_the_pull_policy_alone(fake_aws: FakeAws) -> None:
    fake_aws.rate(0)
    client(fake_aws, "ecr").create_repository(repositoryName="onnxport/iris")
    digest = push(fake_aws, "onnxport/iris")
    account = Account(fake_aws)
    account.version("v1", bundle(f"{fake_aws.registry}/onnxport/iris@{digest}"))
    profile(fake_aws, "tier-alone", [WEB_TIER])
    ill = account.launch("iris-blue", "v1", profile="tier-alone")
    well = account.launch("iris-green", "v1", profile="web")
    assert (ill["Health"], well["Health"]) == ("Red", "Green")
    assert any("no basic auth credentials" in told for told in account.told("iris-blue", "ERROR"))


def test_a_right_to_one_repository_is_enough_and_no_more(fake_aws: FakeAws) -> None:
    fake_aws.rate(0)
    ecr = client(fake_aws, "ecr")
    account = Account(fake_aws)
    profile(fake_aws, "narrow", [WEB_TIER])
    pull = {"Effect": "Allow", "Action": list(_ECR[1:3]), "Resource": _REPOSITORY}
    enter = {"Effect": "Allow", "Action": _ECR[0], "Resource": "*"}
    client(fake_aws, "iam").put_role_policy(
        RoleName="narrow",
        PolicyName="pull",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [pull, enter]}),
    )
    healths = []
    for number, name in enumerate(("onnxport/iris", "onnxport/rose")):
        ecr.create_repository(repositoryName=name)
        label = f"v{number}"
        account.version(label, bundle(f"{fake_aws.registry}/{name}@{push(fake_aws, name)}"))
        healths.append(account.launch(f"iris-{number}", label, profile="narrow")["Health"])
    assert healths == ["Green", "Red"]


_DENY = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}


@pytest.mark.parametrize(
    ("statements", "action", "expected"),
    [
        ([{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}], "s3:getobject", True),
        ([{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}, _DENY], "s3:GetObject", False),
        ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], "s3:GetObject", False),
        ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], "ecr:PutImage", True),
        (
            [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:x"}],
            "s3:GetObject",
            False,
        ),
        ([], "s3:GetObject", False),
    ],
)
def test_statements_are_judged_as_iam_judges_them(
    statements: list[dict[str, str]], action: str, expected: bool
) -> None:
    assert policies.judge(statements, action, "*") is expected
