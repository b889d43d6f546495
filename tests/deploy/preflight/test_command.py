"""`onnxport deploy --preflight` as its user runs it, and `onnxport deploy` where a check fails: nothing is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from onnxport.deploy.preflight import CHECKS
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import EMPTY, Account, Done, Project


def run(folder: Path, *words: str, program: Sequence[str] = ("-m", "onnxport")) -> Done:
    """Without credentials, and without an engine on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    none = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    environment = {**kept, **none, "AWS_EC2_METADATA_DISABLED": "true", "PATH": str(folder)}
    command = [sys.executable, "-W", "error", *program, "deploy", *words]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def outcomes(done: Done) -> dict[str, Any]:
    return {one["id"]: one["outcome"] for one in done.told["findings"]}


def test_offline_checks_need_neither_credentials_nor_a_model(tmp_path: Path) -> None:
    done = run(tmp_path, "--preflight", "--json", "--app", "iris", "--auth", "none")
    assert done.code == 0, done.stderr
    assert done.told["passed"] is True
    found = outcomes(done)
    assert found["P20"] == found["P30"] == found["P31"] == found["P53"] == "ok"
    assert found["P01"] == found["P06"] == found["P40"] == "skipped"


def test_what_was_not_looked_at_is_not_taken_for_fine(tmp_path: Path) -> None:
    done = run(tmp_path, "--preflight", "--app", "iris", "--auth", "none")
    lines = done.stdout.splitlines()
    assert lines[-1].endswith(
        " skipped; only what could be looked at has passed: no .onnx file is here, there are no AWS credentials"
    )
    assert done.stdout.count("log in, such as") == 1
    assert done.stdout.count("there are no AWS credentials") == 2
    assert "P40  skipped  AWS takes the credentials: as P34" in lines


WITHOUT_BOTO3 = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("boto3", "botocore"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from onnxport.cli import main
main()
"""


def test_without_boto3_what_needs_it_is_skipped(tmp_path: Path, model: Path) -> None:
    shutil.copy(model, tmp_path / "iris.onnx")
    script = tmp_path / "without_boto3.py"
    script.write_text(WITHOUT_BOTO3)
    words = ("--app", "iris", "--auth", "none", "--base", "./none.tar")
    done = run(tmp_path, "--preflight", "--json", *words, program=[str(script)])
    found = {one["id"]: one for one in done.told["findings"]}
    assert len(found) == len(CHECKS)
    assert {found[check]["outcome"] for check in ("P01", "P02", "P03", "P31", "P53")} == {"ok"}
    for check in ("P30", "P34", "P40", "P54"):
        assert found[check]["outcome"] == "skipped"
        assert found[check]["looked_at"] == "boto3 isn't installed"
        assert found[check]["fix"].startswith("pip install '.[aws]'")
    assert "the base image ./none.tar isn't there" in done.sentence


def test_what_fails_is_told_with_its_fix_and_ends_with_1(tmp_path: Path) -> None:
    words = ("--app", "iris", "--auth", "none", "--budget", "3")
    done = run(tmp_path, "--preflight", *words)
    assert done.code == 1
    lines = done.stdout.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("P53  failed "))
    assert "the budget is 3.00" in lines[at]
    assert lines[at + 1].strip().startswith("-> raise budget")
    assert lines[-1].startswith("preflight failed: ")


def test_a_model_that_can_not_be_built(tmp_path: Path) -> None:
    (tmp_path / "iris.onnx").write_bytes(b"no model")
    done = run(tmp_path, "--preflight", "--app", "iris", "--auth", "none")
    assert done.code == 1
    assert done.sentence.startswith("onnxport: the image can't be built: iris.onnx: ")
    assert "P01  failed " in done.stdout


@pytest.mark.parametrize("dry", [True, False])
def test_a_deployment_stops_before_anything_is_made(
    project: Project, account: Account, dry: bool
) -> None:
    project.configure('\n[instances]\ntypes = ["t3.nano"]\n\n[server]\nworkers = 8\n')
    done = project.run("deploy", "--dry-run" if dry else "--yes")
    assert done.code == 1
    assert done.sentence.startswith("onnxport: P03, workers fit into memory: 8 x ")
    assert "take a larger instance type, or fewer workers in [server]" in done.sentence
    assert done.sentence.endswith("; if the check is wrong, --skip P03")
    assert account.inventory() == EMPTY


def test_a_check_that_is_wrong_can_be_skipped(project: Project, account: Account) -> None:
    project.configure('\n[instances]\ntypes = ["t3.nano"]\n\n[server]\nworkers = 8\n')
    done = project.run("deploy", "--dry-run", "--skip", "P03")
    assert done.code == 0, done.stderr
    assert "warning: P03, workers fit into memory, fails and is skipped: 8 x " in done.stderr
    alone = project.run(
        "deploy", "--preflight", "--json", "--skip", "p03", env={"PATH": "/usr/sbin"}
    )
    assert (alone.code, outcomes(alone)["P03"]) == (0, "failed")
    unknown = project.run("deploy", "--yes", "--skip", "P99")
    assert unknown.code == 2
    assert "there is no check P99" in unknown.sentence
    assert account.inventory() == EMPTY


def test_a_project_passes(project: Project, account: Account) -> None:
    done = project.run("deploy", "--preflight", "--json", env={"PATH": "/usr/sbin"})
    assert done.code == 0, done.stdout
    found = outcomes(done)
    assert {one for one, outcome in found.items() if outcome == "warning"} == {"P19"}
    skipped = {one for one, outcome in found.items() if outcome == "skipped"}
    assert skipped == {"P07", "P10", "P11", "P52"}, "there are no engine and no environment"
    assert account.inventory() == EMPTY


def test_warnings_are_named_before_a_plan_is_applied(project: Project) -> None:
    told = project.run("deploy", "--dry-run").stderr
    assert " 1 warning, " in told
    [line] = [line for line in told.splitlines() if "warning: P" in line]
    assert "warning: P19, the image says what it is: iris 1.0 is labelled, and names no lic" in line


def test_quotas_count_what_is_missing_alone(project: Project, live_aws: FakeAws) -> None:
    """A run that broke off finishes in an account that has as much as it may."""
    live_aws.rate(20)
    assert project.stop_at("createEnvironment is starting", "deploy", "--yes") is not None
    live_aws.script("quota", operation="DescribeAccountAttributes", times=100)
    assert quotas(project)["outcome"] == "ok"
    live_aws.rate(100)
    project.deploy()
    found = quotas(project)
    assert (found["outcome"], "1 of 1 environments" in found["looked_at"]) == ("ok", True)
    project.use("2.0")
    told = quotas(project)["looked_at"]
    assert "1 of 1 environments are used, and 1 more is needed" in told
    assert "1 of 1 application versions are used, and 1 more is needed" in told
    assert "1 of 1 applications" not in told


def quotas(project: Project) -> dict[str, Any]:
    done = project.run("deploy", "--preflight", "--json", env={"PATH": "/usr/sbin"})
    return next(one for one in done.told["findings"] if one["id"] == "P41")


BROKEN_ENGINE = """#!/bin/sh
case "$1" in
--version) echo "Docker version 28.0.0, build 0" ;;
version) echo amd64 ;;
load) echo "failed: OCI runtime create failed: runc create failed: unable to start container process: error during \
container init: error mounting \"proc\" to rootfs at \"/proc\": mount src=proc, dst=/proc, flags=MS_NOSUID: not let" >&2
    exit 1 ;;
*) exit 1 ;;
esac
"""


def test_an_engine_that_fails_is_told_in_a_line(project: Project) -> None:
    docker = project.folder / "docker"
    docker.write_text(BROKEN_ENGINE)
    docker.chmod(0o755)
    path = f"{project.folder}:/bin:/usr/sbin"
    lines = project.run("deploy", "--preflight", env={"PATH": path}).stdout.splitlines()
    [told] = [line for line in lines if line.startswith("P07  ")]
    assert "`docker load` failed: ... " in told
    assert told.endswith("flags=MS_NOSUID: not let")
    assert len(told) < 180
    assert "P10  skipped  SIGTERM ends it in 10 s: as P07" in lines
