"""What stands in a source bundle, as its zip tells it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

from onnxport.errors import DeployError

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
    """The files of a bundle, folders aside. Raises DeployError for what is no zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if sum(info.file_size for info in infos) > _MOST:
                raise DeployError(
                    "the source bundle unpacks to more than 500 MB", remedy="leave models out of it"
                )
            return tuple(
                Member(info.orig_filename, archive.read(info), info.external_attr >> 16)
                for info in infos
            )
    except zipfile.BadZipFile as err:
        raise DeployError(
            f"the source bundle is no zip ({err})", remedy="let `onnxport deploy` make it"
        ) from err
