"""`onnxport build` without an engine: the same bytes everywhere, small, complete, and running where it is unpacked."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from onnxport.check import check_url
from onnxport.image.layers import ZLIB_VERSION
from onnxport.image.parts import digest_of
from tests import programs
from tests.image import bases, building
from tests.image.building import Done, Saved

Build = Callable[..., Done]


@pytest.fixture(scope="session")
def model(root: Path) -> Path:
    return root / "tests" / "fixtures" / "format-1.1.onnx"


@pytest.fixture(scope="session")
def retrained(root: Path) -> Path:
    return root / "tests" / "fixtures" / "format-1.0.onnx"


@pytest.fixture
def build(model: Path, slim_base: Path, image_cache: Path, tmp_path: Path) -> Build:
    """`build(*options)` runs the command in an empty folder, on the slim base and in the tests' cache."""

    def run(
        *options: str | Path, base: Path | None = slim_base, of: Path = model, **how: Any
    ) -> Done:
        given = () if base is None else ("--base", base)
        how = {"cache": image_cache, "cwd": tmp_path, **how}
        return building.build(of, *given, *options, **how)

    return run


@pytest.fixture(scope="module")
def first(
    model: Path, slim_base: Path, image_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """An image as it is usually built: what was told, and its archive."""
    folder = tmp_path_factory.mktemp("first")
    options = ("-t", "iris:1", "--base", slim_base, "--json")
    done = building.build(model, *options, cache=image_cache, cwd=folder)
    return done.told, folder / "format-1.1.tar"


@pytest.fixture(scope="module")
def saved(first: tuple[dict[str, Any], Path]) -> Saved:
    return building.read(first[1])


@pytest.fixture(scope="module")
def unpacked(saved: Saved, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved.unpack(tmp_path_factory.mktemp("root"))


# -------------------------------------------------------------------------------------------------- what is told


def test_json_begins_with_the_digest_and_tells_sizes_and_layers(
    first: tuple[dict[str, Any], Path],
) -> None:
    told, archive = first
    assert next(iter(told)) == "digest"
    [image] = told["images"]
    assert [layer["title"] for layer in image["layers"]] == [
        "base",
        "libraries",
        "onnxport",
        "model",
    ]
    assert told["digest"] == image["digest"]
    assert image["compressed"] == sum(layer["compressed"] for layer in image["layers"])
    assert told["output"] == archive.name
    assert image["id"] == digest_of(_config_of(archive))


def _config_of(archive: Path) -> bytes:
    import tarfile

    with tarfile.open(archive) as tar:
        [entry] = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        return tar.extractfile(entry["Config"]).read()  # type: ignore[union-attr]


def test_the_image_of_a_small_model_is_small(first: tuple[dict[str, Any], Path]) -> None:
    [image] = first[0]["images"]
    assert image["compressed"] <= 60_000_000
    assert image["unpacked"] <= 170_000_000


def test_people_see_a_bar_for_each_layer(build: Build) -> None:
    done = build("--output", "x.tar")
    assert done.code == 0
    for title in ("base", "libraries", "onnxport", "model"):
        assert re.search(rf"^ +{title} .* MB +[\d.]+ MB +=+$", done.stdout, re.MULTILINE)
    assert "digest sha256:" in done.stdout


# ------------------------------------------------------------------------------------------------ the same everywhere


def test_folder_user_zone_locale_umask_and_an_empty_cache_decide_nothing(
    first: tuple[dict[str, Any], Path],
    model: Path,
    slim_base: Path,
    image_cache: Path,
    everybodys: Path,
) -> None:
    folder = everybodys / "another place"
    cache = folder / "cache"
    shutil.copytree(image_cache / "onnxport" / "wheels", cache / "onnxport" / "wheels")
    copy = Path(shutil.copy(model, folder / "renamed model.onnx"))
    os.utime(copy, (1, 1))
    env = {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HOME": str(folder)}
    done = building.build(
        copy,
        *("--base", slim_base, "-t", "other/name:2", "--json"),
        cache=cache,
        cwd=folder,
        env=env,
        umask=0o077,
        prefix=_as_another_user(everybodys),
    )
    assert done.told["digest"] == first[0]["digest"]


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that other users reach, as pytest's own aren't."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _as_another_user(folder: Path) -> tuple[str, ...]:
    """As root: a user without rights, but for reading, so that Python may lie in a home folder."""
    if os.geteuid() != 0:
        return ()
    for path in [*folder.rglob("*"), folder]:
        os.chown(path, 65534, 65534)
    return (
        *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    )


def test_a_retrain_changes_the_last_layer_alone_and_takes_little_time(
    first: tuple[dict[str, Any], Path], build: Build, retrained: Path
) -> None:
    started = time.monotonic()
    [image] = build("--json", of=retrained).told["images"]
    seconds = time.monotonic() - started
    [before] = first[0]["images"]
    assert image["layers"][:-1] == before["layers"][:-1]
    assert image["layers"][-1] != before["layers"][-1]
    assert seconds < 20  # 1.2 on a machine that does nothing else


# ------------------------------------------------------------------------------------------------------ what is inside


def test_settings_are_those_of_a_locked_container(saved: Saved) -> None:
    config = saved.config["config"]
    python = config["Entrypoint"][0]
    assert config["Entrypoint"] == [python, "-m", "onnxport.container"]
    assert config["Healthcheck"]["Test"] == ["CMD", *config["Entrypoint"], "health"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert "Cmd" not in config
    env = dict(entry.split("=", 1) for entry in config["Env"])
    assert env["ORT_DISABLE_TELEMETRY"] == "1"
    assert env["HOME"] == "/tmp"
    assert env["PYTHONDONTWRITEBYTECODE"] == "1"
    assert saved.tags == ("iris:1",)


def test_labels_tell_the_model_and_all_that_decides_on_the_bytes(saved: Saved, model: Path) -> None:
    from onnxport.modelfile import read_model_file

    file = read_model_file(model)
    labels = saved.config["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == file.manifest.name
    assert labels["org.opencontainers.image.version"] == file.manifest.version
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert labels["io.onnxport.model.digest"] == f"sha256:{file.digest}"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", labels["io.onnxport.model.signature"])
    assert re.fullmatch(
        r"passed: \d+ rows on onnxruntime [\d.]+", labels["io.onnxport.model.selftest"]
    )
    assert labels["io.onnxport.build.zlib"] == ZLIB_VERSION
    assert labels["io.onnxport.build.python"].count(".") == 2
    assert labels["io.onnxport.version"]


def test_files_belong_to_root_and_anybody_may_read_them(saved: Saved) -> None:
    for layer in range(1, 4):
        for member in saved.members(layer):
            assert (member.uid, member.gid, member.mtime) == (0, 0, 0)
            assert member.mode == (0o755 if member.isdir() else 0o644)
            assert member.name == "app" or member.name.startswith("app/")


def test_the_last_layer_is_the_model_and_the_list_of_contents(
    first: tuple[dict[str, Any], Path], saved: Saved, unpacked: Path, model: Path
) -> None:
    files = {member.name for member in saved.members(-1) if member.isfile()}
    [name] = files - {"app/sbom.cdx.json"}
    assert re.fullmatch(r"app/model/[\w.-]+\.onnx", name)
    assert (unpacked / name).read_bytes() == model.read_bytes()
    beside = first[1].with_name("format-1.1.cdx.json")
    assert (unpacked / "app/sbom.cdx.json").read_bytes() == beside.read_bytes()


def test_nothing_trains_installs_or_compiles(unpacked: Path) -> None:
    names = {path.name.lower() for path in unpacked.rglob("*")}
    tops = {path.name.partition("-")[0] for path in (unpacked / "app" / "site").iterdir()}
    unwanted = {"pip", "sh", "bash", "gcc", "cc", "apt", "ensurepip", "tests"}
    assert not names & unwanted
    assert not tops & {"sklearn", "scikit_learn", "onnx", "pandas", "boto3", "botocore", "scipy"}
    assert not [name for name in names if name.endswith(".whl")]
    ours = {path.name for path in (unpacked / "app" / "onnxport-site" / "onnxport").iterdir()}
    assert not ours & {"bench", "deploy", "export", "image"}


def test_no_path_of_this_machine_is_in_it(saved: Saved, root: Path, image_cache: Path) -> None:
    for layer in saved.layers[1:]:
        assert str(root).encode() not in layer
        assert str(image_cache).encode() not in layer


# ------------------------------------------------------------------------------------------------------- and it runs


@pytest.fixture
def running(saved: Saved, unpacked: Path) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """The image's own entry point in its own root, as its own user: process, URL, seconds until it was ready."""
    programs.root("to change the root folder")
    port = _free_port()
    started = time.monotonic()
    process = subprocess.Popen(
        _in_its_root(saved, unpacked),
        env=_env(saved, PORT=str(port)),
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _is_ready(url):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        yield process, url, time.monotonic() - started
    finally:
        process.kill()
        process.communicate()


def _in_its_root(saved: Saved, root: Path, *words: str, user: str = "10001:10001") -> list[str]:
    return [
        programs.program("chroot", package="coreutils"),
        f"--userspec={user}",
        str(root),
        *saved.config["config"]["Entrypoint"],
        *words,
    ]


def _env(saved: Saved, **more: str) -> dict[str, str]:
    return {**dict(e.split("=", 1) for e in saved.config["config"]["Env"]), **more}


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_it_answers_soon_and_ends_with_0(
    running: tuple[subprocess.Popen[str], str, float], saved: Saved, unpacked: Path, model: Path
) -> None:
    process, url, seconds = running
    assert seconds < 10  # 0.4 on a machine that does nothing else
    assert check_url(url, model).passed
    health = _in_its_root(saved, unpacked, "health", user="4242:4242")
    env = _env(saved, PORT=url.rpartition(":")[2])
    assert subprocess.run(health, env=env, check=False, timeout=30).returncode == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("inspect", "MODEL"), 0, "self-test rows"),
        (("check", "MODEL"), 0, "passed"),
        (("bench", "http://127.0.0.1:9"), 1, "run this on the machine where models are made"),
    ],
    ids=["inspect", "check", "bench"],
)
def test_commands_about_the_model_run_in_it(
    saved: Saved, unpacked: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    programs.root("to change the root folder")
    [model] = (unpacked / "app" / "model").iterdir()
    command = _in_its_root(saved, unpacked)[:-1]
    given = [f"/app/model/{model.name}" if word == "MODEL" else word for word in words]
    done = subprocess.run(
        [*command, "onnxport", *given],
        env=_env(saved),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert told in done.stdout + done.stderr


def test_every_module_was_compiled(saved: Saved, unpacked: Path) -> None:
    programs.root("to change the root folder")
    command = _in_its_root(saved, unpacked, "check")
    command[-3:-3] = ["-v"]  # Python tells where each module comes from
    done = subprocess.run(
        command, env=_env(saved), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert "self-test passed" in done.stderr
    assert re.findall(r"# code object from '[^']+\.py'", done.stderr) == []
    assert done.stderr.count(".pyc'") > 200


# -------------------------------------------------------------------------------------- other platforms and registries


def test_two_platforms_are_pushed_as_one_name(build: Build, tmp_path: Path, registry: str) -> None:
    """On made-up bases, since nothing of theirs runs here: no emulation is needed."""
    base = f"{registry}/made-up/base:1"
    _publish(base, tmp_path)
    name = f"{registry}/iris:1"
    told = build(
        "--platform", "linux/amd64,linux/arm64", "--push", name, "--json", "--base", base, base=None
    ).told
    assert [image["platform"] for image in told["images"]] == ["linux/amd64", "linux/arm64"]
    assert told["pushed"] == name
    assert any("linux/arm64: libonnxruntime.so" in note for note in told["notes"])
    answer = httpx.get(
        f"http://{registry}/v2/iris/manifests/1",
        headers={"Accept": "application/vnd.docker.distribution.manifest.list.v2+json"},
    )
    assert answer.headers["Docker-Content-Digest"] == told["digest"]
    again = build(
        "--platform", "linux/amd64,linux/arm64", "--push", name, "--json", "--base", base, base=None
    )
    assert again.told["digest"] == told["digest"]


def _publish(name: str, folder: Path) -> None:
    from onnxport.image.archive import read_archive
    from onnxport.image.layers import compress
    from onnxport.image.manifests import parse_config
    from onnxport.image.parts import Image
    from onnxport.image.reference import parse_reference
    from onnxport.image.registry import Registry
    from onnxport.image.store import Store

    images = []
    for architecture in ("amd64", "arm64"):
        [one] = read_archive(bases.ready(folder / f"{architecture}.tar", architecture))
        with one.layers[0].open() as tar:
            layer = compress(Store(folder / "store"), "base", tar, 0)
        images.append(Image(parse_config(one.config).platform, one.config, (layer,)))
    reference = parse_reference(name)
    with Registry(reference.registry) as registry:
        registry.push(images, reference)


def test_a_base_with_another_python_gets_its_wheels_and_a_warning(
    build: Build, tmp_path: Path
) -> None:
    base = bases.ready(tmp_path / "base.tar", version="3.13.1")
    done = build("--json", "--output", "x.tar", base=base)
    [warning] = done.told["warnings"]
    assert "nothing in the image is compiled" in warning
    image = building.read(tmp_path / "x.tar")
    names = [member.name for member in image.members(1)]
    assert [name for name in names if name.endswith(".cpython-313-x86_64-linux-gnu.so")]
    assert not [name for name in names if name.endswith(".pyc")]


def test_pip_of_the_base_is_hidden(build: Build, tmp_path: Path) -> None:
    site = "usr/lib/python3.11/site-packages"
    contents = bases.files() | {f"{site}/pip/__init__.py": b"", "usr/bin/pip3": b""}
    base = bases.save(tmp_path / "base.tar", [bases.layer(contents)])
    assert build("--output", "x.tar", base=base).code == 0
    names = {member.name for member in building.read(tmp_path / "x.tar").members(1)}
    assert {f"{site}/.wh.pip", "usr/bin/.wh.pip3"} <= names


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "Iris:1",
        "iris:",
        "iris:1\nRUN id",
        "iris:$(id)",
        "../iris",
        "-rf",
        "íris",
        "a" * 10_000,
        "iris:1 x",
    ],
    ids=range(10),
)
def test_a_tag_that_is_none_is_wrong_usage(build: Build, tmp_path: Path, tag: str) -> None:
    done = build(f"--tag={tag}")
    assert done.code == 2
    assert len(done.sentence) < 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "label", ["x", "=x", "A=1", "a b=1", "a=1\nb", "a=\x1b[31m", "a=" + "x" * 5000]
)
def test_a_label_that_is_none_is_wrong_usage(build: Build, tmp_path: Path, label: str) -> None:
    assert build(f"--label={label}").code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_label_of_the_user_is_kept_as_it_is(build: Build, tmp_path: Path) -> None:
    text = "$(id) `id` \"quoted\" 'too' Größe 花 {{x}} \\n"
    assert build("--output", "x.tar", "--label", f"org.example.note={text}").code == 0
    assert building.read(tmp_path / "x.tar").config["config"]["Labels"]["org.example.note"] == text


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--platform", "linux/amd64,linux/arm64"), 2, "a file takes the image of one --platform"),
        (("--platform", "windows/amd64"), 2, "no platform"),
        (("--platform", "linux/arm64"), 1, "is for linux/amd64"),
        (("--base", "nowhere.tar"), 1, "there is no such file"),
        (("--base", "$(id):1"), 1, "no image name"),
        (("--base", ""), 1, "no image name"),
        (("--output", "nowhere/x.tar"), 1, "nowhere"),
        (("--output", ""), 2, "no file's name"),
        (("--sbom", "nowhere/x.json"), 1, "nowhere"),
        (("--output", "x.tar", "--sbom", "./x.tar"), 2, "over the image"),
        (("--registry-user", "anna", "--push", "127.0.0.1:9/x:1"), 2, "from stdin"),
        (("--registry-user", "anna"), 2, "goes with --push"),
        (("--label", "io.onnxport.model.digest=sha256:0"), 2, "where the image comes from"),
        (("--label", "org.opencontainers.image.base.digest=x"), 2, "take another key"),
    ],
)
def test_what_cant_be_is_told_in_a_sentence(
    build: Build, tmp_path: Path, options: tuple[str, ...], code: int, told: str
) -> None:
    done = build(*options)
    assert (done.code, done.stdout) == (code, "")
    assert told in done.sentence
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_pushed_whose_files_cant_be_written(
    build: Build, tmp_path: Path, registry: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = build("--push", f"{registry}/unfinished:1", "--sbom", "pipe")
    assert done.code == 1
    assert "--sbom 'pipe' is no file that can be replaced" in done.sentence
    assert httpx.get(f"http://{registry}/v2/unfinished/manifests/1").status_code == 404


@pytest.mark.parametrize("option", ["--output", "--sbom"])
def test_no_model_is_written_over(build: Build, tmp_path: Path, model: Path, option: str) -> None:
    copy = Path(shutil.copy(model, tmp_path / "iris.onnx"))
    (tmp_path / "link").symlink_to(copy)
    done = build(option, "link", of=copy)
    assert done.code == 2
    assert f"give another file with {option}" in done.sentence
    assert copy.read_bytes() == model.read_bytes()


def test_a_file_called_as_the_image_would_be_isnt_written_over(
    build: Build, tmp_path: Path, model: Path, slim_base: Path
) -> None:
    copy = Path(shutil.copy(model, tmp_path / "iris.tar"))
    assert "over the model" in build(of=copy).sentence
    assert copy.read_bytes() == model.read_bytes()
    copy = Path(shutil.copy(model, tmp_path / "base.onnx"))
    base = Path(shutil.copy(slim_base, tmp_path / "base.tar"))
    assert "over the base" in build(of=copy, base=base).sentence
    assert base.stat().st_size == slim_base.stat().st_size


def test_a_model_that_fails_its_self_test_is_refused(
    build: Build, tmp_path: Path, model: Path
) -> None:
    from onnxport.modelfile import seal

    content = model.read_bytes()
    changed = re.sub(rb'("proba":\[\[0\.)\d', rb"\g<1>9", content, count=1)
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(seal(changed))
    done = build(of=wrong)
    assert done.code == 1
    assert "self-test" in done.sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.onnx"]


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_what_is_no_model_file_is_refused(build: Build, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    done = build(of=path)
    assert done.code == 1
    assert "x.onnx: " in done.sentence
