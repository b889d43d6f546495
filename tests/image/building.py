"""`onnxport build` as its users run it, and its images taken apart."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """How the command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def told(self) -> dict[str, Any]:
        """What `--json` prints."""
        assert self.code == 0, self.stderr
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        return document

    @property
    def sentence(self) -> str:
        """The one line that tells a failure."""
        [line] = [line for line in self.stderr.splitlines() if line.startswith("onnxport: ")]
        assert "Traceback" not in self.stderr
        return line


def build(
    model: Path,
    *options: str | Path,
    cache: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    umask: int = -1,
    stdin: str = "",
) -> Done:
    """Runs the command. cache: instead of ~/.cache. prefix: a program that runs it in turn."""
    command = [*prefix, sys.executable, "-m", "onnxport", "build", model, *options]
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=cwd,
        umask=umask,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **(env or {})},
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Saved:
    """An image out of an archive: its configuration, and the tars of its layers."""

    config: dict[str, Any]
    layers: tuple[bytes, ...]
    tags: tuple[str, ...]

    def members(self, layer: int) -> list[tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(self.layers[layer])) as tar:
            return tar.getmembers()

    def unpack(self, folder: Path) -> Path:
        """The root file system, without whiteouts being heeded."""
        for layer in self.layers:
            with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
                tar.extraction_filter = getattr(tarfile, "tar_filter", None)  # since Python 3.11.4
                tar.extractall(folder)
        folder.chmod(0o755)
        return folder


def read(path: Path) -> Saved:
    """An archive by Docker's own layout."""
    with tarfile.open(path) as tar:

        def content(name: str) -> bytes:
            stream = tar.extractfile(name)
            assert stream is not None
            return stream.read()

        [entry] = json.loads(content("manifest.json"))
        layers = tuple(content(name) for name in entry["Layers"])
        return Saved(json.loads(content(entry["Config"])), layers, tuple(entry["RepoTags"] or ()))
