"""What stands in a source bundle, as its zip tells it, whoever packed it."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.deploy.bundle import DOCKERRUN
from onnxport.errors import BuildError

_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_MOST = 500_000_000  # bytes unpacked; more is never read


@dataclass(frozen=True, slots=True)
class Member:
    """name: as it is written in the zip. mode: Unix's, or 0."""

    name: str
    content: bytes
    mode: int = 0o644

    @property
    def is_executable(self) -> bool:
        return bool(self.mode & 0o111)


def members(bundle: bytes) -> tuple[Member, ...]:
    """The files of a bundle, folders aside. Raises BuildError for what is no zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if sum(info.file_size for info in infos) > _MOST:
                raise BuildError("the bundle unpacks to more than 500 MB; leave models out of it")
            return tuple(
                Member(info.orig_filename, archive.read(info), info.external_attr >> 16)
                for info in infos
            )
    except _UNREADABLE as err:
        raise BuildError(
            f"the source bundle is no zip that can be read ({err}); let `onnxport deploy` make it"
        ) from err


def dockerrun_of(files: Sequence[Member]) -> dict[str, Any]:
    """Dockerrun.aws.json, or nothing where there is none that can be read."""
    text = next((one.content for one in files if one.name == DOCKERRUN), b"{}")
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def port_of(told: dict[str, Any]) -> str:
    """The port that is proxied, the first, as text."""
    ports = told.get("Ports")
    first = ports[0] if isinstance(ports, list) and ports else None
    return str(first.get("ContainerPort")) if isinstance(first, dict) else "none"


def image_of(told: dict[str, Any]) -> str:
    """The image's name, or nothing."""
    image = told.get("Image")
    name = image.get("Name") if isinstance(image, dict) else None
    return name if isinstance(name, str) else ""
