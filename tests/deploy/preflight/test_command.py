"""`onnxport deploy --preflight` as its user runs it, and `onnxport deploy` where a check fails: nothing is made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.projects import EMPTY, Account, Done, Project


def run(folder: Path, *words: str) -> Done:
    """Without credentials, and without an engine on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    none = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    environment = {**kept, **none, "AWS_EC2_METADATA_DISABLED": "true", "PATH": str(folder)}
    command = [sys.executable, "-W", "error", "-m", "onnxport", "deploy", *words]
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
