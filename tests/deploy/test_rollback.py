"""`onnxport rollback`: back to the version before, by a swap, anew, in place, or by an abort."""

from __future__ import annotations

import re
import time

import pytest

from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import Account, Project


def test_back_and_forth_without_a_kept_environment(project: Project, account: Account) -> None:
    url = project.deploy()["url"]
    project.use("2.0")
    project.deploy()
    assert project.served(url) == "2.0"
    done = project.run("rollback", "--yes", "--json")
    assert done.code == 0, done.stderr
    steps = {step["action"]: step for step in done.told["plan"]["steps"]}
    assert "create_environment" in steps
    assert "whose file isn't here for golden requests" in steps["verify"]["changes"]
    assert project.served(url) == "1.0"
    assert len(account.environments()) == 1
    assert project.run("rollback", "--yes").code == 0  # back from going back
    assert project.served(url) == "2.0"
    assert project.run("deploy", "--dry-run").stdout.count("nothing is to change") == 1


def test_a_kept_environment_is_swapped_back_at_once(project: Project, account: Account) -> None:
    url = project.deploy("--keep")["url"]
    project.use("2.0")
    project.deploy("--keep")
    done = project.run("rollback", "--yes", "--json", "--keep")
    assert done.code == 0, done.stderr
    actions = [step["action"] for step in done.told["plan"]["steps"]]
    assert actions == ["verify", "point", "watch", "write_record"]
    assert project.served(url) == "1.0"
    assert sorted(account.environments()) == ["iris-blue", "iris-green"]


@pytest.mark.long
def test_in_place_the_former_version_comes_back(project: Project, account: Account) -> None:
    url = project.deploy("--strategy", "immutable")["url"]
    project.use("2.0")
    project.deploy("--strategy", "immutable")
    done = project.run("rollback", "--yes", "--strategy", "immutable")
    assert done.code == 0, done.stderr
    assert project.served(url) == "1.0"
    assert list(account.environments()) == ["iris-blue"]


@pytest.mark.long
def test_a_version_may_be_named(project: Project, account: Account) -> None:
    url = project.deploy()["url"]
    for version in ("2.0", "3.0"):
        project.use(version)
        project.deploy()
    first = account.versions()[-1]
    assert project.run("rollback", "--yes", "--to", first).code == 0
    assert project.served(url) == "1.0"
    assert project.run("rollback", "--yes", "--to", "3.0").code == 0
    assert project.served(url) == "3.0"
    unknown = project.run("rollback", "--yes", "--to", "v-0")
    assert unknown.code == 1
    assert "there is no version v-0" in unknown.sentence


@pytest.mark.long
def test_an_update_that_goes_on_is_aborted(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    url = project.deploy("--strategy", "immutable")["url"]
    project.use("2.0")
    live_aws.rate(5)
    stopped = project.stop_at(
        r"\] put version .* on iris-blue", "deploy", "--yes", "--strategy", "immutable"
    )
    assert stopped is not None
    deadline = time.monotonic() + 30
    while account.environments()["iris-blue"]["Status"] != "Updating":
        if time.monotonic() > deadline:  # killed before it was asked for
            assert project.stop_at(
                r"UpdateEnvironment|update", "deploy", "--yes", "--strategy", "immutable"
            )
        time.sleep(0.2)
    busy = project.run("status", "--json")
    assert busy.told["environments"][0]["state"] == "Updating"
    done = project.run("rollback", "--yes")
    live_aws.rate(100)
    assert done.code == 0, done.stderr
    assert re.search("abort", done.stdout)
    assert project.served(url) == "1.0"


def test_with_nothing_before_it_says_so(project: Project) -> None:
    none = project.run("rollback", "--yes")
    assert none.code == 1
    assert "isn't deployed" in none.sentence
    project.deploy()
    first = project.run("rollback", "--yes")
    assert first.code == 1
    assert "no version before" in first.sentence


def test_a_rollback_that_is_killed_after_the_swap_goes_back_no_further(
    project: Project, account: Account
) -> None:
    """Whether or not the deployment before it was written down."""
    url = project.deploy()["url"]
    for version in ("2.0", "3.0"):
        project.use(version)
        if version == "2.0":
            project.deploy()
        else:
            assert project.stop_at("done: swap", "deploy", "--yes") is not None
    assert project.served(url) == "3.0"
    assert project.stop_at("done: swap", "rollback", "--yes") is not None
    assert project.served(url) == "2.0"
    told = project.run("status")
    assert "the last `onnxport rollback` broke off" in told.stderr
    assert project.stop_at(r"\d\] verify", "rollback", "--yes") is not None  # and once more
    again = project.run("rollback", "--yes")
    assert again.code == 0, again.stderr
    assert "finish taking iris back to iris 2.0 (version v-" in again.stdout
    assert project.served(url) == "2.0"
    assert len(account.environments()) == 1


def test_a_version_whose_image_is_gone_is_found_before_anything_is_made(
    project: Project, account: Account
) -> None:
    first = project.deploy()
    url, digest = first["url"], first["image"].partition("@")[2]
    project.use("2.0")
    project.deploy()
    ecr = account.client("ecr")
    ecr.batch_delete_image(repositoryName="onnxport/iris", imageIds=[{"imageDigest": digest}])
    ecr.close()
    done = project.run("rollback", "--yes")
    assert done.code == 1
    assert "is gone from onnxport/iris, so version v-" in done.sentence
    assert list(account.environments()) == ["iris-green"]
    assert project.served(url) == "2.0"


@pytest.mark.long
def test_a_rollback_that_is_killed_may_be_followed_by_a_deployment(
    project: Project, account: Account
) -> None:
    url = project.deploy()["url"]
    project.use("2.0")
    project.deploy()
    assert project.stop_at("done: swap", "rollback", "--yes") is not None
    assert project.served(url) == "1.0"
    project.use("1.0")
    project.deploy()
    assert len(account.environments()) == 1
    assert project.served(url) == "1.0"
