"""What others do between a plan and its steps, and while they go on: nobody's thing is touched, no work is lost."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import EMPTY, Account, Project

_TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
_SECONDS = 90


@dataclass(frozen=True)
class Asked:
    """How a command at a terminal ended, and all that stood there."""

    code: int
    screen: str


def answer(project: Project, *words: str, meanwhile: Callable[[], Any], typed: str) -> Asked:
    """Runs a command at a terminal; where it asks, something happens first, and then the user types."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "onnxport", *words],
        cwd=project.folder,
        env={**os.environ, "XDG_CACHE_HOME": str(project.cache), **project.aws.env},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen, asked, deadline = "", False, time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        try:
            screen += os.read(ours, 65536).decode()
        except OSError:  # the terminal of a process that has ended
            break
        if not asked and re.search(r"(\[y/N\]:|to go on:) $", screen):
            asked = True
            meanwhile()
            os.write(ours, f"{typed}\n".encode())
    os.close(ours)
    code = process.wait(timeout=30)
    assert asked, screen
    return Asked(code, screen.replace("\r\n", "\n"))


def test_nothing_is_done_before_a_yes(project: Project, account: Account) -> None:
    before = account.inventory()
    asked = answer(project, "deploy", meanwhile=lambda: None, typed="n")
    assert asked.code == 1
    assert "create environment iris-blue" in asked.screen
    assert "nothing was changed" in asked.screen
    assert account.inventory() == before


def _role(account: Account) -> None:
    iam = account.client("iam")
    iam.create_role(RoleName="onnxport-iris-eu-central-1-ec2", AssumeRolePolicyDocument=_TRUST)
    iam.close()


def _repository(account: Account) -> None:
    ecr = account.client("ecr")
    ecr.create_repository(repositoryName="onnxport/iris")
    ecr.close()


def _application(account: Account) -> None:
    eb = account.client("elasticbeanstalk")
    eb.create_application(ApplicationName="iris")
    eb.close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_role, "role onnxport-iris-eu-central-1-ec2 already"),
        (_repository, "repository onnxport/iris already"),
        (_application, "application iris"),
    ],
    ids=["role", "repository", "application"],
)
def test_what_somebody_else_makes_after_the_plan_is_not_touched(
    project: Project, account: Account, make: Callable[[Account], None], sentence: str
) -> None:
    asked = answer(project, "deploy", meanwhile=lambda: make(account), typed="y")
    assert asked.code == 1, asked.screen
    assert re.search(sentence, " ".join(asked.screen.split())), asked.screen
    left = {name for names in account.inventory().values() for name in names}
    assert left == {sentence.split()[1]}, "theirs alone is there"


@contextmanager
def launching(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A deployment that has just begun to make an environment; it is over afterwards."""
    with project.start("deploy", "--yes", "--json") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "createEnvironment is starting" in line:
                break
        try:
            yield process
        finally:
            process.kill()


def test_of_two_deployments_at_once_one_waits_its_turn(project: Project, live_aws: FakeAws) -> None:
    live_aws.rate(15)
    with launching(project) as first:
        second = project.run("deploy", "--yes")
        out, err = first.communicate(timeout=_SECONDS)
    assert second.code == 1
    assert re.search(r"another run is going on.*wait until it has ended", second.sentence)
    assert first.returncode == 0, err
    assert project.served(json.loads(out)["url"]) == "1.0"


def test_two_machines_do_not_take_each_others_place(
    project: Project, account: Account, live_aws: FakeAws, tmp_path: Path
) -> None:
    """The same application from two folders at once: one succeeds, the other says why not, and works afterwards."""
    url = project.deploy()["url"]
    other = project.copy(tmp_path / "other")
    project.use("2.0")
    other.use("3.0")
    live_aws.rate(15)
    with launching(project) as first:
        second = other.run("deploy", "--yes")
        live_aws.rate(100)
        _, err = first.communicate(timeout=_SECONDS)
    assert first.returncode == 0, err
    assert second.code == 1
    assert "iris-green is Launching; another run has begun that" in second.sentence
    assert project.served(url) == "2.0"
    assert other.deploy()["url"] == url
    assert other.served(url) == "3.0"
    assert len(account.environments()) == 1


def test_what_has_become_live_since_the_plan_is_not_ended(
    project: Project, account: Account, live_aws: FakeAws, tmp_path: Path
) -> None:
    """A run broke off in its launch; while its successor asks, a colleague finishes the deployment."""
    other = project.copy(tmp_path / "other")
    live_aws.rate(30)
    assert project.stop_at("createEnvironment is starting", "deploy", "--yes") is not None
    project.use("2.0")

    def finish() -> None:
        account.wait_for("iris-blue", "Ready")
        live_aws.rate(100)
        other.deploy()

    asked = answer(project, "deploy", meanwhile=finish, typed="y")
    assert asked.code == 1
    assert "it was never ready" in asked.screen
    assert "iris-blue is Ready by now; another run has changed that" in asked.screen
    assert other.served(other.deploy()["url"]) == "1.0"


@pytest.mark.long
def test_what_others_stand_on_is_not_taken_back(
    project: Project, account: Account, live_aws: FakeAws, tmp_path: Path
) -> None:
    """A first deployment fails after a second environment of the same application has come."""
    staging = project.copy(tmp_path / "staging")
    live_aws.script("bad_gateway", environment="iris-blue")
    live_aws.rate(8)
    with launching(project) as first:
        url = staging.deploy("--environment", "iris-staging")["url"]
        live_aws.rate(100)
        _, err = first.communicate(timeout=_SECONDS)
    assert first.returncode == 1
    assert "application iris has environment iris-staging-blue by now, and stays" in err, err
    assert list(account.environments()) == ["iris-staging-blue"]
    assert staging.served(url) == "1.0"
    assert account.inventory()["repositories"] == ["onnxport/iris"]
    again = staging.run("deploy", "--yes", "--environment", "iris-staging")
    assert "nothing is to change" in again.stdout, "its image and its version are there"
    assert staging.run("destroy", "--yes", "--images", "--environment", "iris-staging").code == 0
    assert account.inventory() == EMPTY


def test_an_update_is_aborted_from_another_terminal(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    url = project.deploy("--strategy", "immutable")["url"]
    project.use("2.0")
    live_aws.rate(5)
    with project.start("deploy", "--yes", "--strategy", "immutable") as process:
        account.wait_for("iris-blue", "Updating")
        done = project.run("rollback", "--yes")
        live_aws.rate(100)
        _, err = process.communicate(timeout=_SECONDS)
    assert done.code == 0, done.stderr
    assert process.returncode == 1, err
    assert project.served(url) == "1.0"
    assert list(account.environments()) == ["iris-blue"]


def test_an_environment_of_somebody_else_keeps_its_logs(project: Project, account: Account) -> None:
    """`destroy --purge` where the other slot's name is somebody else's: its log groups stay, as it does itself."""
    project.deploy()
    eb, logs = account.client("elasticbeanstalk"), account.client("logs")
    theirs = "/aws/elasticbeanstalk/iris-green/var/log/web.stdout.log"
    stack = account.environments()["iris-blue"]["SolutionStackName"]
    profile = account.settings("iris-blue")["IamInstanceProfile"]
    option = {
        "Namespace": "aws:autoscaling:launchconfiguration",
        "OptionName": "IamInstanceProfile",
        "Value": profile,
    }
    eb.create_application(ApplicationName="theirs")
    eb.create_environment(
        ApplicationName="theirs",
        EnvironmentName="iris-green",
        SolutionStackName=stack,
        OptionSettings=[option],
    )
    groups = {one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]}
    if theirs not in groups:
        logs.create_log_group(logGroupName=theirs)
    done = project.run("destroy", "--yes", "--images", "--purge")
    assert done.code == 0, done.stderr
    assert "environment iris-green hasn't our tags, and stays" in done.stdout
    assert list(account.environments()) == ["iris-green"]
    assert theirs in {one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]}
    for client in (eb, logs):
        client.close()


def test_a_network_that_is_lost_takes_nothing_back(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    live_aws.script("connection_lost", operation="DescribeEnvironmentHealth", times=6)
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert "the connection to AWS broke" in done.sentence
    assert "nothing is taken back; run `onnxport deploy` again" in done.stderr
    assert list(account.environments()) == ["iris-blue"]
    assert project.served(project.deploy()["url"]) == "1.0"
