"""The emitters, one module a family. Importing this imports them all, which fills the registry; so
the registry is read from here.
"""

import importlib
import pkgutil

from onnxport.export.registry import RULES, emit

for _family in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_family.name}")

__all__ = ["RULES", "emit"]
