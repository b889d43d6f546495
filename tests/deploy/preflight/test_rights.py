"""P43 to P45, P16 and P49 in an account: roles judged with Amazon's own policy documents; the repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.grants import pull_policy
from onnxport.deploy.intent import Image, Intent, Roles
from onnxport.deploy.names import names_of
from onnxport.deploy.preflight.facts import Shelf
from onnxport.deploy.preflight.registry import shelf_verdict
from onnxport.deploy.preflight.rights import allows, template_verdict
from onnxport.deploy.preflight.subject import Subject
from onnxport.image.order import Built
from tests.deploy.account import ACCOUNT, PULL_ONLY, WEB_TIER, client, profile, role
from tests.deploy.fake_aws.process import REGION, FakeAws
from tests.deploy.preflight.conftest import OPEN
from tests.deploy.preflight.looking import fires, passes

Make = Callable[..., Subject]
HEALTH = "arn:aws:iam::aws:policy/service-role/AWSElasticBeanstalkEnhancedHealth"
NAMES = names_of(OPEN, ACCOUNT)
NAMED = replace(OPEN, roles=Roles(instance_profile="web", service="service"))


@pytest.fixture
def look(subject_of: Make, fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Make:
    """`look(intent)`: a subject whose account is the fake's."""
    for name, value in fake_aws.env.items():
        monkeypatch.setenv(name, value)

    def make(intent: Intent = OPEN, **parts: Any) -> Subject:
        return subject_of(intent, cloud=Cloud(intent.region), **parts)

    return make


def test_roles_that_are_made_later_pass(look: Make) -> None:
    subject = look()
    passes("P43", subject, "isn't there yet")
    passes("P44", subject, "isn't there yet")
    passes("P45", subject, "a dry run says")
    passes("P49", subject, "isn't there yet")


def test_roles_that_are_named_and_missing(look: Make) -> None:
    subject = look(NAMED)
    fires("P43", subject, "there is no instance profile web")
    fires("P44", subject, "there is no role service")


def test_roles_that_are_named_and_good(look: Make, fake_aws: FakeAws) -> None:
    profile(fake_aws, "web", (WEB_TIER, PULL_ONLY))
    role(fake_aws, "service", "elasticbeanstalk.amazonaws.com", (HEALTH,))
    subject = look(NAMED)
    passes("P43", subject, "may pull onnxport/iris")
    passes("P44", subject, "service: Elastic Beanstalk may take it")


def test_the_web_tier_alone_can_not_pull(look: Make, fake_aws: FakeAws) -> None:
    """Amazon's own documents prove it: AWSElasticBeanstalkWebTier holds no right on ECR."""
    profile(fake_aws, "web", (WEB_TIER,))
    fires("P43", look(NAMED), "web lacks ecr:BatchGetImage on onnxport/iris")
    elsewhere = replace(NAMED, image=Image(repository="ghcr.io/me/iris"))
    passes("P43", look(elsewhere))


def test_a_pull_policy_of_ours_is_enough_for_its_repository_alone(
    look: Make, fake_aws: FakeAws
) -> None:
    profile(fake_aws, "web", (WEB_TIER,))
    iam = client(fake_aws, "iam")
    for repository, told in (("onnxport/other", "lacks"), ("onnxport/iris", "")):
        policy = json.dumps(pull_policy("aws", REGION, ACCOUNT, repository))
        iam.put_role_policy(RoleName="web", PolicyName="pull", PolicyDocument=policy)
        if told:
            fires("P43", look(NAMED), told)
        else:
            passes("P43", look(NAMED))


def test_profiles_without_a_role_or_for_somebody_else(look: Make, fake_aws: FakeAws) -> None:
    iam = client(fake_aws, "iam")
    iam.create_instance_profile(InstanceProfileName="web")
    fires("P43", look(NAMED), "web has no role inside")
    role(fake_aws, "other", "lambda.amazonaws.com", (WEB_TIER, PULL_ONLY))
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="other")
    fires("P43", look(NAMED), "other doesn't trust ec2.amazonaws.com")
    role(fake_aws, "service", "ec2.amazonaws.com", ())
    found = fires("P44", look(NAMED), "service doesn't trust elasticbeanstalk.amazonaws.com")
    assert "lacks ec2:DescribeInstances" in found.looked_at


def test_a_role_of_ours_that_was_left_half_made(look: Make, fake_aws: FakeAws) -> None:
    profile(fake_aws, NAMES.instance_profile, (WEB_TIER,))
    role(fake_aws, NAMES.service_role, "elasticbeanstalk.amazonaws.com")
    fires("P43", look(), "lacks ecr:BatchGetImage", "warning")
    fires("P44", look(), "lacks ec2:DescribeInstances", "warning")


def test_templates_that_may_not_be_made(look: Make, fake_aws: FakeAws) -> None:
    fake_aws.script("access_denied", operation="CreateLaunchTemplate", times=9)
    fires("P45", look(), "may not make launch templates")
    assert template_verdict(None).outcome == "warning"


# ----------------------------------------------------------------------------------------------------------- judging


def statement(effect: str, action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([statement("Allow", "ecr:*")], True),
        ([statement("Allow", ["s3:Get*", "ECR:batch*"])], True),
        ([statement("Allow", "ecr:BatchGetImage", "arn:aws:ecr:*:*:repository/iris")], True),
        ([statement("Allow", "ecr:BatchGetImage", "arn:aws:ecr:*:*:repository/other")], False),
        ([statement("Allow", "*"), statement("Deny", "ecr:*")], False),
        ([statement("Allow", "*", Condition={"Bool": {}})], False),
        ([statement("Allow", "*"), statement("Deny", "*", Condition={"Bool": {}})], True),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], True),
        ([{"Effect": "Allow", "NotAction": "ecr:*", "Resource": "*"}], False),
        ([{"Effect": "Allow", "Action": "*", "NotResource": "*iris"}], False),
        ([], False),
    ],
)
def test_statements_are_judged_as_iam_does(
    statements: list[dict[str, Any]], expected: bool
) -> None:
    arn = "arn:aws:ecr:eu-central-1:123456789012:repository/iris"
    assert allows(statements, "ecr:BatchGetImage", arn) is expected


# -------------------------------------------------------------------------------------------------------- repository


def test_a_repository_with_rules(look: Make, fake_aws: FakeAws, built: Built) -> None:
    ecr = client(fake_aws, "ecr")
    ecr.create_repository(repositoryName=NAMES.repository)
    fires("P49", look(), "tags of onnxport/iris can be moved", "warning")
    passes("P16", look(built=built), "isn't yet in, and is pushed to, onnxport/iris")
    ecr.put_image_tag_mutability(repositoryName=NAMES.repository, imageTagMutability="IMMUTABLE")
    passes("P49", look(), "onnxport/iris in this account")
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 5},
        "action": {"type": "expire"},
    }
    text = json.dumps({"rules": [rule]})
    ecr.put_lifecycle_policy(repositoryName=NAMES.repository, lifecyclePolicyText=text)
    fires("P49", look(), "rule 1 of onnxport/iris expires images with tags")


def test_what_a_scan_finds() -> None:
    shelf = Shelf("onnxport/iris", is_immutable=True, holds=True)
    assert shelf_verdict(replace(shelf, findings={"LOW": 9})).outcome == "ok"
    said = shelf_verdict(replace(shelf, findings={"CRITICAL": 1, "HIGH": 2}))
    assert said.outcome == "warning"
    assert "1 critical, 2 high" in said.looked_at
