"""P34, P40, P41, P46, P47, P51, P52, P54: an account as the fake has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.intent import Instances, Intent, Network, Update
from onnxport.deploy.names import names_of
from onnxport.deploy.observed import Account
from onnxport.deploy.preflight.account import (
    clock_verdict,
    place_verdict,
    platform_verdict,
    quota_faults,
)
from onnxport.deploy.preflight.facts import PlatformVersion, Quota, Whereabouts
from onnxport.deploy.preflight.subject import Subject
from onnxport.deploy.tags import shared_tags, slot_tags
from onnxport.image.order import Built
from tests.deploy.account import ACCOUNT, DOCKER, LAUNCH, client, profile, setting
from tests.deploy.fake_aws.process import REGION, FakeAws
from tests.deploy.preflight.conftest import OPEN
from tests.deploy.preflight.looking import finding, fires, passes

Make = Callable[..., Subject]
NAMES = names_of(OPEN, ACCOUNT)
BLUE = NAMES.environment("blue")
OLD = "64bit Amazon Linux 2023 v4.9.2 running Docker"


@pytest.fixture
def look(subject_of: Make, fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Make:
    """`look(intent, ...)`: a subject whose account is the fake's."""
    for name, value in fake_aws.env.items():
        monkeypatch.setenv(name, value)

    def make(intent: Intent = OPEN, **parts: Any) -> Subject:
        return subject_of(intent, cloud=Cloud(intent.region), **parts)

    return make


def tagged(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def launch(
    fake: FakeAws,
    *,
    ours: bool = True,
    stack: str = DOCKER,
    ready: bool = True,
    intent: Intent = OPEN,
    cname: str = NAMES.live_cname,
) -> Any:
    """Application and blue environment under our names, with our tags or without."""
    eb = client(fake, "elasticbeanstalk")
    profile(fake, "web")
    own = tagged(shared_tags(intent)) if ours else []
    eb.create_application(ApplicationName="iris", Tags=own)
    balanced = "LoadBalanced" if intent.is_balanced else "SingleInstance"
    eb.create_environment(
        ApplicationName="iris",
        EnvironmentName=BLUE,
        CNAMEPrefix=cname,
        SolutionStackName=stack,
        OptionSettings=[
            setting(LAUNCH, "IamInstanceProfile", "web"),
            setting("aws:elasticbeanstalk:environment", "EnvironmentType", balanced),
            setting("aws:ec2:instances", "SupportedArchitectures", "x86_64"),
        ],
        Tags=tagged(slot_tags(intent, "blue")) if ours else [],
    )
    if ready:
        fake.advance(900)
    return eb


def test_an_empty_account_passes(look: Make) -> None:
    subject = look()
    passes("P34", subject, "4.10.1")
    passes("P40", subject, f"account {ACCOUNT}")
    passes("P41", subject, "0 of 5 elastic IP addresses")
    passes("P46", subject, "is free")
    passes("P47", subject, "no environment yet")
    passes("P51", subject, "Elastic Beanstalk makes it")
    passes("P54", subject, "nothing of our names")
    assert finding("P52", subject).outcome == "skipped"


def test_the_checks_change_nothing(look: Make, fake_aws: FakeAws) -> None:
    from onnxport.deploy.preflight import run

    run(look())
    reading = ("Describe", "List", "Get", "Check", "Validate", "BatchGet", "GET ", "HEAD ")
    for call in fake_aws.calls():
        is_dry = call["parameters"].get("DryRun") == "true"
        assert is_dry or call["operation"].startswith(reading), call


def test_our_own_environment_passes(look: Make, fake_aws: FakeAws) -> None:
    launch(fake_aws)
    subject = look()
    passes("P46", subject, "is ours")
    passes("P47", subject, f"{BLUE} Ready")
    passes("P52", subject, "would take all")
    passes("P54", subject, BLUE)


# ------------------------------------------------------------------------------------------------------- P40, clock


def test_credentials_that_have_expired(look: Make, fake_aws: FakeAws) -> None:
    fake_aws.script("expired_credentials", times=50)
    subject = look()
    fires("P40", subject, "expired")
    other = finding("P54", subject)
    assert other.outcome == "skipped"
    assert other.looked_at == "AWS wasn't asked: see P40"


def test_credentials_of_another_region(look: Make, fake_aws: FakeAws) -> None:
    elsewhere = replace(OPEN, region="us-east-1")
    subject = look(elsewhere)
    passes("P40", subject)
    mixed = Subject(elsewhere, subject.folder, cloud=Cloud(REGION))
    fires("P40", mixed, "the intent's region is us-east-1")
    assert fake_aws.calls("sts")


def test_a_region_that_is_not_enabled() -> None:
    account = Account(ACCOUNT, "af-south-1", "aws", "arn:aws:iam::1:user/me")
    said = place_verdict(account, "af-south-1", Whereabouts(0.0, False, "not-opted-in"))
    assert said.outcome == "failed"
    assert "user/me, af-south-1: the region is not-opted-in" in said.looked_at


def test_credentials_of_another_part_of_aws() -> None:
    account = Account(ACCOUNT, "cn-north-1", "aws")
    said = place_verdict(account, "cn-north-1", Whereabouts(0.0, True))
    assert said.outcome == "failed"
    assert "(aws), and the intent's region is cn-north-1" in said.looked_at


def test_no_network(look: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fires("P40", look(), "AWS can't be reached")


@pytest.mark.parametrize(
    ("skew", "outcome"), [(2.0, "ok"), (-90.0, "warning"), (90.0, "warning"), (-400.0, "failed")]
)
def test_clocks(skew: float, outcome: str) -> None:
    assert clock_verdict("account", skew).outcome == outcome


# ------------------------------------------------------------------------------------------------------ P41, quotas


def test_quotas_that_are_used_up(look: Make, fake_aws: FakeAws) -> None:
    fake_aws.script("quota")
    fires("P41", look(), "environments are used, and 1 more is needed")


def test_addresses_that_are_used_up(look: Make, fake_aws: FakeAws) -> None:
    ec2 = client(fake_aws, "ec2")
    for _ in range(5):
        ec2.allocate_address(Domain="vpc")
    fires("P41", look(), "5 of 5 elastic IP addresses are used, and 1 more is needed")
    passes("P41", look(replace(OPEN, instances=Instances(layout="load-balanced"))))


def test_a_quota_that_is_exceeded_forbids_nothing_where_nothing_is_made() -> None:
    quotas = [Quota("environments", 3, 2)]
    assert list(quota_faults(quotas, {"environments": 0})) == []
    assert list(quota_faults(quotas, {"environments": 2})) == [
        "3 of 2 environments are used, and 2 more are needed"
    ]


def test_a_quota_that_is_not_told() -> None:
    assert list(quota_faults([Quota("environments", 9, None)], {"environments": 1})) == []


# ---------------------------------------------------------------------------------------------------- P34, platform


def test_a_platform_that_stays_old_in_place(look: Make, fake_aws: FakeAws) -> None:
    launch(fake_aws, stack=OLD)
    passes("P34", look())
    in_place = replace(OPEN, update=Update(strategy="immutable"))
    fires("P34", look(in_place), f"{BLUE} stays on 4.9.2", "warning")


def _version(text: str, state: str = "Supported") -> PlatformVersion:
    numbers = tuple(int(part) for part in text.split("."))
    arn = f"arn:aws:elasticbeanstalk:eu-central-1::platform/Docker running on 64bit AL2023/{text}"
    return PlatformVersion(arn, numbers, state)


def test_a_platform_that_was_chosen_as_a_text_sorts() -> None:
    versions = [_version("4.9.2"), _version("4.10.1")]
    assert platform_verdict(versions[1].arn, versions).outcome == "ok"
    said = platform_verdict(versions[0].arn, versions)
    assert said.outcome == "failed"
    assert "4.10.1 is the newest" in said.looked_at


def test_a_platform_that_is_retired() -> None:
    said = platform_verdict("x", [_version("4.10.1", "Retired")])
    assert said.outcome == "failed"
    assert "is Retired" in said.looked_at


# ------------------------------------------------------------------------------------------- names, states, ownership


def test_an_address_of_somebody_else(look: Make, fake_aws: FakeAws) -> None:
    eb = client(fake_aws, "elasticbeanstalk")
    profile(fake_aws, "web")
    eb.create_application(ApplicationName="other")
    eb.create_environment(
        ApplicationName="other",
        EnvironmentName="other-env",
        CNAMEPrefix="taken",
        SolutionStackName=DOCKER,
        OptionSettings=[setting(LAUNCH, "IamInstanceProfile", "web")],
    )
    subject = look(replace(OPEN, network=Network(cname="taken")))
    fires("P46", subject, f"taken.{REGION}.elasticbeanstalk.com belongs to somebody else")


def test_an_environment_that_is_updated(look: Make, fake_aws: FakeAws) -> None:
    eb = launch(fake_aws)
    fake_aws.rate(0)
    eb.update_environment(
        EnvironmentName=BLUE,
        OptionSettings=[setting("aws:elasticbeanstalk:command", "Timeout", "700")],
    )
    fires("P47", look(), f"{BLUE} is Updating")


def test_an_environment_that_is_launched_is_waited_for(look: Make, fake_aws: FakeAws) -> None:
    fake_aws.rate(0)
    launch(fake_aws, ready=False)
    fires("P47", look(), f"{BLUE} is Launching", "warning")


def test_things_of_our_name_without_our_tags(look: Make, fake_aws: FakeAws) -> None:
    launch(fake_aws, ours=False)
    fires("P54", look(), "application iris already, without the tags")


def test_a_repository_of_our_name_without_our_tags(look: Make, fake_aws: FakeAws) -> None:
    client(fake_aws, "ecr").create_repository(repositoryName=NAMES.repository)
    fires("P54", look(), f"repository {NAMES.repository} already")


def test_a_bundle_that_is_gone(look: Make, fake_aws: FakeAws) -> None:
    eb, s3 = client(fake_aws, "elasticbeanstalk"), client(fake_aws, "s3")
    bucket = eb.create_storage_location()["S3Bucket"]
    launch(fake_aws)
    key = NAMES.version_key("v-1")
    from tests.deploy.account import bundle

    s3.put_object(Bucket=bucket, Key=key, Body=bundle("nginx@sha256:" + "0" * 64))
    eb.create_application_version(
        ApplicationName="iris",
        VersionLabel="v-1",
        SourceBundle={"S3Bucket": bucket, "S3Key": key},
        Process=True,
    )
    fake_aws.advance(60)
    eb.update_environment(EnvironmentName=BLUE, VersionLabel="v-1")
    fake_aws.advance(900)
    passes("P51", look(), "1 bundles of iris")
    s3.delete_object(Bucket=bucket, Key=key)
    fires("P51", look(), "the bundle of version v-1 is gone", "warning")


def test_a_bucket_in_another_region(look: Make, fake_aws: FakeAws) -> None:
    s3 = client(fake_aws, "s3", region="us-west-2")
    s3.create_bucket(
        Bucket=f"elasticbeanstalk-{REGION}-{ACCOUNT}",
        CreateBucketConfiguration={"LocationConstraint": "us-west-2"},
    )
    fires("P51", look(), f"is in us-west-2, and bundles must be in {REGION}")


def test_what_can_not_change_on_a_living_environment(look: Make, fake_aws: FakeAws) -> None:
    launch(fake_aws)
    graviton = Instances(types=("t4g.small",), architecture="arm64")
    in_place = replace(OPEN, instances=graviton, update=Update(strategy="immutable"))
    fires("P52", look(in_place), f"SupportedArchitectures of {BLUE} can't change")


def test_a_read_that_is_not_allowed_is_no_ok(look: Make, fake_aws: FakeAws) -> None:
    fake_aws.script("access_denied", operation="DescribeAccountAttributes", times=9)
    found = finding("P41", look())
    assert found.outcome == "skipped"
    assert "lack the permission" in found.looked_at


def test_without_ec2_the_names_of_types_tell(look: Make, fake_aws: FakeAws, built: Built) -> None:
    fake_aws.script("access_denied", operation="DescribeInstanceTypes", times=99)
    subject = look(built=built)
    passes("P03", subject, "fit into t3.small")
    passes("P05", subject)
    assert finding("P50", subject).outcome == "skipped"
