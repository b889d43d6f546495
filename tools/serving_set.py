"""Writes src/onnxport/image/serving-set.txt from requirements/serve.txt: what an image holds, for Linux, one
requirement a line with its hashes.

`python tools/serving_set.py` writes; with `--check` it writes nothing and exits with 1 where the list is stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "requirements" / "serve.txt"
TARGET = ROOT / "src" / "onnxport" / "image" / "serving-set.txt"

# What builds the package and never runs: requirements/build.in and what that needs alone.
BUILD_ONLY = frozenset(
    {"editables", "hatchling", "pathspec", "pluggy", "tomlkit", "trove-classifiers"}
)
# What onnxruntime names for its converters and tools alone, which no image holds.
UNREAD = frozenset({"flatbuffers", "packaging", "protobuf"})
HEAD = "# Written by tools/serving_set.py (`make lock`) from requirements/serve.txt; edits here are lost.\n"
_PIN = re.compile(
    r"^(?P<name>[a-z0-9._-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\\n(?P<hashes>(?: +--hash=\S+(?: \\)?\n)+)",
    re.MULTILINE,
)
_TRUE = (
    "sys_platform != 'emscripten'",
    "platform_python_implementation == 'CPython'",
    "sys_platform != 'win32'",
)
_FALSE = "sys_platform == 'emscripten'"


def serving_set(text: str) -> str:
    """The list for the image; of the markers only those about Python's version are left."""
    return HEAD + "".join(_lines(text))


def _lines(text: str) -> Iterator[str]:
    for pin in _PIN.finditer(text):
        conditions = [part.strip() for part in (pin["marker"] or "").split(" and ") if part]
        if pin["name"] in BUILD_ONLY | UNREAD or _FALSE in conditions:
            continue
        left = [condition for condition in conditions if condition not in _TRUE]
        marker = f" ; {left[0]}" if left else ""
        hashes = " ".join(re.findall(r"--hash=\S+", pin["hashes"]))
        yield f"{pin['name']}=={pin['version']}{marker} {hashes}\n"


def main(arguments: list[str]) -> int:
    text = serving_set(SOURCE.read_text("utf-8"))
    if arguments == ["--check"]:
        return int(not TARGET.exists() or TARGET.read_text("utf-8") != text)
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
