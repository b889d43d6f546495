"""The table, and the run of all checks: each once, in order, and never `ok` for what wasn't looked at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.intent import Intent
from onnxport.deploy.preflight import CHECKS, Finding, Subject, run
from onnxport.image.order import Built

# Of page 7 of the design; the gaps are its own.
IDS = [f"P{n:02}" for n in (*range(1, 20), *range(20, 25), *range(30, 35), *range(40, 55))]
OFFLINE = {"P17", "P20", "P21", "P22", "P23", "P24", "P30", "P31", "P32", "P33", "P53"}


def test_every_check_stands_in_the_table_once_and_in_order() -> None:
    assert [check.id for check in CHECKS] == IDS
    assert len({check.title for check in CHECKS}) == len(IDS)
    for check in CHECKS:
        assert check.fails_when
        assert check.prevents
        assert check.look.__doc__ == check.id


def test_each_check_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    text = "\n".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    fired = set(re.findall(r'fires\(\s*"(P\d\d)"', text))
    passed = set(re.findall(r'passes\(\s*"(P\d\d)"', text))
    assert sorted(set(IDS) - fired) == []
    assert sorted(set(IDS) - passed) == []


def test_without_anything_the_offline_checks_are_made_and_all_others_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    told: list[Finding] = []
    found = run(Subject(Intent(app="iris", auth="none"), tmp_path), told.append)
    assert told == found
    by_id = {one.id: one for one in found}
    for check in CHECKS:
        one = by_id[check.id]
        if check.id in OFFLINE:
            assert one.outcome in ("ok", "skipped"), one
        else:
            assert check.needs, one
            assert one.outcome == "skipped", one
            assert one.looked_at, one
    assert by_id["P40"].looked_at == "there are no AWS credentials"
    assert by_id["P04"].looked_at == "the image isn't built yet"


def test_without_boto3_all_that_needs_no_account_is_looked_at(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['boto3'] = sys.modules['botocore'] = None\n"
        "from pathlib import Path\n"
        "from onnxport.deploy.intent import Intent\n"
        "from onnxport.deploy.preflight import Subject, run\n"
        "for one in run(Subject(Intent(app='iris', auth='none'), Path.cwd())): print(one)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(IDS)
    assert "P30  skipped  names keep AWS's limits: boto3 isn't installed" in done.stdout
    assert not [line for line in lines if "failed" in line]


def test_the_callers_reason_is_told(tmp_path: Path) -> None:
    reasons = {"image": "the build failed: no space", "account": "no boto3"}
    subject = Subject(Intent(app="iris", auth="none"), tmp_path, reasons=reasons)  # type: ignore[arg-type]
    by_id = {one.id: one for one in run(subject)}
    assert by_id["P06"].looked_at == "the build failed: no space"
    assert by_id["P41"].looked_at == "no boto3"


def test_no_credentials_is_a_reason_and_not_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    subject = Subject(Intent(app="iris", auth="none"), tmp_path, cloud=Cloud("eu-central-1"))
    by_id = {one.id: one for one in run(subject)}
    assert by_id["P40"].outcome == "skipped"
    assert by_id["P54"].looked_at == "there are no AWS credentials"


def test_a_good_model_and_image_pass_all_that_needs_no_account(
    subject_of: Callable[..., Subject], built: Built
) -> None:
    found = run(subject_of(built=built))
    assert [one for one in found if one.outcome == "failed"] == []
    assert [one.id for one in found if one.outcome == "warning"] == ["P19"]  # iris has no licence
    skipped = {one.id for one in found if one.outcome == "skipped"}
    assert skipped >= {"P07", "P10", "P11"}, "there is no engine"
    assert not skipped & {"P01", "P02", "P03", "P06", "P08", "P09", "P18"}


def test_a_finding_is_a_line_and_plain_data() -> None:
    one = Finding("P04", "images fit on the disk", "failed", "too large", "take a larger disk")
    assert str(one) == "P04  failed   images fit on the disk: too large; take a larger disk"
    assert json.loads(json.dumps(one.to_json()))["outcome"] == "failed"
