"""The store of blobs: whole or not at all, what was damaged is noticed, and a full disk is told in words."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from onnxport.errors import BuildError
from onnxport.image.parts import Blob, digest_of
from onnxport.image.store import Store, WrongBytes, default_folder
from tests import programs

CONTENT = b"a layer" * 1000
DIGEST = digest_of(CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _files(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("content", [CONTENT, io.BytesIO(CONTENT)], ids=["bytes", "stream"])
def test_what_was_put_is_found(store: Store, content: bytes | io.BytesIO) -> None:
    blob = store.put(content)
    assert blob == Blob(DIGEST, len(CONTENT), store.folder / "sha256" / DIGEST[7:])
    assert blob.path.read_bytes() == CONTENT
    assert store.find(DIGEST) == Store(store.folder).find(DIGEST, size=len(CONTENT)) == blob


def test_a_store_that_nobody_used_holds_nothing(store: Store) -> None:
    assert store.find(DIGEST) is None
    assert not store.folder.exists()


def test_other_bytes_than_announced_are_not_kept(store: Store) -> None:
    with pytest.raises(WrongBytes, match="damaged or exchanged on the way"):
        store.put(CONTENT, digest=digest_of(b"another"))
    with pytest.raises(WrongBytes, match="more bytes come than the 10 announced"):
        store.put(CONTENT, size=10)
    with pytest.raises(WrongBytes, match="only 7000 of 7001 bytes came"):
        store.put(CONTENT, size=7001)
    assert _files(store) == []


def test_a_stream_without_end_is_left(store: Store) -> None:
    with Path("/dev/zero").open("rb") as zeros, pytest.raises(WrongBytes, match="more bytes"):
        store.put(zeros, size=1 << 20)
    assert _files(store) == []


def test_a_writer_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as writing:
        writing.write(CONTENT[: 1 // 0])
    assert _files(store) == []


def test_a_compressor_may_write_into_the_store(store: Store) -> None:
    with store.writing() as writing, gzip.GzipFile(fileobj=writing, mode="wb", mtime=0) as packed:
        packed.write(CONTENT)
    assert gzip.decompress(writing.blob.path.read_bytes()) == CONTENT
    assert digest_of(writing.blob.path.read_bytes()) == writing.blob.digest


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_a_damaged_file_counts_as_none_and_is_replaced(store: Store, damage: bytes) -> None:
    store.put(CONTENT).path.write_bytes(damage)
    again = Store(store.folder)
    assert again.find(DIGEST) is None
    assert _files(store) == []
    assert again.put(CONTENT).path.read_bytes() == CONTENT


def test_a_file_that_was_cut_short_in_this_run_is_noticed(store: Store) -> None:
    store.put(CONTENT).path.write_bytes(b"")
    assert store.find(DIGEST, size=len(CONTENT)) is None


@pytest.mark.parametrize("digest", ["", "sha256:../../etc/passwd", "sha512:" + "0" * 128, "a/b"])
def test_a_digest_that_is_none_names_no_file(store: Store, digest: str) -> None:
    with pytest.raises(BuildError, match="is no digest"):
        store.find(digest)


def test_many_writers_of_one_blob_do_not_disturb_each_other(store: Store) -> None:
    blobs: list[Blob] = []

    def put() -> None:
        blobs.append(Store(store.folder).put(io.BytesIO(CONTENT)))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(blobs) == 8
    assert _files(store) == [DIGEST[7:]]


def test_what_a_killed_run_left_is_swept_after_a_day(store: Store) -> None:
    store.put(CONTENT)
    old, new = (store.folder / "sha256" / f"unfinished-{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    store.put(b"another")
    assert not old.exists()
    assert new.exists()


def test_what_nobody_has_used_for_long_goes_and_what_was_used_stays(store: Store) -> None:
    old, used = store.put(b"old"), store.put(b"used")
    before = time.time() - 100 * 24 * 3600
    for blob in (old, used):
        os.utime(blob.path, (before, before))
    assert store.find(used.digest) == used
    new = store.put(b"new")
    assert _files(store) == sorted(blob.path.name for blob in (used, new))
    assert store.find(old.digest) is None


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    programs.root("to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    try:
        store = Store(disk / "store")
        store.put(CONTENT)
        with pytest.raises(BuildError, match=r"no space left in .* free some") as caught:
            store.put(bytes(2 << 20))
        assert "XDG_CACHE_HOME" in str(caught.value)
        assert _files(store) == [DIGEST[7:]]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=r"can't keep layers .*XDG_CACHE_HOME"):
        Store(tmp_path / "file" / "store").put(CONTENT)


def test_the_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_folder() == tmp_path / ".cache" / "onnxport"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == tmp_path / ".cache" / "onnxport"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store().folder == tmp_path / "cache" / "onnxport"


def test_without_a_home_folder_the_variable_is_named() -> None:
    code = (
        "import os, pwd\nfrom onnxport.image.store import default_folder\n"
        "os.environ.clear()\nos.setuid(54321)\ndefault_folder()"
    )
    programs.root("to be a user without a home folder")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "set XDG_CACHE_HOME to a folder" in done.stderr.splitlines()[-1]
