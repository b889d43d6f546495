"""Where things are on this machine: the model file, the base image, the folder of the journal."""

from __future__ import annotations

import re
from pathlib import Path

from onnxport.deploy.intent import FILE_NAME, Intent
from onnxport.deploy.reading import place_of
from onnxport.errors import SettingsError

_SHOWN = 5
_IS_PATH = re.compile(r"(\./|\.\./|/|~).*|.*\.(tar|tgz|tar\.gz)")  # any other text names an image


def find_model(intent: Intent, folder: Path) -> Path:
    """The model file that the intent names, or the only one beside it. Raises SettingsError."""
    if intent.model:
        path = folder / intent.model
        if not path.is_file():
            raise SettingsError(
                f"the model file {intent.model} isn't there; save one with `onnxport export`, or name another "
                "with model in onnxport.toml"
            )
        return path
    found = sorted(folder.glob("*.onnx"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise SettingsError(
            "no .onnx file is here; save a model with `onnxport export`, or name its file with model in "
            "onnxport.toml or --model"
        )
    names = ", ".join(path.name for path in found[:_SHOWN])
    raise SettingsError(
        f"several .onnx files are here ({names}); name one with model in onnxport.toml or --model"
    )


def find_base(intent: Intent, folder: Path) -> str | None:
    """The base image: a file beside the intent, or a name. Raises SettingsError for a path where none is."""
    base = intent.image.base
    if not base:
        return None
    path = folder / base
    if path.is_file():
        return str(path)
    if _IS_PATH.fullmatch(base) and not Path(base).is_file():
        where = place_of(folder / FILE_NAME, "image.base", base)
        raise SettingsError(
            f"{where}the base image {base} isn't there; correct image.base or --base, or leave it out for the default"
        )
    return base
