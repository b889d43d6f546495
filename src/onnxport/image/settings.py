"""How a container of the image runs: its user, environment, entry point and health check, in Docker's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from onnxport.image.base_image import BaseImage
from onnxport.image.contents import LIBRARIES, PACKAGE
from onnxport.image.interpreter import DEFAULT_PATH
from onnxport.modelfile import ModelFile

USER = "10001:10001"
PORT = 8080  # container.py's default
_SECOND = 1_000_000_000  # Docker counts nanoseconds

_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",  # numpy's threads would do nothing here
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONPATH": f"/{PACKAGE}:/{LIBRARIES}",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def container_config(base: BaseImage, labels: Mapping[str, str]) -> dict[str, Any]:
    """Of the base's settings its environment and labels are kept; what it would run isn't."""
    entry = [base.interpreter.path, "-m", "onnxport.container"]
    return {
        "Entrypoint": entry,
        "Env": _environment(base.config.get("Env")),
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "Healthcheck": {
            "Test": ["CMD", *entry, "health"],
            "Interval": 30 * _SECOND,
            "Timeout": 5 * _SECOND,
            "StartPeriod": 60 * _SECOND,
            "Retries": 3,
        },
        "Labels": {**_texts(base.config.get("Labels")), **labels},
        "StopSignal": "SIGTERM",
        "User": USER,
        "WorkingDir": "/",
    }


def _texts(labels: Any) -> dict[str, str]:
    found = labels.items() if isinstance(labels, dict) else ()
    return {name: text for name, text in found if isinstance(text, str)}


def _environment(base: Any) -> list[str]:
    entries = [entry for entry in base if isinstance(entry, str)] if isinstance(base, list) else []
    named = {entry.partition("=")[0]: entry.partition("=")[2] for entry in entries}
    named.setdefault("PATH", DEFAULT_PATH)
    return [f"{name}={value}" for name, value in {**named, **_ENVIRONMENT}.items()]


def model_name(model: ModelFile) -> str:
    """The model's own name where it makes a plain file name; that of the file on this machine decides nothing."""
    return model.manifest.name if _NAME.fullmatch(model.manifest.name) else "model"
