"""A file written at once or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from onnxport.errors import ExportError, shorten


def check_path(path: str | os.PathLike[str]) -> Path:
    """The path of a file that can be written. Raises ExportError for what is none."""
    try:
        target = Path(path)
        if target.is_dir():
            raise ExportError(
                f"{shorten(repr(str(path)))} is a folder; give the path of a file to write"
            )
        if not target.parent.is_dir():
            raise ExportError(f"the folder of {target.name} doesn't exist; create it first")
    except TypeError as err:
        raise ExportError(
            f"path= is of type {type(path).__name__}; save takes the estimator first, then a path"
        ) from err
    except (ValueError, OSError) as err:
        why = err.strerror if isinstance(err, OSError) else str(err)
        raise ExportError(f"{shorten(repr(path))} is no path that can be written: {why}") from err
    return target


def write_file(target: Path, content: bytes) -> None:
    """Writes the file beside its place and moves it there, so that no half file is ever seen."""
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".onnxport-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else str(err)
        raise ExportError(f"{shorten(repr(target.name))} can't be written: {why}") from err


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
