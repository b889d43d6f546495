"""`onnxport deploy` as its users run it: first, next, again; failures are taken back, broken-off runs gone on with."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import onnxport
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import EMPTY, Account, Project

WRITES = ("Create", "Update", "Delete", "Put", "Swap", "Terminate", "Attach", "Add", "Batch")


def test_first_deployment_next_version_and_nothing_to_change(
    project: Project, account: Account
) -> None:
    first = project.deploy()
    assert project.served(first["url"]) == "1.0"
    assert list(account.environments()) == ["iris-blue"]
    blue = account.environments()["iris-blue"]
    assert blue["Health"] == "Green"

    project.use("2.0")
    second = project.deploy()
    assert second["url"] == first["url"]
    assert project.served(second["url"]) == "2.0"
    assert list(account.environments()) == ["iris-green"]
    assert account.environments()["iris-green"]["CNAME"] == blue["CNAME"]

    third = project.run("deploy")  # nobody is asked where nothing changes
    assert third.code == 0
    assert "nothing is to change" in third.stdout
    assert [step["action"] for step in project.deploy()["plan"]["steps"]] == ["verify"]
    assert len(account.versions()) == 2


def test_the_plan_comes_first_and_a_dry_run_changes_nothing(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    done = project.run("deploy", "--dry-run")
    assert done.code == 0
    for told in (
        "create environment iris-blue",
        "elasticbeanstalk:",
        "USD a month",
        "golden requests",
    ):
        assert told in done.stdout
    plan = project.run("deploy", "--dry-run", "--json").told
    assert plan["applied"] is False
    assert plan["plan"]["cost"]["date"]
    assert "iam:PassRole" in plan["plan"]["permissions"]
    writes = [
        one["operation"]
        for one in live_aws.calls()
        if one["operation"].startswith(WRITES) and not one["parameters"].get("DryRun")
    ]
    assert set(writes) <= {"BatchGetImage"}
    assert account.inventory() == EMPTY


def test_a_model_for_which_callers_must_change_is_told_in_the_plan(project: Project) -> None:
    project.deploy()
    project.use("2.0")
    assert "callers of" not in project.run("deploy", "--dry-run").stdout
    iris = load_iris(as_frame=True)
    X = iris.data.set_axis(["length", "width", "petal length (cm)", "petal width (cm)"], axis=1)
    model = LogisticRegression(max_iter=1000).fit(X, iris.target)
    onnxport.save(model, project.folder / "iris.onnx", X, iris.target, name="iris", version="9.0")
    dry = project.run("deploy", "--dry-run")
    assert (
        "note: callers of iris 1.0 must change: no longer taken: 'sepal length (cm)', 'sepal width (cm)'; "
        "wanted now: 'length', 'width'"
    ) in dry.stdout


def test_without_yes_and_without_a_terminal_nothing_happens(
    project: Project, account: Account
) -> None:
    done = project.run("deploy")
    assert done.code == 2
    assert "--yes" in done.sentence
    assert account.inventory() == EMPTY


def test_only_hashes_of_keys_are_deployed_and_they_open_the_door(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    url = project.deploy()["url"]
    settings = account.settings("iris-blue")
    assert settings["ONNXPORT_API_KEY_HASHES"].startswith("deploy:")
    assert project.key not in json.dumps(live_aws.calls())
    journal = (project.folder / ".onnxport" / "journal.jsonl").read_text()
    assert project.key not in journal
    assert project.served(url) == "1.0"


# ------------------------------------------------------------------------------------------------------- interrupted


@pytest.mark.long
@pytest.mark.parametrize("signs", [("done",), ("begun", "done")], ids=["after", "in and after"])
def test_a_crash_at_every_step_is_gone_on_with(
    project: Project, account: Account, signs: tuple[str, ...]
) -> None:
    """Killed again and again, each run a step further than the one before; then the same for an update."""
    for version, slot, least in (("1.0", "blue", 9), ("2.0", "green", 5)):
        project.use(version)
        assert _crash_on_and_on(project, signs) >= least
        project.deploy()
        [(name, environment)] = account.environments().items()
        assert name == f"iris-{slot}"
        assert project.served(f"http://{environment['CNAME']}") == version
    found = account.inventory()
    assert len(found["versions"]) == 2
    assert len([key for key in found["objects"] if key.endswith(".zip")]) == 2
    assert len(found["roles"]) == 2


def _crash_on_and_on(project: Project, signs: tuple[str, ...]) -> int:
    """Kills runs at the first sign of a step that none was killed at before, until one ends; counts them."""
    seen: set[str] = set()
    for crashes in range(60):
        before = "|".join(re.escape(line) for line in sorted(seen)) or "nothing"
        which = "done: " if signs[crashes % len(signs)] == "done" else "(?!done: )"
        killed = project.stop_at(
            rf"\[\d+/\d+\] (?!(?:{before})(?: \(\d+ s\))?$){which}", "deploy", "--yes"
        )
        if killed is None:
            return crashes
        [*_, last] = re.findall(r"\[\d+/\d+\] (.*)", killed.stderr)
        seen.add(re.sub(r" \(\d+ s\)$", "", last))
    raise AssertionError("it never comes to an end")


def test_a_crash_after_the_swap_and_in_the_launch(project: Project, account: Account) -> None:
    assert project.stop_at("Created security group", "deploy", "--yes") is not None
    url = project.deploy()["url"]
    project.use("2.0")
    assert project.stop_at("done: swap", "deploy", "--yes") is not None
    assert len(account.environments()) == 2
    told = project.deploy()
    assert [step["action"] for step in told["plan"]["steps"]] == [
        *("await_ready", "point", "verify", "watch", "terminate", "write_record")
    ]
    assert project.served(url) == "2.0"
    assert list(account.environments()) == ["iris-green"]
    assert project.run("rollback", "--yes").code == 0
    assert project.served(url) == "1.0"


def test_ctrl_c_leaves_a_state_from_which_deploy_goes_on(
    project: Project, account: Account
) -> None:
    stopped = project.stop_at(
        "createEnvironment is starting", "deploy", "--yes", with_signal=signal.SIGINT
    )
    assert stopped is not None
    assert stopped.code == 130
    assert "interrupted; nothing is taken back; run `onnxport deploy` again" in stopped.stderr
    assert project.run("status").code == 1
    done = project.run("deploy", "--yes", "--json")
    assert done.code == 0
    assert "broke off" in done.stderr
    actions = [step["action"] for step in done.told["plan"]["steps"]]
    assert "create_environment" not in actions
    assert list(account.environments()) == ["iris-blue"]


@pytest.mark.long
def test_expired_credentials_half_way_take_nothing_back(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    live_aws.script("expired_credentials", operation="DescribeEvents", times=1)
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert "session has expired" in done.sentence
    assert "go on from here" in done.stderr
    assert account.inventory()["versions"] != []
    assert project.served(project.deploy()["url"]) == "1.0"


@pytest.mark.parametrize(
    "operation",
    [
        "AddRoleToInstanceProfile",
        "CreateApplication",
        "CreateApplicationVersion",
        "CreateEnvironment",
        "SwapEnvironmentCNAMEs",
        "TerminateEnvironment",
    ],
)
def test_an_answer_that_is_lost_is_no_failure(
    project: Project, account: Account, live_aws: FakeAws, operation: str
) -> None:
    if operation in ("SwapEnvironmentCNAMEs", "TerminateEnvironment"):
        project.deploy()
        project.use("2.0")
    live_aws.script("answer_lost", operation=operation)
    url = project.deploy()["url"]
    assert project.served(url) == ("2.0" if operation[0] in "ST" else "1.0")
    assert len(account.environments()) == 1


def test_a_swap_that_shows_late_is_not_sent_again(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    project.deploy()
    project.use("2.0")
    live_aws.script("late_news")
    live_aws.rate(40)
    url = project.deploy()["url"]
    live_aws.rate(100)
    swaps = [one for one in live_aws.calls() if one["operation"] == "SwapEnvironmentCNAMEs"]
    assert len(swaps) == 1
    assert project.served(url) == "2.0"
    assert len(account.environments()) == 1


@pytest.mark.parametrize("operation", ["CreateApplication", "CreateEnvironment"])
def test_a_role_that_is_not_known_everywhere_yet_is_waited_for(
    project: Project, live_aws: FakeAws, operation: str
) -> None:
    live_aws.script("role_unknown", operation=operation)
    assert project.served(project.deploy()["url"]) == "1.0"


# ------------------------------------------------------------------------------------------------------ taken back


@pytest.mark.parametrize(
    ("fail", "sentence"),
    [
        ("image_not_found", "push it again"),
        ("bad_gateway", "8080"),
        pytest.param("wrong_architecture", "instances.architecture", marks=pytest.mark.long),
        pytest.param("health_404", "health.path", marks=pytest.mark.long),
        pytest.param("launch_timeout", "update.timeout", marks=pytest.mark.long),
        pytest.param("missing_instance_profile", "instance_profile", marks=pytest.mark.long),
    ],
)
def test_a_first_deployment_that_fails_leaves_nothing(
    project: Project, account: Account, live_aws: FakeAws, fail: str, sentence: str
) -> None:
    live_aws.script(fail)
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert sentence in done.sentence
    assert account.inventory() == EMPTY


def test_a_lost_answer_while_taking_back_hides_nothing(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    live_aws.script("bad_gateway")
    for operation in ("DetachRolePolicy", "DeleteInstanceProfile", "DeleteRepository"):
        live_aws.script("answer_lost", operation=operation)
    assert project.run("deploy", "--yes").code == 1
    assert account.inventory() == EMPTY


@pytest.mark.parametrize(
    "fail",
    [
        "bad_gateway",
        pytest.param("image_not_found", marks=pytest.mark.long),
        pytest.param("health_404", marks=pytest.mark.long),
    ],
)
def test_an_update_that_fails_leaves_the_live_one_alone(
    project: Project, account: Account, live_aws: FakeAws, fail: str
) -> None:
    url = project.deploy()["url"]
    before = account.inventory()
    live_aws.script(fail, environment="iris-green")
    project.use("2.0")
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert "taken back" in done.stderr
    assert account.inventory() == before
    assert project.served(url) == "1.0"


def test_what_turns_ill_after_the_swap_is_swapped_back(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    url = project.deploy()["url"]
    before = account.inventory()
    live_aws.script("ill_after_swap", environment="iris-green")
    project.use("2.0")
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert "HTTP 5xx" in done.sentence
    assert "taken back: swap back to iris-blue" in done.stderr
    assert account.inventory() == before
    assert project.served(url) == "1.0"
    project.deploy()
    assert project.served(url) == "2.0"


def test_a_watch_that_broke_off_is_made_up_for_and_swaps_back(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    url = project.deploy()["url"]
    live_aws.script("ill_after_swap", environment="iris-green")
    project.use("2.0")
    assert project.stop_at("done: swap", "deploy", "--yes") is not None
    assert project.served(url) == "2.0"
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert "taken back: swap back to iris-blue" in done.stderr
    assert project.served(url) == "1.0"
    assert list(account.environments()) == ["iris-blue"]


@pytest.mark.long
def test_a_swap_that_is_refused_leaves_the_live_one_alone(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    url = project.deploy()["url"]
    project.use("2.0")
    live_aws.script("swap_refused", times=1)
    done = project.run("deploy", "--yes")
    assert project.served(url) == "1.0" if done.code else "2.0"
    assert project.served(project.deploy()["url"]) == "2.0"
    assert len(account.environments()) == 1


@pytest.mark.long
def test_an_answer_that_takes_too_long_is_a_failure(project: Project, account: Account) -> None:
    project.deploy()
    project.use("2.0")
    done = project.run("deploy", "--yes", "--latency-ms", "1")
    assert done.code == 1
    assert "health.latency_ms" in done.sentence
    assert list(account.environments()) == ["iris-blue"]


# ------------------------------------------------------------------------------------------------ found before anything


@pytest.mark.parametrize(
    ("variables", "words", "sentence"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, (), "no AWS credentials"),
        ({"AWS_PROFILE": "nobody"}, (), "profile"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, (), "can't be reached"),
        ({}, ("--region", "eu-nowhere-1"), "region"),
        ({}, ("--budget", "3"), "budget"),
        ({}, ("--architecture", "arm64"), "t3.small"),
        ({}, ("--service-role", "nobody"), "nobody"),
        ({}, ("--instance-profile", "nobody"), "nobody"),
        ({}, ("--model", "nothing.onnx"), "nothing.onnx"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_is_one_sentence_and_nothing_is_made(
    project: Project,
    account: Account,
    variables: dict[str, str],
    words: tuple[str, ...],
    sentence: str,
) -> None:
    done = project.run("deploy", "--yes", *words, env=variables)
    assert done.code in (1, 2)
    assert sentence in done.sentence
    assert len(done.sentence.splitlines()) == 1
    assert account.inventory() == EMPTY


@pytest.mark.parametrize(
    ("fail", "how", "sentence"),
    [
        ("expired_credentials", {}, "session has expired"),
        ("access_denied", {"operation": "DescribeEnvironments"}, "may not"),
        ("throttling", {"operation": "DescribeEnvironments", "times": 50}, "slower pace"),
    ],
)
def test_what_aws_refuses_while_looking(
    project: Project,
    account: Account,
    live_aws: FakeAws,
    fail: str,
    how: dict[str, object],
    sentence: str,
) -> None:
    live_aws.script(fail, **how)
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert sentence in done.sentence or "permission" in done.sentence
    live_aws.reset()
    assert account.inventory() == EMPTY


def test_things_of_our_names_that_are_not_ours_are_never_touched(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    """Each is found in its turn; none is changed, and nothing else is made."""
    eb, ecr, iam = (account.client(name) for name in ("elasticbeanstalk", "ecr", "iam"))
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    makers: dict[str, Callable[[], Any]] = {
        "application iris": lambda: eb.create_application(ApplicationName="iris"),
        "repository onnxport/iris": lambda: ecr.create_repository(repositoryName="onnxport/iris"),
        "role onnxport-iris": lambda: iam.create_role(
            RoleName="onnxport-iris-eu-central-1-ec2", AssumeRolePolicyDocument=trust
        ),
        "instance profile": lambda: iam.create_instance_profile(
            InstanceProfileName="onnxport-iris-eu-central-1-ec2"
        ),
    }
    for what, make in makers.items():
        live_aws.reset()
        make()
        before = account.inventory()
        done = project.run("deploy", "--yes")
        assert done.code == 1
        assert what in done.sentence
        assert account.inventory() == before
        assert project.run("destroy", "--yes", "--images", "--purge").code == 0
        assert account.inventory() == before
    for client in (eb, ecr, iam):
        client.close()


def test_an_environment_of_somebody_else_stops_the_plan(project: Project, account: Account) -> None:
    eb = account.client("elasticbeanstalk")
    eb.create_application(ApplicationName="theirs")
    stack = next(
        name
        for name in eb.list_available_solution_stacks()["SolutionStacks"]
        if name.endswith("running Docker") and "2023" in name
    )
    iam = account.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName="their-role", AssumeRolePolicyDocument=trust)
    iam.create_instance_profile(InstanceProfileName="their-profile")
    iam.add_role_to_instance_profile(InstanceProfileName="their-profile", RoleName="their-role")
    eb.create_environment(
        ApplicationName="theirs",
        EnvironmentName="iris-green",
        SolutionStackName=stack,
        OptionSettings=[
            {
                "Namespace": "aws:autoscaling:launchconfiguration",
                "OptionName": "IamInstanceProfile",
                "Value": "their-profile",
            }
        ],
    )
    done = project.run("deploy", "--yes")
    assert done.code == 1
    assert "environment iris-green" in done.sentence
    assert account.inventory()["versions"] == []
    for client in (eb, iam):
        client.close()


@pytest.mark.long
def test_a_role_that_is_named_is_used_as_it_is(project: Project, account: Account) -> None:
    project.deploy()  # makes roles that a user might name
    iam = account.client("iam")
    before = iam.list_attached_role_policies(RoleName="onnxport-iris-eu-central-1-eb")
    done = project.run(
        *("deploy", "--yes", "--json", "--environment", "iris-two"),
        *("--service-role", "onnxport-iris-eu-central-1-eb"),
        *("--instance-profile", "onnxport-iris-eu-central-1-ec2"),
    )
    assert done.code == 0, done.stderr
    actions = [step["action"] for step in done.told["plan"]["steps"]]
    assert "create_role" not in actions
    after = iam.list_attached_role_policies(RoleName="onnxport-iris-eu-central-1-eb")
    assert after["AttachedPolicies"] == before["AttachedPolicies"]
    assert sorted(account.environments()) == ["iris-blue", "iris-two-blue"]
    iam.close()


# --------------------------------------------------------------------------------------------------------- in place


def test_settings_and_version_go_in_two_updates(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    project.deploy("--strategy", "immutable")
    project.use("2.0")
    told = project.deploy("--strategy", "immutable", "--volume-gb", "20")
    actions = [step["action"] for step in told["plan"]["steps"]]
    assert actions.index("update_settings") < actions.index("update_version")
    updates = [one for one in live_aws.calls() if one["operation"] == "UpdateEnvironment"]
    told_of = [{name.partition(".")[0] for name in one["parameters"]} for one in updates]
    assert [sorted({"VersionLabel", "OptionSettings"} & names) for names in told_of] == [
        ["OptionSettings"],
        ["VersionLabel"],
    ]
    assert list(account.environments()) == ["iris-blue"]
    assert account.settings("iris-blue")["RootVolumeSize"] == "20"
    assert project.served(told["url"]) == "2.0"


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["rolling", "canary"])
def test_in_place_behind_a_load_balancer(project: Project, account: Account, strategy: str) -> None:
    project.configure('\n[instances]\nlayout = "load-balanced"\nmin = 2\nmax = 3\n')
    words = ("--budget", "500", "--strategy", strategy)
    url = project.deploy(*words)["url"]
    settings = account.settings("iris-blue")
    assert settings["LoadBalancerType"] == "application"
    policy = {"rolling": "RollingWithAdditionalBatch", "canary": "TrafficSplitting"}[strategy]
    assert settings["DeploymentPolicy"] == policy
    project.use("2.0")
    told = project.deploy(*words)
    assert "update_version" in [step["action"] for step in told["plan"]["steps"]]
    assert project.served(url) == "2.0"
    assert list(account.environments()) == ["iris-blue"]


@pytest.mark.long
def test_a_kept_environment_is_used_again(project: Project, account: Account) -> None:
    project.deploy("--keep")
    project.use("2.0")
    project.deploy("--keep")
    assert sorted(account.environments()) == ["iris-blue", "iris-green"]
    project.use("3.0")
    told = project.deploy("--keep")
    actions = [step["action"] for step in told["plan"]["steps"]]
    assert "update_version" in actions
    assert "create_environment" not in actions
    assert project.served(told["url"]) == "3.0"
    assert sorted(account.environments()) == ["iris-blue", "iris-green"]


def test_init_asks_nothing_and_needs_no_credentials(project: Project) -> None:
    for path in ("onnxport.toml", "onnxport.key"):
        (project.folder / path).unlink()
    nobody = dict.fromkeys(project.aws.env, "")
    done = project.run("deploy", "--init", env=nobody)
    assert done.code == 0
    assert (project.folder / "onnxport.key").stat().st_mode & 0o777 == 0o600
    exported = project.run("deploy", "--export", "cloudformation", env=nobody)
    assert "AWS::ElasticBeanstalk::Environment" in exported.stdout
    assert boto3.__name__ not in exported.stderr


def test_init_writes_the_flags_down(project: Project, tmp_path: Path) -> None:
    for path in ("onnxport.toml", "onnxport.key"):
        (project.folder / path).unlink()
    given = ("--region", "eu-west-3", "--watch", "120", "--keep")
    assert project.run("deploy", "--init", *given).code == 0
    written = tomllib.loads((project.folder / "onnxport.toml").read_text())
    assert written["region"] == "eu-west-3"
    assert (written["update"]["watch"], written["update"]["keep"]) == (120, True)
    refusals: tuple[tuple[tuple[str, ...], str], ...] = (
        (("--region", "eu-west-2"), "is here already, and --init changes no file"),
        (("--file", "other.toml"), "--init writes onnxport.toml, not other.toml"),
        (("iris.onnx",), "--init needs no model"),
    )
    for words, sentence in refusals:
        refused = project.run("deploy", "--init", *words)
        assert refused.code in (1, 2)
        assert sentence in refused.sentence
    assert sorted(path.name for path in tmp_path.glob("*.toml")) == ["onnxport.toml"]


def test_a_plan_in_a_log_holds_no_hashes_of_keys(project: Project) -> None:
    dry = project.run("deploy", "--dry-run", "--json")
    digest = hashlib.sha256(project.key.encode()).hexdigest()
    assert "ONNXPORT_API_KEY_HASHES" in dry.stdout
    assert digest not in dry.stdout
    assert project.key not in dry.stdout


def test_the_newest_platform_comes_with_the_next_deployment(
    project: Project, account: Account
) -> None:
    """Somebody has put the live environment on an old one; `status` shows it, and `deploy` mends it."""
    url = project.deploy()["url"]
    newest = account.environments()["iris-blue"]["PlatformArn"]
    eb = account.client("elasticbeanstalk")
    old = next(
        name
        for name in eb.list_available_solution_stacks()["SolutionStacks"]
        if "2023" in name and name.endswith("running Docker") and newest.split("/")[-1] not in name
    )
    eb.update_environment(EnvironmentName="iris-blue", SolutionStackName=old)
    eb.close()
    account.wait_for("iris-blue", "Ready")
    assert "is the newest" in project.run("status").stdout
    told = project.deploy("--strategy", "immutable")
    assert "update_platform" in [step["action"] for step in told["plan"]["steps"]]
    assert account.environments()["iris-blue"]["PlatformArn"] == newest
    assert project.served(url) == "1.0"
