"""The engine as a program: found, asked, and each of its faults told in one sentence with the remedy."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from onnxport.errors import BuildError
from onnxport.image.dockerfile import Part, Recipe, write_context
from onnxport.image.engine import Engine, find_engine
from onnxport.image.layers import Entry
from onnxport.image.parts import Platform
from onnxport.image.running import Confinement, started
from tests import programs
from tests.image.conftest import BASE
from tests.image.engines import Daemon

AMD64 = Platform("amd64")
SLEEP = ["python3", "-c", "import time; time.sleep(60)"]


def write(folder: Path, *entries: Entry, entrypoint: list[str] | None = None) -> Path:
    """A small context in a folder."""
    config = {"Entrypoint": entrypoint or SLEEP, "ExposedPorts": {"8080/tcp": {}}}
    write_context(Recipe(BASE, config, (Part("model", entries),)), folder)
    return folder


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write(tmp_path / "context", Entry("app/model/x.onnx", b"x"))


def test_docker_comes_first_and_podman_where_docker_does_not_answer(
    on_docker: Engine, on_podman: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (on_docker.name, on_podman.name) == ("docker", "podman")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    found = find_engine()
    assert (found.name, found.platform) == ("podman", AMD64)


def test_an_engine_that_was_chosen_has_no_substitute(
    on_podman: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_podman.name == "podman"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert str(refused(None)).startswith("docker doesn't answer at unix:///nowhere.sock")


def test_docker_may_be_podman_under_another_name(
    on_podman: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").symlink_to(on_podman.program)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_engine("docker") == Engine("podman", str(tmp_path / "docker"), AMD64)


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_an_image_travels_through_a_file(
    kind: str, request: pytest.FixtureRequest, context: Path, tmp_path: Path
) -> None:
    engine: Engine = request.getfixturevalue(f"on_{kind}")
    image = engine.build(context, base=BASE, platform=AMD64)
    engine.save(image, tmp_path / "image.tar")
    engine.forget(image)
    assert not engine.has(image)

    assert engine.load(tmp_path / "image.tar") == image

    engine.tag(image, "localhost/onnxport-test/made:1")
    assert engine.id_of("localhost/onnxport-test/made:1") == image
    engine.forget("localhost/onnxport-test/made:1")


# --------------------------------------------------------------------------------------------------- an engine's faults


def refused(engine_name: str | None = None) -> BuildError:
    with pytest.raises(BuildError) as caught:
        find_engine(engine_name)
    return caught.value


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(refused()) == (
        "this needs a container engine, and docker and podman can't be found; install docker or podman"
    )
    assert str(refused("podman")).startswith("podman can't be found; install it, or build without")


@pytest.mark.parametrize("host", ["unix:///nowhere.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_does_not_run(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.program("docker", package="docker.io")
    monkeypatch.setenv("DOCKER_HOST", host)
    err = refused("docker")
    assert str(err).startswith(f"docker doesn't answer at {host}; start it (`sudo systemctl")
    assert err.command[1] == "version"
    assert "Cannot connect" in err.output


def test_an_engine_without_rights(
    docker: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.folder.chmod(0o755)
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{as_nobody(tmp_path, docker.client)}:{os.environ['PATH']}")
    told = str(refused("docker"))
    assert told.startswith(
        f"docker runs, but this user may not use its socket at unix://{docker.folder}"
    )
    assert "usermod -aG docker" in told
    assert "\n" not in told


def as_nobody(folder: Path, program: str) -> Path:
    """A folder with a `docker` that another user calls."""
    script = folder / "docker"
    script.write_text(
        f'#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups {program} "$@"\n'
    )
    script.chmod(0o755)
    return folder


def test_a_program_that_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_bytes(b"\x7fELF of another kind")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(refused("docker")).endswith("can't be run: Exec format error; install docker anew")


def test_a_base_that_is_not_there(on_docker: Engine, context: Path) -> None:
    with pytest.raises(BuildError, match="docker doesn't have the image, and can't fetch it"):
        on_docker.build(context, base="127.0.0.1:1/no/such:1", platform=AMD64)


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_a_file_that_is_no_image(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    engine: Engine = request.getfixturevalue(f"on_{kind}")
    (tmp_path / "image.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(BuildError, match="the file is no image that"):
        engine.load(tmp_path / "image.tar")


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon that may be killed."""
    one = Daemon()
    try:
        yield one.start()
    finally:
        one.stop()


def test_a_daemon_that_dies_in_the_middle(
    daemon: Daemon, slim_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in daemon.env.items():
        monkeypatch.setenv(variable, value)
    daemon.load(slim_base, BASE)
    engine = find_engine("docker")
    context = write(tmp_path / "context", Entry("app/model/x.onnx", os.urandom(30_000_000)))
    with pytest.raises(BuildError) as caught, killed_while_working(daemon):
        build_without_end(engine, context)
    assert str(caught.value).startswith(f"docker doesn't answer at {daemon.host}; start it")
    assert str(caught.value).endswith("then run the same command again")

    daemon.start()
    assert names(daemon) == [BASE]
    assert engine.has(engine.build(context, base=BASE, platform=AMD64))


def build_without_end(engine: Engine, context: Path) -> None:
    while True:
        engine.build(context, base=BASE, platform=AMD64)
        (context / "model/app/model/x.onnx").write_bytes(os.urandom(30_000_000))


@contextmanager
def killed_while_working(daemon: Daemon) -> Iterator[None]:
    """Kills a daemon as soon as a build has begun to store something."""
    killer = threading.Timer(1.0, daemon.kill)
    killer.start()
    try:
        yield
    finally:
        killer.join()


def names(daemon: Daemon) -> list[str]:
    listed = daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    return [name for name in listed if not name.startswith("<none>")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that takes the base, and no image of 60 MB on it."""
    programs.root("to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_of_the_engine(
    small_disk: Path, slim_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Daemon(data_root=small_disk / "data")
    try:
        full.start().load(slim_base, BASE)
        for variable, value in full.env.items():
            monkeypatch.setenv(variable, value)
        engine = find_engine("docker")
        context = write(tmp_path / "context", Entry("app/model/x.onnx", bytes(100_000_000)))
        with pytest.raises(BuildError, match="the disk of docker is full; free some") as caught:
            engine.build(context, base=BASE, platform=AMD64)
        assert "docker system prune" in str(caught.value)
        assert names(full) == [BASE]
        write(tmp_path / "context", Entry("app/model/x.onnx", bytes(1_000_000)))
        assert engine.has(engine.build(tmp_path / "context", base=BASE, platform=AMD64))
    finally:
        full.stop()


# -------------------------------------------------------------------------------------------------------- containers


SERVES = [
    "python3",
    "-c",
    "import http.server as h; h.HTTPServer(('0.0.0.0', 8080), h.SimpleHTTPRequestHandler).serve_forever()",
]
SHOWS = "import os; print(os.getuid(), open('/proc/self/status').read())"


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_a_container_has_no_rights(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    engine: Engine = request.getfixturevalue(f"on_{kind}")
    context = write(tmp_path / "context", Entry("app/x", b""), entrypoint=SERVES)
    image = engine.build(context, base=BASE, platform=AMD64)
    locked = Confinement(8080, {"A": "b c"}, user="12345:12345", memory=256)
    with started(engine, image, locked) as container:
        told = container.run(["python3", "-c", SHOWS])
        container.check_running()
        assert container.address.startswith("127.0.0.1:")
        with pytest.raises(BuildError, match="Read-only file system"):
            container.run(["python3", "-c", "open('/app/x', 'w')"])
        with pytest.raises(BuildError, match=r"^python3 -c .* failed: connection refused$"):
            container.run(["python3", "-c", "raise SystemExit('connection refused')"])
        name = container.name
    assert told.startswith("12345 ")
    assert "CapBnd:\t0000000000000000" in told
    assert "NoNewPrivs:\t1" in told
    assert name not in engine.call("ps", "--all", "--format", "{{.Names}}")


def watch(engine: Engine, image: str) -> None:
    """Runs an image and looks after it for some seconds."""
    with started(engine, image, Confinement(8080)) as container:
        for _ in range(50):
            container.check_running()
            time.sleep(0.1)


def test_a_container_that_ends_at_once(on_docker: Engine, tmp_path: Path) -> None:
    fails = ["python3", "-c", "raise SystemExit('no model here: connection refused')"]
    image = on_docker.build(
        write(tmp_path / "context", Entry("app/x", b""), entrypoint=fails),
        base=BASE,
        platform=AMD64,
    )
    with pytest.raises(BuildError, match="the container has ended by itself: no model here"):
        watch(on_docker, image)
    assert "onnxport-trial" not in on_docker.call("ps", "--all", "--format", "{{.Names}}")


def test_an_image_for_another_processor(on_docker: Engine, tmp_path: Path) -> None:
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(100)  # for arm64
    tar = tmp_path / "root.tar"
    with tarfile.open(tar, "w") as root:
        (tmp_path / "init").write_bytes(elf)
        (tmp_path / "init").chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        root.add(tmp_path / "init", "init")
    image = on_docker.call("import", "--change", 'ENTRYPOINT ["/init"]', str(tar))
    with pytest.raises(BuildError, match="made for another processor than docker has here"):
        watch(on_docker, image)
    on_docker.forget(image)
