"""What is found in a base by its files alone, and which bases are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from onnxport.errors import BuildError
from onnxport.image.archive import read_archive
from onnxport.image.base_image import BaseImage, Package, default_base, open_base
from onnxport.image.bytecode import MINOR
from onnxport.image.layers import compress
from onnxport.image.manifests import parse_config
from onnxport.image.parts import Image, Platform
from onnxport.image.reference import Reference, parse_reference
from onnxport.image.registry import Patience, Registry
from onnxport.image.stdlib import bytecode_tree
from onnxport.image.store import Store
from tests.image import bases

AMD64, ARM64 = Platform("amd64"), Platform("arm64")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def nowhere(reference: Reference) -> NoReturn:
    raise AssertionError(f"{reference} is asked for over the network")


def opened(store: Store, path: Path, platform: Platform = AMD64) -> BaseImage:
    return open_base(str(path), platform, store, nowhere)


def test_an_imported_root_with_an_empty_config_tells_its_python(
    store: Store, tmp_path: Path
) -> None:
    base = opened(store, bases.ready(tmp_path / "base.tar", version="3.12.4"))
    assert base.interpreter.path == "/usr/bin/python3.12"
    assert base.interpreter.minor == 12
    assert base.interpreter.version == "3.12.4"
    assert base.interpreter.glibc == (2, 36)
    assert base.digest.startswith("sha256:")
    assert [layer.title for layer in base.layers] == ["base"]


def test_the_base_of_make_base_is_read(store: Store, slim_base: Path) -> None:
    base = opened(store, slim_base)
    assert base.interpreter.path == f"/usr/bin/python3.{MINOR}"
    assert base.interpreter.glibc >= (2, 36)
    assert base.distribution == "debian"
    names = {package.name for package in base.packages}
    assert {"libc6", "libssl3", f"python3.{MINOR}-minimal"} <= names
    assert "dpkg" not in names
    assert sum(layer.unpacked for layer in base.layers) < 40_000_000


def test_a_platform_is_found_in_the_program_itself(store: Store, tmp_path: Path) -> None:
    base = opened(store, bases.ready(tmp_path / "base.tar", "arm64"), ARM64)
    assert base.interpreter.minor == 11


def test_path_says_which_python_is_meant(store: Store, tmp_path: Path) -> None:
    layers = [
        bases.layer(bases.files(version="3.11.2")),
        bases.layer(
            bases.files(version="3.13.1", prefix="usr/local"),
            {"usr/local/bin/python3": "python3.13", "usr/bin/python3": "python3.11"},
        ),
    ]
    official = {"Env": ["PATH=/usr/local/bin:/usr/bin"]}
    debian = {"Env": ["PATH=/usr/bin:/usr/local/bin"]}
    first = opened(store, bases.save(tmp_path / "1.tar", layers, config=official))
    second = opened(store, bases.save(tmp_path / "2.tar", layers, config=debian))
    assert first.interpreter.path == "/usr/local/bin/python3.13"
    assert second.interpreter.path == "/usr/bin/python3.11"


def test_upper_layers_take_away_and_links_lead_on(store: Store, tmp_path: Path) -> None:
    lower = bases.layer(
        bases.files(version="3.11.2"), {"lib": "usr/lib", "usr/bin/python3": "python3.11"}
    )
    newer = {"opt/py/bin/python3.12": b"", "opt/py/lib/python3.12/asyncio/__init__.py": b""}
    newer["opt/py/bin/python3.12"] = bases.elf("amd64", b"3.12.1")
    upper = bases.layer(
        {**newer, "usr/bin/.wh.python3.11": b"", "usr/lib/python3.11/.wh..wh..opq": b""},
        {"usr/bin/python3": "../../opt/py/bin/python3", "opt/py/bin/python3": "python3.12"},
    )
    base = opened(store, bases.save(tmp_path / "base.tar", [lower, upper]))
    assert base.interpreter.path == "/opt/py/bin/python3.12"


def test_pip_is_found_to_be_taken_away(store: Store, tmp_path: Path) -> None:
    contents = bases.files(prefix="usr/local") | {
        "usr/local/lib/python3.11/site-packages/pip/__init__.py": b"",
        "usr/local/lib/python3.11/site-packages/pip-24.0.dist-info/METADATA": b"",
        "usr/local/lib/python3.11/site-packages/wanted/__init__.py": b"",
        "usr/local/bin/pip3.11": b"",
        "usr/local/lib/python3.11/ensurepip/__init__.py": b"",
    }
    base = opened(store, bases.save(tmp_path / "base.tar", [bases.layer(contents)]))
    site = "usr/local/lib/python3.11/site-packages"
    assert set(base.interpreter.unwanted) == {
        f"{site}/pip",
        f"{site}/pip-24.0.dist-info",
        "usr/local/bin/pip3.11",
        "usr/local/lib/python3.11/ensurepip",
    }


def test_what_upper_layers_hide_isnt_taken_away_again(store: Store, tmp_path: Path) -> None:
    site = "usr/lib/python3.11/site-packages"
    lower = bases.layer(bases.files() | {f"{site}/pip/x.py": b"", f"{site}/wheel/x.py": b""})
    gone = bases.layer({f"{site}/.wh.pip": b""})
    empty = bases.layer({f"{site}/setuptools/x.py": b"", f"{site}/.wh..wh..opq": b""})
    one = opened(store, bases.save(tmp_path / "1.tar", [lower, gone]))
    all_ = opened(store, bases.save(tmp_path / "2.tar", [lower, empty]))
    assert one.interpreter.unwanted == (f"{site}/wheel",)
    assert all_.interpreter.unwanted == (f"{site}/setuptools",)


def test_a_standard_library_without_bytecode_gets_it(store: Store, tmp_path: Path) -> None:
    library = f"usr/lib/python3.{MINOR}"
    sources = {
        f"{library}/json/decoder.py": b"x = 'lower'\n",
        f"{library}/test/bad.py": b"def (:",
        f"{library}/json/tests/test_x.py": b"x = 1\n",
        f"{library}/site-packages/pip/x.py": b"x = 1\n",
        f"{library}/json/broken.py": b"def (:",
    }
    plain = bases.files(version=f"3.{MINOR}.1") | sources
    upper = bases.layer({f"{library}/json/decoder.py": b"x = 'upper'\n"})
    links = {f"{library}/circle": ".", f"{library}/json/up": "/usr"}
    bare = opened(store, bases.save(tmp_path / "1.tar", [bases.layer(plain, links), upper]))
    tree = bytecode_tree(store, bare)
    assert tree is not None
    [path] = [path for path in tree.folder.rglob("*") if path.is_file()]
    assert (
        path.relative_to(tree.folder).as_posix() == f"json/__pycache__/decoder.cpython-3{MINOR}.pyc"
    )
    assert tree.place == library
    assert f"/{library}/json/decoder.py".encode() in path.read_bytes()
    assert (b"upper" in path.read_bytes(), b"lower" in path.read_bytes()) == (True, False)
    compiled = plain | {f"{library}/asyncio/__pycache__/x.pyc": b""}
    whole = opened(store, bases.save(tmp_path / "2.tar", [bases.layer(compiled)]))
    assert bytecode_tree(store, whole) is None


def test_debian_packages_are_listed(store: Store, tmp_path: Path) -> None:
    status = b"Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\n\nPackage: broken\n\n"
    more = b"Package: zlib1g\nArchitecture: amd64\nVersion: 1:1.2\n"
    contents = bases.files() | {
        "var/lib/dpkg/status": status,
        "var/lib/dpkg/status.d/zlib1g": more,
        "etc/os-release": b'NAME="x"\nID=debian\n',
    }
    base = opened(store, bases.save(tmp_path / "base.tar", [bases.layer(contents)]))
    assert base.packages == (
        Package("libc6", "2.36-9", "amd64"),
        Package("zlib1g", "1:1.2", "amd64"),
    )
    assert base.distribution == "debian"


def test_a_base_is_read_once(store: Store, tmp_path: Path) -> None:
    path = bases.ready(tmp_path / "base.tar")
    first = opened(store, path)
    path.rename(tmp_path / "moved.tar")
    bases.ready(path, version="3.12.1")
    assert opened(store, tmp_path / "moved.tar") == first
    assert opened(store, path).interpreter.minor == 12
    first.layers[0].blob.path.unlink()
    assert opened(Store(store.folder), tmp_path / "moved.tar") == first


def _alpine() -> dict[str, bytes]:
    contents = bases.files()
    program = contents["usr/bin/python3.11"].replace(
        b"/lib64/ld-linux-x86-64.so.2", b"/lib/ld-musl-x86_64.so.1"
    )
    return contents | {"usr/bin/python3.11": program}


def _without(*endings: str) -> dict[str, bytes]:
    return {name: c for name, c in bases.files().items() if not name.endswith(endings)}


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (_alpine(), "musl"),
        (_without("python3.11"), "no Python is in it"),
        (bases.files(version="3.9.2"), "its Python is 3.9, and onnxport runs on 3.11 to 3.13"),
        (_without("asyncio/__init__.py"), "asyncio is missing"),
        (_without("libc.so.6"), "no glibc"),
        (_without("libstdc++.so.6"), r"libstdc\+\+.so.6 is missing"),
        (bases.files("arm64"), "its Python is for arm64, and the image is for linux/amd64"),
        ({"usr/bin/python3.11": b"#!/bin/sh\n"}, "no Python is in it"),
        (bases.files() | {"app/model/other.onnx": b""}, "its /app/model isn't empty"),
        ({"../../etc/passwd": b""}, "leads out of the root|no honest"),
    ],
)
def test_what_cant_run_our_code_is_refused(
    store: Store, tmp_path: Path, contents: dict[str, bytes], complaint: str
) -> None:
    path = bases.save(tmp_path / "base.tar", [bases.layer(contents)])
    with pytest.raises(BuildError, match=complaint):
        opened(store, path)


def test_an_archive_for_another_platform_is_refused(store: Store, tmp_path: Path) -> None:
    path = bases.ready(tmp_path / "base.tar", "arm64")
    with pytest.raises(BuildError, match=r"is for linux/arm64.*--platform linux/arm64"):
        opened(store, path)


def test_a_link_that_leads_in_a_circle_ends(store: Store, tmp_path: Path) -> None:
    links = {"usr/bin/python3": "python", "usr/bin/python": "python3"}
    path = bases.save(tmp_path / "base.tar", [bases.layer({"usr/bin/x": b""}, links)])
    with pytest.raises(BuildError, match="no Python is in it"):
        opened(store, path)


def test_a_file_that_isnt_there_is_no_reference(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no such file"):
        opened(store, tmp_path / "nowhere.tar")


# -------------------------------------------------------------------------------------------------- from a registry


def connect(reference: Reference) -> AbstractContextManager[Registry]:
    return Registry(reference.registry, patience=Patience(tries=1))


def published(store: Store, path: Path, address: str) -> Reference:
    """Pushes a saved image to a registry."""
    [saved] = read_archive(path)
    layers = []
    for each in saved.layers:
        with each.open() as tar:
            layers.append(compress(store, "base", tar, 0))
    image = Image(parse_config(saved.config).platform, saved.config, tuple(layers))
    reference = parse_reference(f"{address}/{path.stem}:1")
    with connect(reference) as registry:
        registry.push([image], reference)
    return reference


def test_a_tag_becomes_a_digest_and_a_digest_needs_no_registry(
    store: Store, tmp_path: Path, registry: str
) -> None:
    reference = published(store, bases.ready(tmp_path / "base.tar"), registry)
    base = open_base(str(reference), AMD64, store, connect)
    assert base.name == str(reference)
    pinned = f"{reference}@{base.digest}"
    assert open_base(pinned, AMD64, store, connect).digest == base.digest
    assert open_base(pinned, AMD64, store, nowhere).interpreter == base.interpreter


def test_a_registry_image_for_another_platform_is_refused(
    store: Store, tmp_path: Path, registry: str
) -> None:
    reference = published(store, bases.ready(tmp_path / "arm.tar", "arm64"), registry)
    with pytest.raises(BuildError, match="linux/arm64"):
        open_base(str(reference), AMD64, store, connect)


def test_a_default_base_out_of_reach_leads_to_the_option(store: Store) -> None:
    @contextmanager
    def unreachable(
        _: Reference,
    ) -> Iterator[Registry]:  # as on a machine without a network
        with connect(parse_reference("127.0.0.1:9/python:3")) as registry:
            yield registry

    assert default_base().endswith(f"python:3.{MINOR}-slim")
    with pytest.raises(BuildError, match=r"the default base can't be had.*--base"):
        open_base(None, AMD64, store, unreachable)
