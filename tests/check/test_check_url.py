"""`check_url`: a running server, checked against the file that it should serve, and against files that it doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxport.check import CheckReport, check_url
from tests.check.tampering import Edit, with_selftest
from tests.server import models
from tests.serving import ServerProcess


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("check")


@pytest.fixture(scope="module")
def iris(folder: Path) -> Path:
    return models.write_to(folder, models.iris())


@pytest.fixture(scope="module")
def url(iris: Path) -> Iterator[str]:
    with ServerProcess("serve", iris, "--port", "0") as server:
        yield server.url


def failures(report: CheckReport) -> list[str]:
    return [finding.text for finding in report.findings if finding.verdict == "failure"]


def test_the_file_that_is_served(url: str, iris: Path) -> None:
    report = check_url(url, iris)
    assert report.passed, report
    assert (report.target, report.model, report.rows) == (url, "iris", 2)
    assert (report.label_flips, report.worst_difference) == (0, 0)
    assert report.latency is not None
    assert 0 < report.latency.p50 <= report.latency.p99
    assert list(report.lines())[1:4] == [
        "  ok  the server is ready",
        f"  ok  it serves this file: digest {str(report.digest)[:12]}…",
        "  ok  2 rows: 0 label flips, worst difference 0 (allowed 1e-09), alone and as one list",
    ]


@pytest.mark.parametrize(
    "made", [models.every_kind(), models.odd_names(), models.reciprocal()], ids=lambda m: m.name
)
def test_other_models(folder: Path, made: models.Made) -> None:
    path = models.write_to(folder, made)
    with ServerProcess("serve", path, "--port", "0") as server:
        report = check_url(server.url, path)
    assert report.passed, report
    assert report.rows == len(made.rows)


def flip(selftest: dict[str, Any]) -> None:
    selftest["expect"]["code"] = [
        1 - code if code < 2 else 0 for code in selftest["expect"]["code"]
    ]


def shift(selftest: dict[str, Any]) -> None:
    selftest["expect"]["proba"][1][0] += 1e-3


def replace_rows(selftest: dict[str, Any]) -> None:
    selftest["inputs"]["sepal_length"] = [None, 6.2]


@pytest.mark.parametrize(
    ("edit", "flips", "worst", "told"),
    [
        (
            flip,
            2,
            0.0,
            "2 rows: 2 label flips, worst difference 0 (allowed 1e-09), alone and as one list",
        ),
        (
            shift,
            0,
            1e-3,
            "2 rows: 0 label flips, worst difference 0.001 (allowed 1e-09), alone and as one list",
        ),
        (
            replace_rows,
            0,
            0.0,
            (
                "sent alone, row 0 is refused: 422 null_not_allowed: the feature 'sepal_length': "
                "null, but the estimator takes no missing value here; fill it in"
            ),
        ),
    ],
)
def test_answers_that_differ(
    url: str, iris: Path, folder: Path, edit: Edit, flips: int, worst: float, told: str
) -> None:
    other = with_selftest(iris, folder / "other.onnx", edit)
    report = check_url(url, other)
    assert not report.passed
    assert report.label_flips == flips
    assert report.worst_difference == pytest.approx(worst)
    assert told in failures(report)
    assert failures(report)[0].startswith("it serves another file, iris 1 (digest ")


def test_another_model_is_served(url: str, folder: Path) -> None:
    report = check_url(url, models.write_to(folder, models.odd_names()))
    assert not report.passed
    assert failures(report)[0].endswith("deploy this one, or check against that one")
    assert any("is refused: 422 missing" in text for text in failures(report))
    assert any("as one list, the rows are refused" in text for text in failures(report))


def test_nobody_answers(iris: Path) -> None:
    report = check_url("http://127.0.0.1:9", iris)
    assert not report.passed
    assert (report.target, report.model, report.rows) == ("http://127.0.0.1:9", "iris", 0)
    assert failures(report)[0].startswith("http://127.0.0.1:9 can't be reached (")
    assert report.to_json()["passed"] is False


def test_another_path(url: str, iris: Path) -> None:
    report = check_url(url + "/nowhere", iris)
    assert failures(report)[0].startswith("404 not_found: ")


def test_the_file_is_gone(url: str, folder: Path) -> None:
    report = check_url(url, folder / "gone.onnx")
    assert report.model is None
    assert "gone.onnx: No such file" in failures(report)[0]
    assert [line.split()[0] for line in report.lines()] == [url, "failure", "failed"]


def test_what_is_no_url(iris: Path) -> None:
    with pytest.raises(ValueError, match="no http URL"):
        check_url("ftp://x.test", iris)
