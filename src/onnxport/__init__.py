"""onnxport: one trained model in, one production API out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxport import errors
    from onnxport.client import Client
    from onnxport.errors import OnnxportError
    from onnxport.export import adopt, save
    from onnxport.predictor import Model, load
    from onnxport.server.app import create_app
    from onnxport.server.endpoints import router

__all__ = [
    "Client",
    "Model",
    "OnnxportError",
    "adopt",
    "create_app",
    "errors",
    "load",
    "router",
    "save",
]

# Resolved on first use, so that importing onnxport stays fast and pulls in nothing heavy.
_HOMES = {
    "Client": "onnxport.client",
    "Model": "onnxport.predictor",
    "OnnxportError": "onnxport.errors",
    "adopt": "onnxport.export.adopting",
    "create_app": "onnxport.server.app",
    "load": "onnxport.predictor",
    "router": "onnxport.server.endpoints",
    "save": "onnxport.export",
}
_EXTRA = {"adopt": "export", "save": "export"}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("onnxport.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'onnxport' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as err:
        missing = (err.name or "").partition(".")[0]
        if missing in ("", "onnxport"):
            raise
        raise ImportError(_advice(name, missing), name=missing) from err


def _advice(name: str, missing: str) -> str:
    extra = _EXTRA.get(name)
    needed = f"the {extra} extra ({missing} is missing)" if extra else missing
    wanted = f"'.[{extra}]'" if extra else "."
    return f"onnxport.{name} needs {needed}: pip install {wanted} in the clone of onnxport"


def __dir__() -> list[str]:
    return sorted(__all__)
