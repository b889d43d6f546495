"""A layer is made of names and bytes alone, and every tar reads it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from onnxport.image.layers import Entry, cached_layer, folder_entries, write_layer
from onnxport.image.parts import Layer
from onnxport.image.store import Store

FILES = {"b/deep/x.py": b"x = 1\n", "a.txt": b"a", "b/y": b"", "b-b/z": b"z" * 100_000}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fill(folder: Path, *, mode: int, time: float, names: Iterable[str] = FILES) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])
        path.chmod(mode)
        os.utime(path, (time, time))
    return folder


def members(layer: Layer) -> list[tarfile.TarInfo]:
    with tarfile.open(layer.blob.path) as tar:
        return tar.getmembers()


def test_times_modes_and_order_of_this_machine_decide_nothing(store: Store, tmp_path: Path) -> None:
    one = fill(tmp_path / "one", mode=0o600, time=1)
    other = fill(tmp_path / "other", mode=0o777, time=2e9, names=reversed(FILES))
    first = write_layer(store, "libraries", folder_entries(one, "app/site"))
    second = write_layer(store, "libraries", folder_entries(other, "app/site"))
    assert first == second


def test_everything_belongs_to_root_and_everybody_may_read_it(store: Store, tmp_path: Path) -> None:
    folder = fill(tmp_path / "files", mode=0o600, time=5)
    found = members(write_layer(store, "libraries", folder_entries(folder, "app")))
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in found} == {(0, 0, "", "", 0)}
    assert {m.mode for m in found if m.isdir()} == {0o755}
    assert {m.mode for m in found if m.isfile()} == {0o644}


def test_a_folder_stands_before_what_it_holds(store: Store) -> None:
    entries = [Entry(name, content) for name, content in FILES.items()]
    names = [member.name for member in members(write_layer(store, "x", entries))]
    assert names == ["a.txt", "b", "b/deep", "b/deep/x.py", "b/y", "b-b", "b-b/z"]


def test_digests_and_sizes_are_those_of_the_bytes(store: Store) -> None:
    layer = write_layer(store, "x", [Entry(name, content) for name, content in FILES.items()])
    packed = layer.blob.path.read_bytes()
    assert layer.blob.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
    assert layer.blob.size == len(packed)
    assert layer.unpacked == sum(map(len, FILES.values()))


@pytest.mark.parametrize("name", ["é/花.py", "long/" * 60 + "name.py", "a b/c\nd", "-rf"])
def test_tar_unpacks_any_name(store: Store, tmp_path: Path, name: str) -> None:
    layer = write_layer(store, "x", [Entry(name, b"content")])
    subprocess.run(["tar", "xzf", layer.blob.path, "-C", tmp_path], check=True)
    assert (tmp_path / name).read_bytes() == b"content"


def test_a_large_file_isnt_held_in_memory(store: Store, tmp_path: Path) -> None:
    large = tmp_path / "model.onnx"
    with large.open("wb") as stream:
        stream.truncate(200_000_000)
    tracemalloc.start()
    write_layer(store, "model", [Entry("app/model/model.onnx", large)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_the_same_key_is_packed_once(store: Store) -> None:
    made = []

    def make() -> list[Entry]:
        made.append(1)
        return [Entry("a", b"a")]

    first = cached_layer(store, {"model": "1"}, "model", make)
    assert cached_layer(store, {"model": "1"}, "model", make) == first
    assert len(made) == 1
    cached_layer(store, {"model": "2"}, "model", make)
    assert len(made) == 2


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_layer_that_was_harmed_in_the_cache_is_packed_again(store: Store, harm: str) -> None:
    def make() -> list[Entry]:
        return [Entry("a", b"a")]

    first = cached_layer(store, {"model": "1"}, "model", make)
    if harm == "gone":
        first.blob.path.unlink()
    else:
        first.blob.path.write_bytes(bytes(first.blob.size))
    again = cached_layer(Store(store.folder), {"model": "1"}, "model", make)
    with tarfile.open(fileobj=io.BytesIO(again.blob.path.read_bytes())) as tar:
        assert tar.getnames() == ["a"]
