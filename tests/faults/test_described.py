"""Schemathesis against our own description: right and wrong requests to every operation, with a key and without.

Its checks: no 5xx, no status, media type, header or document that isn't described, what the schema forbids is refused,
and nothing that needs a key is answered without a right one.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import tensors
from tests.faults.conftest import Note, Start
from tests.faults.gauges import Gauges
from tests.faults.sizes import SEED
from tests.server import models

KEY = "onnxport_" + "0123456789abcdef" * 3
CONFIGURED = f"""
[auth.openapi.apiKey]
api_key = "{KEY}"

[auth.openapi.bearer]
bearer = "{KEY}"
"""
# Some rows that the schema allows have no finite answer; and schemathesis takes integers just beyond 64 bits for the
# double next to them, which the schema allows. tests/server/test_openapi.py compares schema and codec exactly.
LEFT_OUT = ("--exclude-checks", "positive_data_acceptance")

MODELS: dict[str, Callable[[Path], models.Made | Path]] = {
    "iris": lambda _: models.iris(),
    "every kind": lambda _: models.every_kind(),
    "tensors": tensors.grid,
}


@pytest.mark.parametrize(
    ("name", "examples"),
    [
        ("every kind", 60),
        ("tensors", 60),
        *(pytest.param(name, 3_400, marks=pytest.mark.long) for name in MODELS),
    ],
)
def test_schemathesis_finds_nothing(
    start: Start, note: Note, tmp_path: Path, name: str, examples: int
) -> None:
    """examples: at most so many for each operation, of which POST /predict takes all."""
    keys = tmp_path / "keys.txt"
    keys.write_text(f"ours:{hashlib.sha256(KEY.encode()).hexdigest()}\n", "utf-8")
    options = ("--api-key-file", keys, "--public", "docs,metrics")
    gauges = Gauges(start(MODELS[name](tmp_path), *options))
    (tmp_path / "schemathesis.toml").write_text(CONFIGURED, "utf-8")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{gauges.url}/openapi.json", "--no-color", *LEFT_OUT),
            *("--max-examples", str(examples), "--seed", str(SEED)),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    answered = int(gauges.metric("onnxport_requests_total"))
    assert answered > max(200, examples)
    note(requests=answered)
