"""The pinned serving set as wheel files for the image's Python, fetched once with pip and checked by their hashes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from onnxport.errors import BuildError, shorten
from onnxport.image.memory import Key, alone, place
from onnxport.image.parts import Platform
from onnxport.image.store import Store, note_use

Tell = Callable[[str], None]

LIST = "serving-set.txt"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # as wheels and ELF tools call them
_OLDEST_GLIBC = 17  # of 2.17, where manylinux2014 begins
_PIP_SECONDS = 1800
_LINE = re.compile(
    r"(?P<pin>[a-z0-9._-]+==[^ ]+)(?: ; python_full_version (?P<than><|>=) '3\.(?P<minor>\d+)')?"
    r"(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)
_NONE_FITS = re.compile(r"No matching distribution found for ([A-Za-z0-9._=-]+)")
_ADDRESS = re.compile(r"\S*://\S*")


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels must fit: Python 3.`minor`, the base's glibc, the platform."""

    minor: int
    glibc: tuple[int, int]
    platform: Platform

    @property
    def key(self) -> Key:
        return {"minor": self.minor, "glibc": list(self.glibc), "platform": str(self.platform)}

    def __str__(self) -> str:
        glibc = ".".join(map(str, self.glibc))
        return f"Python 3.{self.minor} with glibc {glibc} on {self.platform}"


@dataclass(frozen=True, slots=True)
class Pin:
    """One requirement: `name==version`, and the SHA-256 of each file that may stand for it."""

    text: str
    hashes: frozenset[str]

    @property
    def line(self) -> str:
        return " ".join([self.text, *(f"--hash=sha256:{one}" for one in sorted(self.hashes))])


def serving_set(minor: int) -> tuple[Pin, ...]:
    """What an image with Python 3.`minor` holds."""
    text = resources.files("onnxport.image").joinpath(LIST).read_text("utf-8")
    return tuple(_pins(text, minor))


def _pins(text: str, minor: int) -> Iterator[Pin]:
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise BuildError(f"{LIST} of this installation is damaged; install onnxport again")
        is_older = minor < int(found["minor"] or 0)
        if found["than"] is None or (found["than"] == "<") == is_older:
            hashes = frozenset(re.findall(r"sha256:([0-9a-f]{64})", found["hashes"]))
            yield Pin(found["pin"], hashes)


def fetch_wheels(target: Target, store: Store, tell: Tell) -> tuple[Path, ...]:
    """The wheel files of the serving set, from the store's folder where they were fetched before.

    Raises BuildError where pip is missing, reaches no index, or where no wheel fits the target.
    """
    pins = serving_set(target.minor)
    key = {**target.key, "pins": [pin.line for pin in pins]}
    folder = place(store, "wheels", key)
    with alone(store, "wheels"):
        found = _checked(folder, pins)
        if found is None:
            tell(f"fetching {len(pins)} libraries for {target}")
            _download(pins, target, folder)
            found = _checked(folder, pins)
        if found is not None:
            note_use(folder)
    if found is None:
        raise BuildError(f"{folder} changes while it is read; build again")
    return found


def _checked(folder: Path, pins: tuple[Pin, ...]) -> tuple[Path, ...] | None:
    """The folder's wheels if there is one for each pin, with a hash of its; else None."""
    wheels = tuple(sorted(folder.glob("*.whl")))
    digests = {_sha256(wheel) for wheel in wheels}
    whole = len(wheels) == len(pins) and all(digests & pin.hashes for pin in pins)
    return wheels if whole else None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(pins: tuple[Pin, ...], target: Target, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            requirements = Path(work, "requirements.txt")
            requirements.write_text("".join(f"{pin.line}\n" for pin in pins), "utf-8")
            _run_pip(target, requirements, Path(work, "wheels"))
            shutil.rmtree(folder, ignore_errors=True)
            Path(work, "wheels").replace(folder)
    except OSError as err:
        raise BuildError(
            f"{folder.parent} can't keep wheels ({err.strerror}); free some space, or set "
            "XDG_CACHE_HOME to a folder of yours"
        ) from err


def _run_pip(target: Target, requirements: Path, into: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--implementation", "cp", "--python-version", f"3.{target.minor}"),
        *(word for tag in _abis(target) for word in ("--abi", tag)),
        *(word for tag in _platforms(target) for word in ("--platform", tag)),
        *("--requirement", str(requirements), "--dest", str(into)),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PIP_SECONDS,
            cwd=requirements.parent,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
    except subprocess.TimeoutExpired as err:
        raise BuildError("pip doesn't come to an end; try again, or on another network") from err
    if done.returncode != 0:
        raise _explain(done.stderr, target, command)


def _abis(target: Target) -> tuple[str, ...]:
    return f"cp3{target.minor}", "abi3", "none"


def _platforms(target: Target) -> Iterator[str]:
    """The tags of wheels that run with this glibc, newest first (PEP 600)."""
    machine = MACHINES[target.platform.architecture]
    for minor in range(target.glibc[1], _OLDEST_GLIBC - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
    yield f"manylinux2014_{machine}"


def _explain(said: str, target: Target, command: list[str]) -> BuildError:
    """What pip's failure means; its own lines go along without any index's address."""
    output = _ADDRESS.sub("(address)", said).strip()
    lacking = _NONE_FITS.search(said)
    if "No module named pip" in said:
        what = "pip, which fetches the image's libraries, is missing; run python -m ensurepip"
    elif "No space left on device" in said:
        what = "there is no space left for the image's libraries; free some, also where TMPDIR is"
    elif "DO NOT MATCH THE HASHES" in said:
        what = (
            "a library's file doesn't have its pinned hash; the package index sent something else"
        )
    elif lacking and "(from versions: none)" in said:
        what = (
            f"pip finds no file of {lacking[1]} at all: it reaches no package index, or one without it; connect, or "
            "name another in pip's settings"
        )
    elif lacking:
        what = (
            f"no wheel of {lacking[1]} for {target} is to be had; give a base with a newer glibc, or a "
            "package index that has it in pip's settings"
        )
    else:
        what = f"pip can't fetch the image's libraries: {_last_line(output)}"
    return BuildError(what, command=command, output="\n".join(output.splitlines()[-10:]))


def _last_line(output: str) -> str:
    lines = output.splitlines() or ["it says nothing"]
    errors = [line for line in lines if line.startswith("ERROR: ") and line != "ERROR: Exception:"]
    return shorten((errors or lines)[-1].removeprefix("ERROR: "), 300)
