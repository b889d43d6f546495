"""Names, types and labels that other tools left in or beside an ONNX file, read without running any of
it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_FEATURES = ("feature_names", "features", "input_names", "columns", "feature_names_in_")
_LABELS = ("class_names", "classes", "labels", "names", "id2label", "classes_")
_MAX_TEXT = 1_000_000


@dataclass(frozen=True)
class Found:
    """features: names in the order of the columns, () where none were found. labels: in the order of
    the codes. task: Ultralytics' task. kept: facts for the manifest. where: what the names come from.
    """

    features: tuple[str, ...] = ()
    labels: tuple[str | int, ...] = ()
    task: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


def find(metadata: Mapping[str, str], path: Path) -> Found:
    """What the file's metadata and an MLmodel beside it say."""
    names = _first(metadata, _FEATURES)
    where = "the file's metadata" if names else ""
    if not names:
        names = _mlflow(path)
        where = "MLmodel" if names else ""
    return Found(
        features=tuple(str(name) for name in names),
        labels=tuple(_first(metadata, _LABELS)),
        task=str(metadata.get("task", "")) if "stride" in metadata else "",
        kept={key: _short(value) for key, value in list(metadata.items())[:50]},
        where=where,
    )


def _first(metadata: Mapping[str, str], keys: Sequence[str]) -> list[Any]:
    for key in keys:
        if key in metadata:
            values = listed(read(metadata[key]))
            if values:
                return values
    return []


def read(text: str) -> Any:
    """JSON, or the literal that Python's repr writes (Ultralytics); None for anything else."""
    if len(text) > _MAX_TEXT:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def listed(value: Any) -> list[Any]:
    """A list of names, from a list or from `{0: name, 1: name}`; [] for anything else."""
    if isinstance(value, Mapping):
        try:
            places = {int(key): name for key, name in value.items()}
        except (TypeError, ValueError):
            return []
        if sorted(places) != list(range(len(places))):
            return []
        value = [places[i] for i in range(len(places))]
    if not isinstance(value, (list, tuple)):
        return []
    plain = all(isinstance(v, (str, int)) and not isinstance(v, bool) for v in value)
    return list(value) if plain and len(set(map(str, value))) == len(value) else []


def _mlflow(path: Path) -> list[str]:
    """The names of the columns in MLflow's signature, a file MLmodel beside the model."""
    beside = path.parent / "MLmodel"
    try:
        if not beside.is_file() or beside.stat().st_size > _MAX_TEXT:
            return []
        document = yaml.safe_load(beside.read_text("utf-8"))
        columns = json.loads(document["signature"]["inputs"])
        if not all(isinstance(column.get("name"), str) for column in columns):
            return []
        return (
            [] if any(c.get("type") == "tensor" for c in columns) else [c["name"] for c in columns]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return []


def _short(text: str) -> Any:
    """A fact of the file, as data where it is short."""
    value = read(text) if len(text) <= 4000 else None
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        value = None
    if isinstance(value, dict):
        value = {str(key): each for key, each in value.items()}
    return value if value is not None else text[:1000]
