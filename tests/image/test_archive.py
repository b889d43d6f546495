"""Images in files: what engines save is read, what is written they load, and hostile files are refused unread."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import struct
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxport.errors import BuildError
from onnxport.image.archive import SavedImage, read_archive, write_archive
from onnxport.image.manifests import OCI_MANIFEST_TYPE
from onnxport.image.parts import CONFIG_TYPE, Image, canonical, digest_of
from onnxport.image.reference import parse_reference
from onnxport.image.store import Store
from tests import programs
from tests.image import engines, made

IRIS = parse_reference("localhost/team/iris:1")
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
BLOBS = "blobs/sha256/"


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return made.image(Store(tmp_path / "store"), b"base" * 1000, os.urandom(5000), b"model")


@pytest.fixture
def saved(image: Image, tmp_path: Path) -> Path:
    """The image in a file."""
    path = tmp_path / "image.tar"
    write_archive(image, IRIS, path)
    return path


def refusal(deed: Callable[[], object]) -> str:
    with pytest.raises(BuildError) as caught:
        deed()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


def tars(image: SavedImage) -> list[bytes]:
    """The layers' tars, read one after another."""
    found = []
    for layer in image.layers:
        with layer.open() as tar:
            found.append(tar.read())
    return found


def expected(image: Image) -> list[bytes]:
    return [gzip.decompress(layer.blob.path.read_bytes()) for layer in image.layers]


def skopeo(*words: str | Path) -> str:
    done = subprocess.run(
        [programs.program("skopeo"), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# What is written.


def test_what_was_written_is_read(image: Image, saved: Path) -> None:
    (found,) = read_archive(saved)
    assert (found.config, found.tags) == (image.config, ("localhost/team/iris:1",))
    assert [layer.diff_id for layer in found.layers] == [one.diff_id for one in image.layers]
    assert tars(found) == expected(image)


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_skopeo_takes_it_in_both_layouts(
    image: Image, saved: Path, tmp_path: Path, kind: str
) -> None:
    told = json.loads(skopeo("inspect", "--config", f"{kind}:{saved}"))
    assert told["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers]
    skopeo("copy", f"{kind}:{saved}", f"dir:{tmp_path / 'out'}")
    assert (tmp_path / "out" / digest_of(image.config)[7:]).read_bytes() == image.config
    if kind == "oci-archive":
        assert (tmp_path / "out" / "manifest.json").read_bytes() == image.manifest


def test_docker_loads_it(image: Image, saved: Path, docker: engines.Daemon) -> None:
    assert "localhost/team/iris:1" in docker.docker("load", "--input", saved)
    told = docker.docker("image", "inspect", "--format", "{{.Id}}", str(IRIS))
    assert told == digest_of(image.config)


def test_podman_loads_it(image: Image, saved: Path, podman: engines.Podman) -> None:
    assert "localhost/team/iris:1" in podman.podman("load", "--input", saved)
    told = podman.podman("image", "inspect", "--format", "{{.Id}}", str(IRIS))
    assert f"sha256:{told}" == digest_of(image.config)


def test_the_bytes_are_the_same_everywhere(image: Image, saved: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        other = tmp_path / "elsewhere" / "another.name"
        other.parent.mkdir()
        write_archive(image, IRIS, other)
    finally:
        os.umask(before)
    assert other.read_bytes() == saved.read_bytes()
    with tarfile.open(saved) as tar:
        facts = {(one.uid, one.gid, one.uname, one.mtime, one.mode) for one in tar}
    assert facts == {(0, 0, "", 0, 0o644)}


def test_the_file_follows_the_umask(image: Image, tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    before = os.umask(0o027)
    try:
        write_archive(image, None, path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", [None, "iris@sha256:" + "0" * 64])
def test_without_a_tag_it_has_no_name(image: Image, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "image.tar"
    write_archive(image, parse_reference(text) if text else None, path)
    assert read_archive(path)[0].tags == ()
    skopeo("inspect", f"docker-archive:{path}")


def test_what_was_there_is_replaced_at_the_end_or_stays(image: Image, saved: Path) -> None:
    before = saved.read_bytes()
    image.layers[1].blob.path.write_bytes(b"damaged")
    message = refusal(partial(write_archive, image, IRIS, saved))
    assert "has changed since it was built; build again" in message
    image.layers[1].blob.path.unlink()
    assert "can't be read (No such" in refusal(partial(write_archive, image, IRIS, saved))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir() if path.is_file()] == ["image.tar"]


def test_a_link_stays_and_its_target_is_replaced(image: Image, tmp_path: Path) -> None:
    target, link = tmp_path / "target.tar", tmp_path / "link.tar"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_archive(image, IRIS, link)
    assert link.is_symlink()
    assert len(read_archive(target)) == 1


def test_places_that_take_no_file_are_told(image: Image, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    places = {
        Path("/"): "is no file that can be replaced",
        tmp_path / "a\0b": "embedded null",
        tmp_path: "is no file that can be replaced",
        tmp_path / "fifo": "is no file that can be replaced",
        Path("/dev/null"): "is no file that can be replaced",
        tmp_path / "absent" / "image.tar": "can't be written (No such file or directory)",
        tmp_path / ("x" * 300): "can't be written (File name too long)",
    }
    for place, words in places.items():
        assert words in refusal(partial(write_archive, image, IRIS, place))
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_is_told_and_left_clean(image: Image, tmp_path: Path) -> None:
    programs.root("to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)], check=True)
    try:
        message = refusal(partial(write_archive, image, IRIS, disk / "image.tar"))
        assert "there is no space left for" in message
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# What others save.


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_archive_is_read(
    image: Image, saved: Path, pack: Callable[[bytes], bytes]
) -> None:
    saved.write_bytes(pack(saved.read_bytes()))
    (found,) = read_archive(saved)
    assert tars(found) == expected(image)


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes_is_read(image: Image, saved: Path, tmp_path: Path, kind: str) -> None:
    """Plain layers with links to them, as Docker before 25 wrote them, too; and OCI's layout."""
    path = tmp_path / "skopeo.tar"
    skopeo("copy", f"docker-archive:{saved}", f"{kind}:{path}:example.com/iris:2")
    (found,) = read_archive(path)
    assert tars(found) == expected(image)
    assert found.tags == ("example.com/iris:2",)


def test_what_docker_saves_is_read(
    image: Image, saved: Path, tmp_path: Path, docker: engines.Daemon
) -> None:
    docker.docker("load", "--input", saved)
    path = tmp_path / "docker.tar"
    docker.docker("save", "--output", path, str(IRIS))
    (found,) = read_archive(path)
    assert (tars(found), found.tags) == (expected(image), ("localhost/team/iris:1",))


def test_an_imported_root_that_docker_saves_is_read(tmp_path: Path, docker: engines.Daemon) -> None:
    """Its configuration is nearly empty, and two images of one file share their layer."""
    root = tmp_path / "root.tar"
    root.write_bytes(made.tar({"etc/os-release": b"NAME=none\n"}))
    names = ["localhost/root:1", "localhost/root:2"]
    docker.docker("import", root, names[0])
    docker.docker("import", "--change", "ENV A=b", root, names[1])
    path = tmp_path / "docker.tar"
    docker.docker("save", "--output", path, *names)
    found = read_archive(path)
    assert sorted(tag for one in found for tag in one.tags) == names
    assert [len(tars(one)) for one in found] == [1, 1]


def test_what_podman_saves_is_read(
    image: Image, saved: Path, tmp_path: Path, podman: engines.Podman
) -> None:
    podman.podman("load", "--input", saved)
    for kind in ("docker-archive", "oci-archive"):
        path = tmp_path / f"{kind}.tar"
        podman.podman("save", "--format", kind, "--output", path, str(IRIS))
        assert tars(read_archive(path)[0]) == expected(image)


def _layout(entries: dict[str, bytes], index: list[dict[str, Any]]) -> dict[str, bytes]:
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": canonical({"schemaVersion": 2, "manifests": index}),
        **entries,
    }


def _blob(content: bytes) -> str:
    return BLOBS + digest_of(content).removeprefix("sha256:")


def _described(content: bytes, kind: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content), **more}


def _oci(layer: bytes, plain: bytes, kind: str = GZIP) -> tuple[dict[str, bytes], bytes]:
    """The blobs of a small image, and its manifest."""
    config = made.config([digest_of(plain)])
    manifest = canonical(
        {
            "schemaVersion": 2,
            "config": _described(config, CONFIG_TYPE),
            "layers": [_described(layer, kind)],
        }
    )
    return {_blob(one): one for one in (config, layer, manifest)}, manifest


PLAIN = made.tar({"a": b"b" * 2000})
PACKED = gzip.compress(PLAIN, mtime=0)


def test_a_layout_of_indexes_as_buildx_writes_it(tmp_path: Path) -> None:
    blobs, manifest = _oci(PACKED, PLAIN)
    proofs, proof = _oci(b"{}", b"{}", "application/vnd.in-toto+json")
    platforms = [
        _described(manifest, OCI_MANIFEST_TYPE, platform={"architecture": "amd64", "os": "linux"}),
        _described(b"elsewhere", OCI_MANIFEST_TYPE, platform={"architecture": "arm64"}),
        _described(proof, OCI_MANIFEST_TYPE, platform={"architecture": "unknown"}),
    ]
    inner = canonical({"schemaVersion": 2, "manifests": platforms})
    outer = _described(
        inner,
        "application/vnd.oci.image.index.v1+json",
        annotations={"io.containerd.image.name": "docker.io/library/iris:1"},
    )
    path = tmp_path / "oci.tar"
    path.write_bytes(made.tar(_layout({**blobs, **proofs, _blob(inner): inner}, [outer])))
    (found,) = read_archive(path)
    assert tars(found) == [PLAIN]
    assert found.tags == ("docker.io/library/iris:1",)


@pytest.mark.parametrize("layer", [PLAIN, PACKED], ids=["plain", "packed"])
def test_layers_may_be_packed_or_not_whatever_they_are_called(tmp_path: Path, layer: bytes) -> None:
    blobs, manifest = _oci(layer, PLAIN, "application/vnd.oci.image.layer.v1.tar")
    path = tmp_path / "oci.tar"
    path.write_bytes(made.tar(_layout(blobs, [_described(manifest, OCI_MANIFEST_TYPE)])))
    assert tars(read_archive(path)[0]) == [PLAIN]


# What nobody honest saves.


def _saved(**changed: Any) -> dict[str, bytes]:
    """A minimal archive in Docker's layout, as file names and contents."""
    config = changed.pop("config", made.config([digest_of(PLAIN)]))
    entry = {"Config": "config.json", "Layers": ["layer.tar"], "RepoTags": None, **changed}
    return {
        "manifest.json": json.dumps([entry]).encode(),
        "config.json": config,
        "layer.tar": PLAIN,
    }


def _with(path: Path, *more: tarfile.TarInfo, content: bytes = b"") -> Path:
    """The minimal archive and members of another kind."""
    with tarfile.open(path, "w") as tar:
        for name, body in _saved().items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        for member in more:
            tar.addfile(member, io.BytesIO(content))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def test_the_minimal_archive_is_read(tmp_path: Path) -> None:
    found = read_archive(_with(tmp_path / "a.tar", _member("folder", tarfile.DIRTYPE)))
    assert tars(found[0]) == [PLAIN]


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (_member("../evil"), "a name that leads out of it"),
        (_member("a/../../evil"), "a name that leads out of it"),
        (_member("/etc/evil"), "a name that leads out of it"),
        (_member("\x1b[31m/../x"), "a name that leads out of it"),
        (_member("layer.tar"), "'layer.tar' twice"),
        (_member("./layer.tar"), "'layer.tar' twice"),
        (_member("layer.tar", tarfile.SYMTYPE, "config.json"), "'layer.tar' twice"),
        (_member("x", tarfile.SYMTYPE, "/etc/passwd"), "a link, 'x', that leads out of it"),
        (_member("a/x", tarfile.SYMTYPE, "../../b"), "a link, 'a/x', that leads out of it"),
        (_member("x", tarfile.LNKTYPE, "layer.tar"), "is no plain file"),
        (_member("x", tarfile.CHRTYPE), "is no plain file"),
        (_member("x", tarfile.BLKTYPE), "is no plain file"),
        (_member("x", tarfile.FIFOTYPE), "is no plain file"),
        (_member("x", b"Z"), "is no plain file"),
    ],
    ids=range(14),
)
def test_a_member_that_no_image_has_is_refused(
    tmp_path: Path, member: tarfile.TarInfo, words: str
) -> None:
    path = _with(tmp_path / "a.tar", member)
    message = refusal(partial(read_archive, path))
    assert words in message
    assert message.startswith(str(path))


def test_a_link_to_a_layer_is_followed_within_the_archive(tmp_path: Path) -> None:
    files = _saved(Layers=["old/layer.tar"])
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(_member("old/layer.tar", tarfile.SYMTYPE, "../layer.tar"))
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    assert tars(read_archive(path)[0]) == [PLAIN]


ZSTD = struct.pack("<I", 0xFD2FB528) + bytes(100)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": b"b"}, "no saved image: it has neither manifest.json nor index.json"),
        ({"etc/passwd": b"x"}, "a root file system, no image; run docker import"),
        ({**_saved(), "manifest.json": b"["}, "manifest.json is no JSON"),
        ({**_saved(), "manifest.json": b"{}"}, "manifest.json is no list of images"),
        ({**_saved(), "manifest.json": b"[]"}, "it holds no image"),
        ({**_saved(), "manifest.json": b"[1]"}, "manifest.json is no list of images"),
        ({**_saved(), "manifest.json": b"[" * 100_000}, "manifest.json is no JSON"),
        ({**_saved(), "manifest.json": b" " * (5 << 20)}, "has more than 4194304 bytes"),
        (_saved(Config=7), "an entry that is none"),
        (_saved(Layers="layer.tar"), "an entry that is none"),
        (_saved(Layers=[7]), "an entry that is none"),
        (_saved(RepoTags=[7]), "an entry that is none"),
        (_saved(Config="absent.json"), "'absent.json' is missing"),
        (_saved(Config="../../etc/passwd"), "is missing"),
        (_saved(Layers=["absent.tar"]), "'absent.tar' is missing"),
        (_saved(Layers=["/etc/passwd"]), "is missing"),
        (_saved(Layers=[]), "the configuration lists 1 layers and the manifest 0"),
        (_saved(config=b"[]"), "is no JSON object"),
        (_saved(config=made.config([digest_of(b"another")])), "doesn't have the digest"),
        ({**_saved(), "layer.tar": PACKED[:-20]}, "is damaged"),
        ({**_saved(), "layer.tar": PACKED + b"x"}, "is damaged|doesn't have the digest"),
        ({**_saved(), "layer.tar": ZSTD}, "is compressed with zstd"),
        (
            {**_saved(Config="0" * 64 + ".json"), "0" * 64 + ".json": made.config([])},
            "doesn't have the digest",
        ),
        (
            {**_saved(Layers=[BLOBS + "0" * 64]), BLOBS + "0" * 64: PLAIN},
            "doesn't have the digest",
        ),
    ],
    ids=range(24),
)
def test_a_file_that_is_no_whole_image_is_refused(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(made.tar(files))
    message = refusal(partial(read_archive, path))
    assert re.search(words, message)
    assert message.startswith(str(path))


BLOBS_OF_ONE, MANIFEST = _oci(PACKED, PLAIN)
DESCRIBED = _described(MANIFEST, OCI_MANIFEST_TYPE)


def _nested(depth: int) -> dict[str, bytes]:
    """Lists that name lists twice over: small to save, and endless to read."""
    blobs, entry = dict(BLOBS_OF_ONE), DESCRIBED
    for _ in range(depth):
        index = canonical({"manifests": [entry] * 50})
        blobs[_blob(index)] = index
        entry = _described(index, "application/vnd.oci.image.index.v1+json")
    return _layout(blobs, [entry])


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (_layout(BLOBS_OF_ONE, []), "it holds no image"),
        (_layout({}, [DESCRIBED]), "is missing"),
        (_layout(BLOBS_OF_ONE, [{**DESCRIBED, "digest": "sha256:x"}]), "lacks a sha256 digest"),
        (_layout(BLOBS_OF_ONE, [{**DESCRIBED, "size": 7}]), "doesn't have the digest"),
        (_layout({**BLOBS_OF_ONE, _blob(MANIFEST): b"{}"}, [DESCRIBED]), "doesn't have the digest"),
        (
            _layout({**BLOBS_OF_ONE, _blob(PACKED): gzip.compress(PLAIN, 1)}, [DESCRIBED]),
            "doesn't have the digest",
        ),
        (_nested(2), "names more than 100 images"),
        (_nested(3), "lists of lists"),
        (_nested(40), "lists of lists"),
    ],
    ids=range(9),
)
def test_a_layout_that_is_no_whole_image_is_refused(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(made.tar(files))
    assert words in refusal(partial(read_archive, path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a tar",
        bytes(10_000),
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\x00",
        ZSTD,
        b"PK\x03\x04",
    ],
    ids=range(8),
)
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    message = refusal(partial(read_archive, path))
    assert re.search("is no whole tar|can't be read|no saved image", message)


def test_a_file_that_was_cut_off_is_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for length in (len(content) // 2, 10_240 + 700, 100):
        saved.write_bytes(content[:length])
        message = refusal(partial(read_archive, saved))
        assert re.search("is no whole tar|is missing|damaged|no saved image", message)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert "No such file" in refusal(partial(read_archive, tmp_path / "absent.tar"))
    assert "Is a directory" in refusal(partial(read_archive, tmp_path))


# What would fill memory or disk, or take hours.


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = _member(name, kind)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
@pytest.mark.parametrize(
    ("header", "words"),
    [
        (_header("huge", 1 << 60), "claims to hold more than an image can"),
        (_header("huge", 2 << 30), "claims to hold more than an image can"),
        (_header("././@LongLink", 1 << 40, tarfile.GNUTYPE_LONGNAME), "a size that no header has"),
        (_header("./PaxHeaders/x", 1 << 40, tarfile.XHDTYPE), "a size that no header has"),
        (_header("sparse", 1 << 50, tarfile.GNUTYPE_SPARSE), "claims to hold more than an image"),
        (_header("./PaxHeaders/x", 0, tarfile.XHDTYPE) * 20_000, "is no whole tar"),
    ],
    ids=["file", "smaller file", "name", "extended", "sparse", "chain"],
)
def test_a_claim_of_endless_size_is_not_believed(
    tmp_path: Path, header: bytes, words: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(pack(header + bytes(1024) + made.tar(_saved())))
    assert words in refusal(partial(read_archive, path))


def test_a_layer_that_unpacks_to_far_more_than_it_holds_is_left(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(1 << 20), 9)
    path = tmp_path / "a.tar"
    # members of gzip after one another: 1.2 GB of zeros in a megabyte
    path.write_bytes(made.tar({**_saved(), "layer.tar": bomb * 1200}))
    message = refusal(partial(read_archive, path))
    assert "unpacks to more than 1024 MB, which no honest layer of its size does" in message


WHOLE = made.tar({**_saved(), "layer.tar": PACKED})
HEADERS = st.sampled_from([offset for offset in range(len(WHOLE)) if WHOLE[offset]])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(HEADERS, st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_archive_is_refused_or_gives_what_was_saved(
    tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[int, int]]
) -> None:
    content = bytearray(WHOLE)
    for offset, value in damages:
        content[offset] = value
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    path.write_bytes(content)
    try:
        found = [tars(one) for one in read_archive(path)]
    except BuildError:
        return
    assert found == [[PLAIN]]
