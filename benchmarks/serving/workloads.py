"""What is asked: a model file, request bodies by the thousand, and the answers that the model itself gives."""

from __future__ import annotations

import hashlib
import json
import tempfile
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


def _made(name: str, folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The model file and the rows; trained and saved only where the code that makes them has changed.

    Made elsewhere and moved, so that a run at the same time never sees half of them.
    """
    model = folder / f"{name}-{_stamp()}.onnx"
    if not _rows(model).exists():
        from benchmarks.serving.subjects import SUBJECTS, write_plain  # seconds of imports

        folder.mkdir(parents=True, exist_ok=True)
        subject = SUBJECTS[name]()
        with tempfile.TemporaryDirectory(dir=folder) as apart:
            made = Path(apart) / model.name
            onnxport.save(subject.estimator, made, subject.X, subject.y, name=name)
            write_plain(subject, _plain(made))
            _rows(made).write_text(json.dumps(subject.rows), "utf-8")
            for file in (made, _plain(made), _rows(made)):
                file.replace(folder / file.name)
    return model, json.loads(_rows(model).read_text("utf-8"))


def _plain(model: Path) -> Path:
    return model.with_suffix(".plain")


def _rows(model: Path) -> Path:
    return model.with_suffix(".rows.json")


def _stamp() -> str:
    """What the files depend on, as a few digits."""
    digest = hashlib.sha256((Path(__file__).parent / "subjects.py").read_bytes())
    package = Path(onnxport.__file__).parent
    for path in [*sorted(package.glob("export/**/*.py")), package / "manifest.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
