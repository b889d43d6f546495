"""`check_file`: is the file whole, and does it answer here what it answered where it was saved?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onnxport.check import check_file
from onnxport.runtime import VERSION
from tests.check.tampering import with_selftest
from tests.server import models


def test_a_good_file(tmp_path: Path) -> None:
    path = models.write_to(tmp_path, models.iris())
    report = check_file(path)
    assert report.passed
    assert (report.model, report.version, report.rows, report.label_flips) == ("iris", "1", 2, 0)
    assert report.worst_difference == 0
    assert report.latency is None
    assert report.digest is not None
    assert list(report.lines()) == [
        "iris.onnx: iris 1",
        f"  ok  the file is whole: format 1.2, digest {report.digest[:12]}…",
        f"  ok  2 rows: 0 label flips, worst difference 0 (allowed 1e-09), on ONNX Runtime {VERSION}",
        "passed",
    ]


def test_the_report_as_json(tmp_path: Path) -> None:
    report = check_file(models.write_to(tmp_path, models.reciprocal()))
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["passed"] is True
    assert document["rows"] == 1
    assert document["findings"][0]["verdict"] == "ok"


def test_a_damaged_file(tmp_path: Path) -> None:
    path = models.write_to(tmp_path, models.iris())
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    report = check_file(path)
    assert not report.passed
    assert report.model is None
    [finding] = report.findings
    assert finding.text == (
        "the digest doesn't match: the file is damaged or was rewritten; "
        "copy it again, or save the model again"
    )


def test_no_file(tmp_path: Path) -> None:
    report = check_file(tmp_path / "gone.onnx")
    assert list(report.lines()) == [
        "gone.onnx",
        "  failure  No such file or directory; give the path of a model file",
        "failed",
    ]


def test_a_file_that_answers_otherwise_here(tmp_path: Path) -> None:
    def edit(selftest: dict[str, Any]) -> None:
        selftest["expect"]["code"] = [2, 2]

    path = models.write_to(tmp_path, models.iris())
    report = check_file(with_selftest(path, tmp_path / "other.onnx", edit))
    assert not report.passed
    assert report.findings[0].text.startswith(
        f"the self-test failed on ONNX Runtime {VERSION}: output 'code' differs by "
    )


def test_an_accepted_mismatch_is_told(tmp_path: Path) -> None:
    report = check_file(models.write_to(tmp_path, models.reciprocal(accepted_mismatch=True)))
    assert report.passed
    assert [f.text for f in report.findings if f.verdict == "warning"] == [
        "the model answers differently from its estimator: it was saved with allow_mismatch"
    ]
    assert "(saved on 1.32.0)" in report.findings[1].text
