"""Names within AWS's own limits, the same for the same intent; and tags that say what is ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest

from onnxport.deploy.intent import Intent, Network, Roles
from onnxport.deploy.names import (
    SLOTS,
    bucket_name,
    names_of,
    other,
    partition,
    registry_host,
    version_label,
)
from onnxport.deploy.tags import belongs_to, is_ours, own_tags, shared_tags, slot_tags

ACCOUNT = "123456789012"
LONGEST = "a" + "b2-c4" * 6 + "xyz"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.fixture(scope="module")
def models() -> Any:
    session = botocore.session.get_session()
    return {name: session.get_service_model(name) for name in ("elasticbeanstalk", "ecr", "iam")}


@pytest.mark.parametrize("app", ["ab", "iris", LONGEST])
@pytest.mark.parametrize("region", ["us-east-1", "ap-southeast-2", "us-gov-east-1"])
def test_all_names_are_within_the_limits_of_aws(models: Any, app: str, region: str) -> None:
    assert len(LONGEST) == 34
    names = names_of(Intent(app=app, region=region), ACCOUNT)
    create = models["elasticbeanstalk"].shape_for("CreateEnvironmentMessage").members
    label = version_label(datetime(2026, 1, 2, tzinfo=UTC), DIGEST)
    for text, shape in [
        *((names.environment(slot), create["EnvironmentName"]) for slot in SLOTS),
        (names.application, create["ApplicationName"]),
        (names.live_cname, create["CNAMEPrefix"]),
        (names.idle_cname, create["CNAMEPrefix"]),
        (label, create["VersionLabel"]),
        (names.repository, models["ecr"].shape_for("RepositoryName")),
        (names.instance_profile, models["iam"].shape_for("roleNameType")),
        (names.service_role, models["iam"].shape_for("roleNameType")),
    ]:
        limits = shape.metadata
        assert limits.get("min", 1) <= len(text) <= limits["max"], text
        assert re.fullmatch(limits.get("pattern", ".*"), text), text
    assert re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", names.idle_cname)


def test_the_names_of_iris() -> None:
    names = names_of(Intent(app="iris", region="eu-central-1"), ACCOUNT)
    assert [names.environment(slot) for slot in SLOTS] == ["iris-blue", "iris-green"]
    assert re.fullmatch("iris-[0-9a-f]{6}", names.live_cname)
    assert names.idle_cname == f"{names.live_cname}-idle"
    assert names.repository == "onnxport/iris"
    assert names.instance_profile == "onnxport-iris-eu-central-1-ec2"
    assert names.version_key("v-1") == "onnxport/iris/versions/v-1.zip"
    assert names.record_key == "onnxport/iris/records/iris.json"
    assert names.log_group("blue") == (
        "/aws/elasticbeanstalk/iris-blue/var/log/eb-docker/containers/eb-current-app/stdouterr.log"
    )
    assert names == names_of(Intent(app="iris", region="eu-central-1"), ACCOUNT)


def test_addresses_differ_between_accounts() -> None:
    """They are unique over all accounts, and somebody else has an iris too."""
    assert names_of(Intent(app="iris"), ACCOUNT) != names_of(Intent(app="iris"), ACCOUNT[::-1])


def test_environments_of_one_application_share_versions_and_repository_alone() -> None:
    staging = names_of(Intent(app="iris", environment="iris-staging"), ACCOUNT)
    live = names_of(Intent(app="iris"), ACCOUNT)
    assert (staging.application, staging.repository) == (live.application, live.repository)
    assert staging.version_key("v") == live.version_key("v")
    of_staging, of_live = (
        {n.environment("blue"), n.live_cname, n.idle_cname, n.service_role, n.record_key}
        for n in (staging, live)
    )
    assert not of_staging & of_live


def test_names_that_were_given_are_taken() -> None:
    intent = Intent(
        app="iris", network=Network(cname="flowers"), roles=Roles(instance_profile="p", service="s")
    )
    names = names_of(intent, ACCOUNT)
    assert (names.live_cname, names.idle_cname) == ("flowers", "flowers-idle")
    assert (names.instance_profile, names.service_role) == ("p", "s")


def test_a_version_is_called_by_its_moment_and_its_image() -> None:
    moment = datetime(2026, 11, 27, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert version_label(moment, DIGEST) == "v-20261126-230203-01234567"


def test_the_places_of_regions() -> None:
    assert bucket_name("eu-west-1", ACCOUNT) == f"elasticbeanstalk-eu-west-1-{ACCOUNT}"
    assert registry_host("eu-west-1", ACCOUNT) == f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
    assert registry_host("cn-north-1", ACCOUNT).endswith(".amazonaws.com.cn")
    assert [partition(r) for r in ("eu-west-1", "cn-north-1", "us-gov-west-1")] == [
        "aws",
        "aws-cn",
        "aws-us-gov",
    ]
    assert [other(slot) for slot in SLOTS] == ["green", "blue"]


# -------------------------------------------------------------------------------------------------------------- tags


def _all_tags(intent: Intent) -> Iterator[dict[str, str]]:
    yield shared_tags(intent)
    yield own_tags(intent)
    yield slot_tags(intent, "blue", model="a" * 64, image=DIGEST)


def test_what_we_made_is_known_by_its_tags() -> None:
    iris = Intent(app="iris", tags=(("team", "forecasting"),))
    for tags in _all_tags(iris):
        assert is_ours(tags)
        assert belongs_to(tags, iris)
        assert tags["team"] == "forecasting"
        assert not belongs_to(tags, Intent(app="wine"))


def test_what_others_made_is_not_ours() -> None:
    iris = Intent(app="iris")
    for tags in (
        {},
        {"Name": "iris"},
        {"onnxport:app": "iris"},
        {"onnxport:managed-by": "terraform"},
    ):
        assert not is_ours(tags)
        assert not belongs_to(tags, iris)


def test_another_environment_of_the_application_is_left_alone() -> None:
    iris, staging = Intent(app="iris"), Intent(app="iris", environment="staging")
    assert belongs_to(shared_tags(iris), staging)
    assert not belongs_to(own_tags(iris), staging)
    assert not belongs_to(slot_tags(staging, "blue"), iris)


def test_tags_are_within_the_limits_of_aws(models: Any) -> None:
    pair = (
        models["iam"].shape_for("tagKeyType").metadata,
        models["iam"].shape_for("tagValueType").metadata,
    )
    for key, value in slot_tags(Intent(app=LONGEST), "green", model="a" * 64, image=DIGEST).items():
        for text, limits in zip((key, value), pair, strict=True):
            assert limits["min"] <= len(text) <= limits["max"]
            assert re.fullmatch(r"[\w .:/=+\-@]*", text)


def test_digests_that_arent_known_are_left_out() -> None:
    assert "onnxport:model" not in slot_tags(Intent(app="iris"), "blue")
