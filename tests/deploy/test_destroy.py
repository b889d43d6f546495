"""`onnxport destroy`: all that is ours, nothing else, and a second look."""

from __future__ import annotations

import pytest

from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import EMPTY, Account, Project


def test_everything_goes_and_is_looked_for_again(project: Project, account: Account) -> None:
    project.deploy("--keep")
    project.use("2.0")
    project.deploy("--keep")
    done = project.run("destroy", "--yes", "--images", "--purge", "--json")
    assert done.code == 0, done.stderr
    assert done.told["left"] == []
    assert account.inventory() == EMPTY
    again = project.run("destroy", "--yes")
    assert again.code == 0
    assert "nothing of iris to destroy" in again.stdout


@pytest.mark.long
def test_images_and_logs_stay_unless_asked_for(project: Project, account: Account) -> None:
    project.deploy()
    done = project.run("destroy", "--yes")
    assert done.code == 0
    assert "--images removes it" in done.stdout
    assert account.inventory() == {**EMPTY, "repositories": ["onnxport/iris"]}


def test_somebody_must_say_yes(project: Project, account: Account) -> None:
    project.deploy()
    before = account.inventory()
    asked = project.run("destroy")
    assert asked.code == 2
    assert "--yes" in asked.sentence
    dry = project.run("destroy", "--dry-run")
    assert dry.code == 0
    assert "terminate environment iris-blue" in dry.stdout
    assert account.inventory() == before


def test_what_others_made_beside_ours_stays(project: Project, account: Account) -> None:
    """A version and an object of somebody else's, in our application and in the account's bucket."""
    project.deploy()
    eb, s3 = account.client("elasticbeanstalk"), account.client("s3")
    [bucket] = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket, Key="theirs.zip", Body=b"PK")
    s3.put_object(Bucket=bucket, Key="onnxport/other/versions/v.zip", Body=b"PK")
    eb.create_application_version(
        ApplicationName="iris",
        VersionLabel="theirs",
        SourceBundle={"S3Bucket": bucket, "S3Key": "theirs.zip"},
    )
    done = project.run("destroy", "--yes", "--images", "--purge")
    assert done.code == 0, done.stderr
    assert "versions without our tags stay" in done.stdout
    assert "role onnxport-iris-eu-central-1-eb stays with the application" in done.stdout
    assert account.inventory() == {
        **EMPTY,
        "applications": ["iris"],
        "roles": ["onnxport-iris-eu-central-1-eb"],
        "versions": ["theirs"],
        "objects": ["onnxport/other/versions/v.zip", "theirs.zip"],
    }
    for client in (eb, s3):
        client.close()


def test_another_environment_of_the_application_keeps_what_it_stands_on(
    project: Project, account: Account
) -> None:
    project.deploy()
    two = project.run("deploy", "--yes", "--json", "--environment", "iris-two")
    assert two.code == 0, two.stderr
    done = project.run("destroy", "--yes", "--images")
    assert done.code == 0, done.stderr
    assert "other environments (iris-two-blue)" in done.stdout
    assert "role onnxport-iris-eu-central-1-eb stays with the application" in done.stdout
    assert list(account.environments()) == ["iris-two-blue"]
    assert project.served(two.told["url"]) == "1.0"
    last = project.run("destroy", "--yes", "--images", "--environment", "iris-two")
    assert last.code == 0, last.stderr
    assert account.inventory() == EMPTY


@pytest.mark.long
def test_what_aws_leaves_behind_is_told(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    project.deploy()
    live_aws.script("security_group_left")
    done = project.run("destroy", "--yes", "--images")
    assert done.code == 1
    assert "security group" in done.sentence
    assert project.run("destroy", "--yes", "--images").code == 0
    assert account.inventory() == EMPTY


@pytest.mark.long
def test_a_destruction_that_is_killed_goes_on(project: Project, account: Account) -> None:
    project.deploy()
    for _ in range(4):
        if project.stop_at(r"\] done: (terminate|delete)", "destroy", "--yes", "--images") is None:
            break
    assert project.run("destroy", "--yes", "--images").code == 0
    assert account.inventory() == EMPTY
