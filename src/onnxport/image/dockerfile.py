"""The same image as a Dockerfile and its context, for those who build with an engine; nothing in it runs or is fetched.

Text of others stands in it only where Docker reads a value: quoted, with all that Docker would interpret escaped, and
refused where no quoting helps. Rules: moby/buildkit, frontend/dockerfile/docs/reference.md, "Environment replacement".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from onnxport.errors import BuildError, shorten
from onnxport.image.base_image import BaseImage
from onnxport.image.layers import Entry
from onnxport.image.plan import Plan
from onnxport.image.reference import Reference, parse_reference

MARK = "# An image for a model, rendered by onnxport."
_TITLE = re.compile(r"[a-z][a-z-]{0,30}")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PORT = re.compile(r"[0-9]{1,5}/tcp")
_WORD = re.compile(r"[A-Za-z0-9:_./-]{0,128}")
# Another base, which a user may name, needn't have each path.
_REMOVE = (
    "import os, shutil, sys\n"
    "for path in filter(os.path.lexists, sys.argv[1:]):\n"
    "    is_folder = os.path.isdir(path) and not os.path.islink(path)\n"
    "    shutil.rmtree(path) if is_folder else os.remove(path)\n"
)
_MAX_LINE = 60_000  # bytes; Docker reads no line of 65,536
_UNHELD = ("Cc", "Cs", "Zl", "Zp")  # Unicode's controls, surrogates and separators of lines
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Files that become one layer. title: the name of their folder in the context."""

    title: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that an image is made of. base: a reference, which pins it by digest if there is one.

    config: the image's configuration, in the words of Docker's image specification: Env, Labels, Entrypoint, ...
    parts: from the one that changes least to the one that changes most. removed: paths of the base, without the first
    slash, that the base's own `python` takes away.
    """

    base: str
    config: Mapping[str, Any]
    parts: tuple[Part, ...]
    removed: tuple[str, ...] = ()
    python: str = "/usr/bin/python3"


def recipe_of(plan: Plan) -> Recipe:
    """What a plan says, in a Dockerfile's terms."""
    return Recipe(
        base=pinned_name(plan.base),
        config=plan.config,
        parts=tuple(Part(part.title, tuple(part.entries())) for part in plan.parts),
        removed=plan.parts[0].removed,
        python=plan.base.interpreter.path,
    )


def pinned_name(base: BaseImage) -> str:
    """By digest; a base that came in a file has a name of ours, by which an engine can know it."""
    return f"{base.name}@{base.digest}" if base.name else local_name(base)


def local_name(base: BaseImage) -> str:
    return f"localhost/onnxport-base:{base.digest.removeprefix('sha256:')[:24]}"


def render(recipe: Recipe) -> str:
    """The Dockerfile. Raises BuildError for text that it can't hold."""
    base = parse_reference(recipe.base)
    lines = [
        MARK,
        "# docker build -t NAME:TAG .    (podman and buildah take it, too)",
        *_how_to_load(base),
        f"ARG BASE={base}",
        "FROM ${BASE}",
        *_removal(recipe),
        *(f"COPY {_array([f'{_checked(_TITLE, part.title)}/', '/'])}" for part in recipe.parts),
        *_configuration(recipe.config),
    ]
    for line in lines:
        if len(line.encode()) > _MAX_LINE:
            raise BuildError(
                f"{shorten(line)} has {len(line)} characters, and Docker reads no such line; shorten the text"
            )
    return "\n".join(lines) + "\n"


def write_context(recipe: Recipe, folder: Path) -> None:
    """Writes Dockerfile and files into a new folder, or in place of an older context; nothing half-written stays.

    Raises BuildError where something else is in the folder, or where the disk refuses.
    """
    text = render(recipe)
    check_place(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".onnxport-") as outer:
            work = Path(outer, "new")
            _write(work, "Dockerfile", text.encode())
            for part in recipe.parts:
                _fill(work / part.title, part.entries)
            _settle(work)
            if folder.exists():
                folder.replace(Path(outer, "old"))
            work.replace(folder)
    except OSError as err:
        raise BuildError(
            f"the build context {folder} can't be written ({err.strerror}); free some space, or choose another folder"
        ) from err


def _how_to_load(base: Reference) -> Iterator[str]:
    if base.registry == "localhost":
        yield "# The base came in a file: docker load --input FILE, then docker tag ID THE_NAME_BELOW"


def _removal(recipe: Recipe) -> Iterator[str]:
    """The base's Python does it, since there may be no shell, and as root, whoever the base's user is."""
    if recipe.removed:
        paths = [f"/{path}" for path in recipe.removed]
        yield "USER 0:0"
        yield f"RUN {_array([recipe.python, '-I', '-S', '-c', _REMOVE, *paths])}"


def _configuration(config: Mapping[str, Any]) -> Iterator[str]:
    for pair in config.get("Env") or ():
        name, _, value = pair.partition("=")
        yield f"ENV {_checked(_KEY, name)}={_quoted(value)}"
    if folder := config.get("WorkingDir"):
        yield f"WORKDIR {_checked(_WORD, folder)}"
    if user := config.get("User"):
        yield f"USER {_checked(_WORD, user)}"
    for port in config.get("ExposedPorts") or ():
        yield f"EXPOSE {_checked(_PORT, port)}"
    if signal := config.get("StopSignal"):
        yield f"STOPSIGNAL {_checked(_WORD, signal)}"
    if health := config.get("Healthcheck"):
        yield _healthcheck(health)
    if entrypoint := config.get("Entrypoint"):
        yield f"ENTRYPOINT {_array(entrypoint)}"
    if command := config.get("Cmd"):
        yield f"CMD {_array(command)}"
    for name, value in sorted((config.get("Labels") or {}).items()):
        yield f"LABEL {_checked(_KEY, name)}={_quoted(value)}"


def _healthcheck(health: Mapping[str, Any]) -> str:
    kind, *command = health["Test"]
    if kind != "CMD":
        raise BuildError(f"a health check of the kind {shorten(kind)!r} needs a shell; use CMD")
    times = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
    options = [
        f"--{option}={health[key] // _NANOSECONDS}s"
        for option, key in times.items()
        if health.get(key)
    ]
    if health.get("Retries"):
        options.append(f"--retries={int(health['Retries'])}")
    return " ".join(["HEALTHCHECK", *options, "CMD", _array(command)])


def _quoted(text: str) -> str:
    """A value that Docker reads as it was: within quotes it interprets backslash, quote and dollar alone."""
    if any(unicodedata.category(character) in _UNHELD for character in text):
        raise BuildError(
            f"{shorten(text)!r} holds a line break or another control character, which no Dockerfile can; take it out"
        )
    return '"' + re.sub(r'([\\"$])', r"\\\1", text) + '"'


def _array(words: Iterable[str]) -> str:
    """The exec form: a JSON array, which no shell and no variable touches."""
    return json.dumps(list(words))


def _checked(form: re.Pattern[str], text: str) -> str:
    if not form.fullmatch(text):
        raise BuildError(f"{shorten(text)!r} can't stand in a Dockerfile; use plain letters")
    return text


def check_place(folder: Path) -> None:
    """Raises BuildError unless a folder isn't there, is empty, or holds a context of ours."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise BuildError(f"{folder} is no folder; name a new one for the build context")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    dockerfile = folder / "Dockerfile"
    if not (dockerfile.is_file() and dockerfile.read_bytes().startswith(MARK.encode())):
        raise BuildError(
            f"{folder} holds other files, which a build context would replace; name a new folder"
        )


def _fill(folder: Path, entries: Sequence[Entry]) -> None:
    folder.mkdir(parents=True)
    for entry in entries:
        if isinstance(entry.content, Path):
            shutil.copyfile(entry.content, _created(folder, entry.name))
        else:
            _write(folder, entry.name, entry.content)


def _write(folder: Path, name: str, content: bytes) -> None:
    _created(folder, name).write_bytes(content)


def _created(folder: Path, name: str) -> Path:
    inner = PurePosixPath(name)
    if ".." in inner.parts or inner.is_absolute() or "\0" in name:
        raise BuildError(f"{shorten(name)!r} leads out of the build context")
    path = folder / inner
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _settle(folder: Path) -> None:
    """Modes and times that depend on no umask and no clock, since COPY keeps them."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (0, 0))
