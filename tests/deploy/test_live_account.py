"""One life on a live account, for whoever has one: `pytest -m aws`. Takes half an hour, and costs some cents.

Credentials and region come from where boto3 finds them. It makes things under one new name and tags, and destroys them,
whatever fails; the account's own bucket for Elastic Beanstalk stays.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from onnxport.check import check_url
from tests.image import bases

pytestmark = pytest.mark.aws
_SECONDS = 3600


class Folder:
    """A user's folder, whose commands go to the account."""

    def __init__(self, path: Path, models: dict[str, Path]) -> None:
        self.path, self._models = path, models

    def use(self, version: str) -> None:
        shutil.copy(self._models[version], self.path / "iris.onnx")

    def run(self, *words: str) -> dict[str, Any]:
        """What the command prints with `--json`; its progress goes to the terminal (`pytest -s`)."""
        done = subprocess.run(
            [sys.executable, "-m", "onnxport", *words],
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}"
        told: dict[str, Any] = json.loads(done.stdout) if "--json" in words else {}
        return told

    def is_served(self, url: str, version: str) -> bool:
        """Whether the golden requests of a version are answered there as its file says."""
        key = (self.path / "onnxport.key").read_text().strip()
        return check_url(url, self._models[version], api_key=key).passed


@pytest.fixture
def folder(tmp_path: Path, models: dict[str, Path], root: Path) -> Iterator[Folder]:
    region = boto3.Session().region_name
    assert region, "set AWS_DEFAULT_REGION"
    made = Folder(tmp_path, models)
    made.use("1.0")
    app = f"onnxport-test-{secrets.token_hex(3)}"
    made.run(
        *("deploy", "--init", "--app", app, "--region", region, "--base", str(bases.slim(root))),
        *("--latency-ms", "5000", "--watch", "30"),
    )
    try:
        yield made
    finally:
        gone = made.run("destroy", "--yes", "--images", "--purge", "--json")
        assert gone["left"] == []


def test_a_whole_life(folder: Folder) -> None:
    url = folder.run("deploy", "--yes", "--json")["url"]
    assert folder.is_served(url, "1.0")
    assert folder.run("status", "--json")["drift"] == [], "AWS gives back what it was told"
    again = folder.run("deploy", "--yes", "--json")
    assert [step["action"] for step in again["plan"]["steps"]] == ["verify"]

    folder.use("2.0")
    folder.run("deploy", "--yes", "--json")
    assert folder.is_served(url, "2.0")
    folder.run("logs", "--since", "10m")
    folder.run("rollback", "--yes", "--json")
    assert folder.is_served(url, "1.0")
