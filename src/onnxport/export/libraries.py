"""Training libraries beside scikit-learn: none is needed, and what converts its models is loaded when one of its
objects is met, as whoever holds one has the library.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

# The module of this package that registers a library's emitters.
_MODULES = {
    "catboost": "onnxport.export.boosters.catboost_models",
    "lightgbm": "onnxport.export.boosters.lightgbm_models",
    "xgboost": "onnxport.export.boosters.xgboost_models",
}

LIBRARIES = frozenset(_MODULES)


def library_of(kind: type) -> str:
    """The package that a class comes from."""
    return kind.__module__.partition(".")[0]


def load_library(name: str) -> None:
    """Registers the emitters of one of these libraries; nothing for any other."""
    if name in _MODULES:
        importlib.import_module(_MODULES[name])


def load_installed() -> list[str]:
    """Registers the emitters of all of these libraries that are installed, and tells which."""
    found = [name for name in _MODULES if importlib.util.find_spec(name) is not None]
    for name in found:
        load_library(name)
    return found


def is_torch_module(model: Any) -> bool:
    """Whether it is a torch.nn.Module; torch needn't be there to tell."""
    names = {(kind.__module__, kind.__name__) for kind in type(model).__mro__}
    return ("torch.nn.modules.module", "Module") in names


def version_of_library(kind: type) -> dict[str, Any]:
    """The version of the library that a class comes from, where it tells one."""
    name = library_of(kind)
    version = getattr(importlib.import_module(name), "__version__", None)
    return {name: str(version)} if name in _MODULES and version else {}
