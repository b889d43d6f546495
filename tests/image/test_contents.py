"""What lies in an image besides its base: pruned libraries, our package as it runs here, bytecode, and their list."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from onnxport.errors import BuildError
from onnxport.image.base_image import open_base
from onnxport.image.bytecode import MINOR, can_compile, compile_tree
from onnxport.image.contents import SPARE_ENGINE, Tree, kept_folder, library_tree, package_tree
from onnxport.image.layers import write_layer
from onnxport.image.libraries import Subject, proven_libraries
from onnxport.image.parts import Platform
from onnxport.image.replay import own_platform, replay
from onnxport.image.sbom import write_sbom
from onnxport.image.store import Store
from onnxport.image.wheels import Target, fetch_wheels
from onnxport.modelfile import ModelFile, read_model_file
from tests.image import bases

TARGET = Target(MINOR, (2, 36), own_platform())
OTHER_MINOR = 12 if MINOR != 12 else 13


@pytest.fixture(scope="module")
def store(image_cache: Path) -> Store:
    return Store(image_cache / "onnxport")


@pytest.fixture(scope="module")
def wheels(store: Store) -> tuple[Path, ...]:
    return fetch_wheels(TARGET, store, lambda _: None)


@pytest.fixture(scope="module")
def libraries(store: Store, wheels: tuple[Path, ...]) -> Tree:
    return library_tree(store, TARGET, wheels, with_spare_engine=False)


@pytest.fixture(scope="module")
def model_file(root: Path) -> Path:
    return root / "tests" / "fixtures" / "format-1.1.onnx"


@pytest.fixture(scope="module")
def model(model_file: Path) -> ModelFile:
    return read_model_file(model_file)


def relative(tree: Tree) -> Iterator[str]:
    for path in tree.folder.rglob("*"):
        yield path.relative_to(tree.folder).as_posix()


def test_a_tree_that_nobody_has_used_for_long_goes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, used = (kept_folder(store, {"made": name}, _fill) for name in ("old", "used"))
    now = time.time()
    for folder, days in ((old, 100), (used, 80)):
        os.utime(folder, (now, now - days * 24 * 3600))
    assert kept_folder(store, {"made": "used"}, _never) == used
    assert not old.is_dir()
    assert now - used.stat().st_mtime < 60


def _fill(folder: Path) -> None:
    (folder / "file").touch()


def _never(_: Path) -> None:
    raise AssertionError("it is there already")


def test_what_no_server_reads_is_left_out(libraries: Tree) -> None:
    found = set(relative(libraries))
    parts = {part for name in found for part in name.split("/")}
    assert not parts & {
        "tests",
        "test",
        "f2py",
        "quantization",
        "transformers",
        ".agents",
        "RECORD",
    }
    assert not parts & {"pip", "sklearn", "onnx", "pandas", "boto3", "scipy", "setuptools", "bin"}
    assert not [name for name in found if name.endswith((".pyi", ".h", ".c", ".pyx", ".a"))]
    assert not [name for name in found if name.startswith(SPARE_ENGINE)]


def test_licences_and_metadata_stay(libraries: Tree) -> None:
    found = set(relative(libraries))
    assert [name for name in found if name.startswith("numpy-") and name.endswith("/METADATA")]
    assert [name for name in found if name.startswith("orjson-") and "LICENSE" in name]
    assert [
        name for name in found if name.endswith("opentelemetry_context") or "entry_points" in name
    ]


def test_the_spare_engine_is_kept_where_it_is_asked_for(
    store: Store, wheels: tuple[Path, ...]
) -> None:
    full = library_tree(store, TARGET, wheels, with_spare_engine=True)
    assert [name for name in relative(full) if name.startswith(SPARE_ENGINE)]


def test_compiled_libraries_are_taken_byte_for_byte(
    libraries: Tree, wheels: tuple[Path, ...]
) -> None:
    import zipfile

    [numpy] = [wheel for wheel in wheels if wheel.name.startswith("numpy-")]
    with zipfile.ZipFile(numpy) as archive:
        names = [name for name in archive.namelist() if ".so" in name and "/tests/" not in name]
        assert len(names) > 10
        same = [
            (libraries.folder / n).read_bytes() == archive.read(n)
            for n in names
            if "tests" not in n
        ]
    assert all(same)


def test_the_self_test_passes_on_these_files_alone(
    libraries: Tree, store: Store, model_file: Path
) -> None:
    package = package_tree(store, TARGET)
    assert replay(model_file, (package, libraries)).outcome == "passed"
    assert replay(model_file, (package,)).outcome == "broken"


def test_a_package_that_doesnt_start_is_put_into_no_image(
    wheels: tuple[Path, ...], store: Store, model_file: Path, tmp_path: Path
) -> None:
    package = package_tree(store, TARGET)
    copy = shutil.copytree(package.folder, tmp_path / "site")
    shutil.rmtree(copy / "onnxport" / "__pycache__", ignore_errors=True)
    (copy / "onnxport" / "container.py").write_text("nowhere()\n")
    subject = Subject(model_file, read_model_file(model_file), replace(package, folder=copy))
    with pytest.raises(BuildError, match=r"doesn't start .*'nowhere' is not defined"):
        proven_libraries(subject, TARGET, wheels, store)


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("import os; os.kill(os.getpid(), 4)", "unable"),
        ("raise ImportError('libc.so.6: version `GLIBC_2.99' not found')", "unable"),
        ("raise SystemExit(3)", "broken"),
    ],
)
def test_what_doesnt_fit_this_machine_is_told_from_what_runs_nowhere(
    tmp_path: Path, model_file: Path, program: str, outcome: str
) -> None:
    folder = tmp_path / "onnxport"
    folder.mkdir()
    (folder / "container.py").write_text(program)
    assert replay(model_file, (Tree(tmp_path, "", {}),)).outcome == outcome


def test_a_self_test_that_was_killed_decides_nothing(tmp_path: Path, model_file: Path) -> None:
    folder = tmp_path / "onnxport"
    folder.mkdir()
    (folder / "container.py").write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(BuildError, match="was killed, perhaps for want of memory"):
        replay(model_file, (Tree(tmp_path, "", {}),))


def test_a_tree_that_was_touched_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tree = package_tree(store, TARGET)
    before = set(relative(tree))
    (tree.folder / "onnxport" / "errors.py").write_text("raise SystemExit")
    (tree.folder / "stray.py").write_text("")
    again = package_tree(store, TARGET)
    assert set(relative(again)) == before
    assert (again.folder / "onnxport" / "errors.py").read_text("utf-8") != "raise SystemExit"


def test_a_build_that_was_killed_leaves_nothing_for_ever(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left = tmp_path / "trees" / "tmpkilled" / "new" / "numpy"
    left.mkdir(parents=True)
    package_tree(store, TARGET)
    assert not list((tmp_path / "trees").glob("tmp*"))


def test_of_a_working_copy_only_the_package_goes_along(
    tmp_path: Path, root: Path, store: Store
) -> None:
    """An editable installation of a clone in which other things lie about."""
    clone = tmp_path / "clone"
    command = ["cp", "-r", str(root / "src"), str(clone)]
    subprocess.run(command, check=True)
    for name in (".env", "notes.md", "key.pem", ".idea/x.py", "model.onnx", "x.py.swp"):
        path = clone / "onnxport" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
    program = (
        "import sys; from pathlib import Path; from onnxport.image.contents import package_tree;"
        "from onnxport.image.store import Store; from tests.image.test_contents import TARGET;"
        "tree = package_tree(Store(Path(sys.argv[1])), TARGET); print(tree.folder)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{clone}:{root}"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    other = Tree(Path(done.stdout.strip()), "app/onnxport-site", {})
    ours = package_tree(store, TARGET)
    assert set(relative(other)) == set(relative(ours))
    assert write_layer(store, "x", other.entries()) == write_layer(store, "x", ours.entries())


# --------------------------------------------------------------------------------------------------------- bytecode


def compiled(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.pyc")}


def test_bytecode_is_taken_without_a_look_at_times_and_names_paths_of_the_image(
    tmp_path: Path,
) -> None:
    (tmp_path / "module.py").write_text("def f():\n    return {'a', 'b', 'c'}\n")
    compile_tree(tmp_path, "app/site")
    [(name, content)] = compiled(tmp_path).items()
    assert name == f"__pycache__/module.cpython-3{MINOR}.pyc"
    assert content[:4] == importlib.util.MAGIC_NUMBER
    assert content[4:8] == b"\x01\x00\x00\x00"  # PEP 552: by hash, unchecked
    assert b"/app/site/module.py" in content
    assert str(tmp_path).encode() not in content


def test_bytecode_is_the_same_in_every_folder_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import os\nNAMES = {'x', 'y', 'self', 'os'}\nclass A:\n    def self(self): return os\n"
    found = []
    for place, seed in (("one", "1"), ("a/longer/place", "2")):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "module.py").write_text(text)
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        compile_tree(folder, "app/site")
        found.append(compiled(folder))
    assert found[0] == found[1]


def test_a_module_that_isnt_python_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def f(:\n")
    with pytest.raises(BuildError, match="can't be compiled"):
        compile_tree(tmp_path, "app/site")


def test_nothing_is_compiled_for_another_minor(tmp_path: Path) -> None:
    assert can_compile(MINOR)
    assert not can_compile(OTHER_MINOR)
    tree = package_tree(Store(tmp_path), Target(OTHER_MINOR, (2, 36), own_platform()))
    assert not list(tree.folder.rglob("*.pyc"))
    assert list(tree.folder.rglob("*.py"))


# ---------------------------------------------------------------------------------------------- the list of contents


def test_the_list_is_valid_cyclonedx_and_names_everything(
    tmp_path: Path, model: ModelFile, wheels: tuple[Path, ...]
) -> None:
    contents = bases.files() | {
        "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
        "var/lib/dpkg/status": b"Package: libstdc++6\nVersion: 12.2+x~1\nArchitecture: amd64\n",
    }
    path = bases.save(tmp_path / "base.tar", [bases.layer(contents)])
    base = open_base(str(path), Platform("amd64"), Store(tmp_path), _nowhere)
    text = write_sbom(model, base, wheels)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        assert f"pkg:pypi/{name.replace('_', '-').lower()}@{version}".encode() in text
    assert b"pkg:deb/debian/libstdc%2B%2B6@12.2%2Bx~1?arch=amd64&distro=debian-12" in text
    assert b'{"bom-ref":"system","name":"debian","type":"operating-system","version":"12"}' in text
    assert b'"machine-learning-model"' in text
    assert write_sbom(model, base, wheels) == text


def _nowhere(_: object) -> NoReturn:
    raise AssertionError("the network isn't needed")
