"""Bytecode of the base's own standard library, where the base comes without: the official images do, to be small, and a
server in them would compile some 200 modules at each start.
"""

from __future__ import annotations

import gzip
import re
import tempfile
from pathlib import Path

from onnxport.image.base_image import BaseImage
from onnxport.image.bytecode import PYTHON_VERSION, can_compile, compile_tree
from onnxport.image.contents import Tree, kept_folder
from onnxport.image.rootfs import Root
from onnxport.image.store import Store

# What no server imports.
_UNREAD = (
    *(
        "distutils",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "dist-packages",
    ),
    *("test", "tests", "tkinter", "turtledemo", "unittest", "venv", "config-[^/]+"),
)
_RULES = 1  # counts up with each change of what is left out


def bytecode_tree(store: Store, base: BaseImage) -> Tree | None:
    """None where nothing is missing, or where this Python may not compile for the base's."""
    if base.interpreter.is_compiled or not can_compile(base.interpreter.minor):
        return None
    library = base.interpreter.library
    key = {
        "base": base.digest,
        "platform": str(base.platform),
        "python": PYTHON_VERSION,
        "rules": _RULES,
    }

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as work:
            _write_sources(base, library, Path(work))
            compile_tree(Path(work), library, lenient=True)
            for path in Path(work).rglob("*.pyc"):
                target = folder / path.relative_to(work)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())

    tree = Tree(kept_folder(store, key, fill), library, key)
    return tree if any(tree.folder.iterdir()) else None


def _write_sources(base: BaseImage, library: str, folder: Path) -> None:
    unread = "|".join(_UNREAD)
    sources = re.compile(rf"{re.escape(library)}/(?!(?:.*/)?(?:{unread})/).*\.py")
    root = Root(sources)
    for layer in base.layers:
        with gzip.open(layer.blob.path) as tar:
            root.add(tar)  # type: ignore[arg-type]
    for name, content in root.files(f"/{library}"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
