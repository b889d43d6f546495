"""What is asked: a model file, request bodies by the thousand, and the answers that the model itself gives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxport

MANY = 10_000  # rows of a large request


@dataclass(frozen=True)
class Workload:
    """A model file, and requests with their right answers. `plain`: what the tutorial's application opens.

    bodies: JSON texts, one row's object or a list of rows. answers: in the order of the bodies.
    """

    name: str
    model: Path
    plain: Path
    bodies: list[bytes]
    answers: list[Any]
    rows_per_request: int = 1


def workload(name: str, folder: Path) -> Workload:
    """The named model's requests of one row each; files are made in `folder` once."""
    model, rows = _made(name, folder)
    answers = onnxport.load(model).predict(rows)
    return Workload(name, model, _plain(model), [_json(row) for row in rows], answers)


def many_rows(name: str, folder: Path, count: int = MANY, requests: int = 4) -> Workload:
    """The named model's requests of `count` rows each."""
    model, rows = _made(name, folder)
    batches = [[rows[(7 * r + i) % len(rows)] for i in range(count)] for r in range(requests)]
    opened = onnxport.load(model)
    return Workload(
        f"{name}-{count}-rows",
        model,
        _plain(model),
        [_json(batch) for batch in batches],
        [opened.predict(batch) for batch in batches],
        count,
    )


def _json(value: Any) -> bytes:
    """As `requests.post(json=...)` writes it."""
    return json.dumps(value, allow_nan=False).encode("utf-8")


def _plain(model: Path) -> Path:
    return model.with_suffix(".plain")


def _made(name: str, folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The model file and the rows; trained and saved only where the code that makes them has changed."""
    stamp = _stamp()
    model, rows = folder / f"{name}-{stamp}.onnx", folder / f"{name}-{stamp}.rows.json"
    if not (model.exists() and rows.exists()):
        from benchmarks.serving.subjects import SUBJECTS, write_plain  # seconds of imports

        folder.mkdir(parents=True, exist_ok=True)
        subject = SUBJECTS[name]()
        write_plain(subject, _plain(model))
        rows.write_text(json.dumps(subject.rows), "utf-8")
        onnxport.save(subject.estimator, model, subject.X, subject.y, name=name)
    return model, json.loads(rows.read_text("utf-8"))


def _stamp() -> str:
    """What the files depend on, as a few digits."""
    digest = hashlib.sha256((Path(__file__).parent / "subjects.py").read_bytes())
    package = Path(onnxport.__file__).parent
    for path in [*sorted(package.glob("export/**/*.py")), package / "manifest.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
