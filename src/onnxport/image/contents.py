"""What an image holds besides its base: trees of files, prepared in folders for whichever builder packs them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from onnxport import errors
from onnxport.errors import BuildError
from onnxport.image.bytecode import PYTHON_VERSION, can_compile, compile_tree
from onnxport.image.layers import Entry, folder_entries
from onnxport.image.memory import Key, alone, place, recall, remember
from onnxport.image.parts import digest_of
from onnxport.image.store import Store, note_use
from onnxport.image.wheels import Target

LIBRARIES = "app/site"
PACKAGE = "app/onnxport-site"
MODEL = "app/model"
SBOM = "app/sbom.cdx.json"

# What is in wheels and no server reads: tests, sources and headers of compiled parts, tools for training and building.
_UNREAD_FOLDERS = frozenset({"tests", "test", "__pycache__", "_pyinstaller"})
_UNREAD_SUFFIXES = (
    *(".pyi", ".pyx", ".pxd", ".pxi", ".pyc", ".c", ".cpp", ".h", ".hpp", ".a", ".f", ".f90"),
    *(".f95", ".pyf", ".cmake"),
)
_UNREAD = (
    *("numpy/f2py/", "numpy/distutils/", "numpy/_core/include/", "numpy/_core/lib/"),
    *("numpy/random/lib/", "numpy/random/_examples/"),
    *("onnxruntime/tools/", "onnxruntime/quantization/", "onnxruntime/transformers/"),
    *("onnxruntime/datasets/", "onnxruntime/backend/"),
)
_KEPT_OF_DIST_INFO = ("METADATA", "entry_points.txt")
_LICENCES = ("licen", "copying", "notice", "authors")
SPARE_ENGINE = "onnxruntime/capi/libonnxruntime.so"  # for C programs; Python loads another file

_SOURCES = (".py", ".typed", ".txt", ".json", ".html", ".css", ".js", ".svg")
_ELSEWHERE = frozenset({"bench", "deploy", "export", "image"})  # what runs where models are made
_RULES = 1  # counts up with each change of what is left out


@dataclass(frozen=True, slots=True)
class Tree:
    """Files in a folder that belong below `place` in the image. key: all that decides on their bytes."""

    folder: Path
    place: str
    key: Key

    def entries(self) -> Iterator[Entry]:
        return folder_entries(self.folder, self.place)


def library_tree(
    store: Store, target: Target, wheels: Sequence[Path], *, with_spare_engine: bool
) -> Tree:
    """The serving set without what no server reads, compiled where this Python may."""
    key = {
        **target.key,
        "rules": _RULES,
        "spare": with_spare_engine,
        "python": _compiler(target),
        "wheels": [wheel.name for wheel in wheels],
    }

    def fill(folder: Path) -> None:
        for wheel in wheels:
            _unpack(wheel, folder, with_spare_engine=with_spare_engine)
        if can_compile(target.minor):
            compile_tree(folder, LIBRARIES)

    return Tree(kept_folder(store, key, fill), LIBRARIES, key)


def package_tree(store: Store, target: Target) -> Tree:
    """Our own package as it runs here, from an editable installation too."""
    files = dict(_own_files())
    digests = {name: digest_of(content) for name, content in files.items()}
    key = {"files": digests, "python": _compiler(target)}

    def fill(folder: Path) -> None:
        for name, content in files.items():
            _created(folder, name).write_bytes(content)
        if can_compile(target.minor):
            compile_tree(folder, PACKAGE)

    return Tree(kept_folder(store, key, fill), PACKAGE, key)


def _compiler(target: Target) -> str:
    """The version of Python that decides on the bytecode, or "" where there is none."""
    return PYTHON_VERSION if can_compile(target.minor) else ""


def kept_folder(store: Store, key: Key, fill: Callable[[Path], None]) -> Path:
    """The folder that was filled for this key before, if nothing in it was touched since; else a new one."""
    folder = place(store, "trees", key)
    with alone(store, "trees"):
        known = recall(store, "seals", key)
        if known is None or known.get("seal") != _seal(folder):
            with _new_folder(folder) as work:
                fill(work)
            remember(store, "seals", key, {"seal": _seal(folder)})
        note_use(folder)
    return folder


def _seal(folder: Path) -> str:
    """Names, sizes and times of all files below a folder, in one digest."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        size = facts.st_size if path.is_file() else -1
        found.update(f"{path.relative_to(folder)}\0{size}\0{facts.st_mtime_ns}\0".encode())
    return found.hexdigest()


def _own_files() -> Iterator[tuple[str, bytes]]:
    """The package's sources that serve, and the metadata that tell its version: nothing else of a working copy."""
    home = Path(errors.__file__).parent
    for path in sorted(home.rglob("*")):
        parts = path.relative_to(home).parts
        is_hidden = any(part.startswith((".", "__pycache__")) for part in parts)
        if path.suffix not in _SOURCES or is_hidden or parts[0] in _ELSEWHERE:
            continue
        if path.is_file():
            yield f"onnxport/{path.relative_to(home).as_posix()}", path.read_bytes()
    version = own_version()
    text = f"Metadata-Version: 2.1\nName: onnxport\nVersion: {version}\nLicense: Apache-2.0\n"
    yield f"onnxport-{version}.dist-info/METADATA", text.encode()


def own_version() -> str:
    """Raises BuildError where onnxport runs without being installed."""
    try:
        return metadata.version("onnxport")
    except metadata.PackageNotFoundError as err:
        raise BuildError(
            "onnxport isn't installed, it only lies on the path; run pip install -e . in its clone"
        ) from err


def _unpack(wheel: Path, folder: Path, *, with_spare_engine: bool) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                name = _name_in_site(info.filename)
                if info.is_dir() or name is None or not _is_read(name):
                    continue
                if name.startswith(SPARE_ENGINE) and not with_spare_engine:
                    continue
                with archive.open(info) as source, _created(folder, name).open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
    except (zipfile.BadZipFile, ValueError) as err:
        raise BuildError(f"{wheel.name} is no wheel that can be unpacked; {err}") from err


def _name_in_site(name: str) -> str | None:
    """Where a wheel's file belongs in site-packages (the wheel format, PEP 427); None for scripts and the like."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ValueError(f"it holds {name[:80]!r}, which leads out of its folder")
    if not path.parts[0].endswith(".data"):
        return str(path)
    kind, *rest = path.parts[1:]
    return "/".join(rest) if kind in ("purelib", "platlib") else None


def _is_read(name: str) -> bool:
    *folders, file = name.split("/")
    if folders and folders[0].endswith(".dist-info"):
        return name.split("/", 1)[1] in _KEPT_OF_DIST_INFO or _is_licence(name)
    hidden = any(folder.startswith(".") for folder in folders)
    unread = file.endswith(_UNREAD_SUFFIXES) or not _UNREAD_FOLDERS.isdisjoint(folders)
    return not (hidden or unread or name.startswith(_UNREAD))


def _is_licence(name: str) -> bool:
    return any(word in name.lower() for word in _LICENCES)


def _created(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which stands at its place only when it is full."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent) as outer:
            work = Path(outer, "new")
            work.mkdir()
            yield work
            if final.exists():
                final.replace(Path(outer, "old"))
            work.replace(final)
    except OSError as err:
        raise BuildError(
            f"{final.parent} can't keep the image's files ({err.strerror}); free some space, or set "
            "XDG_CACHE_HOME to a folder of yours"
        ) from err
