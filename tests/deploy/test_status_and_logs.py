"""`onnxport status`, `logs` and `open`: what is read of a deployment."""

from __future__ import annotations

import json

import pytest

from onnxport.deploy.diagnosis import SIGNATURES, diagnose, remedy_for
from onnxport.deploy.logs import parse_since
from onnxport.errors import SettingsError
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import Account, Project


def test_before_and_after_a_deployment(project: Project) -> None:
    before = project.run("status")
    assert before.code == 1
    assert "not deployed" in before.stdout
    url = project.deploy()["url"]
    told = project.run("status", "--json").told
    assert told["is_well"]
    assert told["url"] == url
    [blue] = told["environments"]
    assert (blue["slot"], blue["is_live"], blue["health"]) == ("blue", True, "Green")
    assert blue["version"] == told["versions"][0]["label"]
    assert blue["image"].startswith("sha256:")
    assert told["drift"] == []
    assert told["cost"]["date"]
    assert told["unfinished"] is None
    assert project.run("open").stdout.strip() == f"{url}/docs"


def test_drift_between_the_intent_and_what_runs(project: Project, account: Account) -> None:
    project.deploy()
    eb = account.client("elasticbeanstalk")
    namespace = "aws:elasticbeanstalk:application:environment"
    option = {"Namespace": namespace, "OptionName": "ONNXPORT_MAX_ROWS", "Value": "7"}
    eb.update_environment(EnvironmentName="iris-blue", OptionSettings=[option])
    eb.close()
    project.use("2.0")
    project.configure("\n[limits]\nbody_mb = 8\n[instances]\nvolume_gb = 30\n")
    (project.folder / "onnxport.key").write_text("onnxport_" + "0" * 48 + "\n")
    drift = "\n".join(project.run("status", "--json").told["drift"])
    assert "server.max_rows (ONNXPORT_MAX_ROWS) is set, and onnxport.toml doesn't" in drift
    body = "limits.body_mb (ONNXPORT_MAX_BODY)"
    assert f"{body} is 4194304, and onnxport.toml wants 8388608" in drift
    assert "instances.volume_gb (RootVolumeSize) is 16, and onnxport.toml wants 30" in drift
    assert "the API keys differ" in drift
    assert "the model file here is" in drift


@pytest.mark.long
def test_two_environments_cost_twice(project: Project) -> None:
    project.deploy()
    [one] = [line for line in project.run("status").stdout.splitlines() if "cost" in line]
    assert one.startswith("cost of 1 environment: about ")
    month = project.run("status", "--json").told["cost"]["expected"]
    project.use("2.0")
    project.deploy("--keep")
    assert "cost of 2 environments: about " in project.run("status").stdout
    assert project.run("status", "--json").told["cost"]["expected"] > 1.8 * month


def test_what_launches_is_not_live_yet(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    live_aws.rate(20)
    assert project.stop_at("createEnvironment is starting", "deploy", "--yes") is not None
    live_aws.rate(0)
    assert account.environments()["iris-blue"]["Status"] == "Launching"
    told = project.run("status")
    assert told.code == 1
    assert told.stdout.startswith("iris: not live yet\n")
    assert "  blue  not live yet  Launching, health " in told.stdout
    assert "cost of 1 environment: " in told.stdout
    refused = project.run("open")
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.sentence.startswith("onnxport: iris-blue is Launching, and ")


def make_ill(account: Account, live_aws: FakeAws) -> None:
    """Somebody deploys by hand, and the container answers 502 from then on."""
    live_aws.script("bad_gateway")
    [label] = account.versions()
    eb = account.client("elasticbeanstalk")
    eb.update_environment(EnvironmentName="iris-blue", VersionLabel=label)
    eb.close()
    live_aws.advance(300)


@pytest.mark.long
def test_an_environment_that_is_ill_tells_why(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    project.deploy()
    make_ill(account, live_aws)
    told = project.run("status")
    assert told.code == 1
    assert "cause: " in told.stdout


def test_lines_from_cloudwatch(project: Project) -> None:
    project.deploy()
    lines = project.run("logs").stdout.splitlines()
    assert any("listening" in line for line in lines)
    assert len(project.run("logs", "--tail", "1").stdout.splitlines()) == 1
    told = json.loads(project.run("logs", "--tail", "1", "--json").stdout)
    assert set(told) == {"time", "source", "text"}
    assert project.run("logs", "--slot", "green").code == 1
    wrong = project.run("logs", "--since", "x")
    assert (wrong.code, "--since" in wrong.sentence) == (2, True)


@pytest.mark.long
def test_following_goes_on_until_it_is_ended(project: Project) -> None:
    project.deploy()
    process = project.start("logs", "--follow")
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.long
def test_the_machines_last_lines_where_nothing_is_streamed(project: Project) -> None:
    project.configure("\n[logs]\nstream = false\n")
    project.deploy()
    done = project.run("logs")
    assert done.code == 0, done.stderr
    assert "listening" in done.stdout
    assert "aren't in CloudWatch" in project.run("logs", "--follow").sentence


def test_known_troubles_are_named_with_what_helps(
    project: Project, account: Account, live_aws: FakeAws
) -> None:
    project.deploy()
    assert "no known trouble" in project.run("logs", "--diagnose").stdout
    make_ill(account, live_aws)
    told = project.run("logs", "--diagnose")
    assert "nothing listens where the proxy asks" in told.stdout


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("exec /usr/bin/python3: exec format error", "architecture"),
        ("write /var/lib/docker: no space left on device", "disk"),
        ("toomanyrequests: You have reached your pull rate limit", "rate limit"),
        ("Container exited with code 137", "memory"),
        ("connect() failed (111: Connection refused) while connecting to upstream", "port"),
        ("upstream prematurely closed connection", "closed early"),
        ("client intended to send too large body: 5000000 bytes", "body"),
        ("upstream timed out (110: Connection timed out)", "slow"),
        ("Health checks failed with these codes: [404] (Target.ResponseCodeMismatch)", "health path"),
        ("No EXPOSE directive found in Dockerfile", "dockerrun"),
        ("The instance profile x associated with the environment does not exist.", "instance profile"),
        ("Head https://x/v2/: no basic auth credentials", "pull rights"),
        ("Failed to pull Docker image x: manifest for x not found", "image"),
        ("Deleting security group named: sg-1 failed Reason: resource has a dependent object", "leftover"),
    ],
)  # fmt: skip
def test_each_signature_is_found_by_its_words(line: str, name: str) -> None:
    findings = diagnose(["all is well", line])
    assert name in [finding.signature.name for finding in findings]
    assert diagnose(["Environment update completed successfully.", "GET /health/ready 200"]) == []


def test_signatures_have_remedies_and_names_of_their_own() -> None:
    assert len({signature.name for signature in SIGNATURES}) == len(SIGNATURES)
    assert all(signature.remedy for signature in SIGNATURES)
    assert "onnxport logs" in remedy_for("something unheard of")


def test_since_takes_ages_and_times() -> None:
    assert parse_since("2h") < parse_since("10m") < parse_since("90s")
    assert parse_since("2026-01-31T12:00+00:00").isoformat() == "2026-01-31T12:00:00+00:00"
    for wrong in ("x", "10 minutes", "", "-5m"):
        with pytest.raises(SettingsError, match="--since"):
            parse_since(wrong)
