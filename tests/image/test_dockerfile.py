"""The rendered Dockerfile: what it holds, what it refuses, and that real builders read every text as it was."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxport.errors import BuildError
from onnxport.image.dockerfile import Part, Recipe, render, write_context
from onnxport.image.engine import Engine
from onnxport.image.layers import Entry
from onnxport.image.parts import Platform
from tests.image.conftest import BASE

CONFIG: dict[str, Any] = {
    "Env": ["HOME=/tmp", "PYTHONPATH=/app/site:/app/onnxport-site"],
    "User": "10001:10001",
    "ExposedPorts": {"8080/tcp": {}},
    "StopSignal": "SIGTERM",
    "Healthcheck": {
        "Test": ["CMD", "python3", "-m", "onnxport.container", "health"],
        "Interval": 30_000_000_000,
        "Timeout": 3_000_000_000,
    },
    "Entrypoint": ["python3", "-m", "onnxport.container"],
    "Labels": {"org.opencontainers.image.title": "iris"},
}
PARTS = (
    Part("libraries", (Entry("app/site/numpy.py", b"x = 1\n"),)),
    Part("model", (Entry("app/model/iris.onnx", b"not yet"),)),
)
HOSTILE = {
    "command": "$(touch /tmp/x) `id` ; rm -rf / && true | cat > y",
    "variable": "$HOME ${HOME} ${HOME:-x} $$ \\$HOME",
    "quotes": 'a "b" \'c\' \\" \\\\" "',
    "backslashes": "\\ \\\\ \\n \\t ends with \\",
    "comment": "# no comment",
    "instruction": "x RUN id USER root <<EOF EOF --chown=1",
    "json": '["a", {"b": 1}]',
    "equals": "a=b c=d  e",
    "spaces": "  two at each end  ",
    "unicode": "Größe 花 👩‍👩‍👧 \u202eevil\u202c e\u0301",
    "long": "0123456789" * 1000 + "$" * 240,
    "empty": "",
}
UNHELD = ["a\nRUN id", "a\rb", "a\x00b", "a\x1b[31mb", "a\u2028b", "a\u2029b", "a\x85b", "a\ud800b"]


def recipe(**config: Any) -> Recipe:
    return Recipe(BASE, {**CONFIG, **config}, PARTS)


def test_it_needs_no_network_no_shell_and_no_other_image() -> None:
    lines = render(recipe()).splitlines()
    words = [line.split()[0] for line in lines if not line.startswith("#")]
    assert [f"ARG BASE={BASE}", "FROM ${BASE}"] == lines[3:5]
    assert "RUN" not in words
    assert words.count("FROM") == 1
    assert 'COPY ["libraries/", "/"]' in lines
    assert 'ENTRYPOINT ["python3", "-m", "onnxport.container"]' in lines
    assert (
        'HEALTHCHECK --interval=30s --timeout=3s CMD ["python3", "-m", "onnxport.container", "health"]'
        in lines
    )


def test_the_layer_that_changes_most_comes_last() -> None:
    copied = re.findall(r'^COPY \["([a-z]+)/"', render(recipe()), re.MULTILINE)
    assert copied == ["libraries", "model"]


@pytest.mark.parametrize("builder", ["docker", "buildkit", "podman"])
def test_builders_read_every_text_as_it_was(
    builder: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = _engine(builder, request, monkeypatch)
    labels = {f"text.{name}": text for name, text in HOSTILE.items()}
    variables = [f"TEXT_{name.upper()}={text}" for name, text in HOSTILE.items()]
    entrypoint = ["python3", "-c", "import os, sys; print(sys.argv)", *HOSTILE.values()]
    write_context(recipe(Labels=labels, Env=variables, Entrypoint=entrypoint), tmp_path / "context")

    image = engine.build(tmp_path / "context", base=BASE, platform=Platform("amd64"))

    config = engine.configuration(image)
    assert {name: config["Labels"][name] for name in labels} == labels
    assert set(variables) <= set(config["Env"])
    assert config["Entrypoint"] == entrypoint
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"] == CONFIG["Healthcheck"]["Test"]


def _engine(
    builder: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    if builder == "podman":
        found: Engine = request.getfixturevalue("on_podman")
        return found
    found = request.getfixturevalue("on_docker")
    if builder == "docker":
        return found
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    return Engine("docker", "/usr/bin/docker", found.platform)  # Debian's, which speaks BuildKit


@pytest.mark.parametrize("text", UNHELD)
@pytest.mark.parametrize("place", ["label", "variable"])
def test_a_text_that_no_dockerfile_holds_is_refused(text: str, place: str) -> None:
    config = {"Labels": {"a": text}} if place == "label" else {"Env": [f"A={text}"]}
    with pytest.raises(BuildError, match="line break or another control character"):
        render(recipe(**config))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"Labels": {"a b": "x"}}, "'a b' can't stand"),
        ({"Labels": {"a\nRUN": "x"}}, "can't stand"),
        ({"Labels": {"a": "x" * 70_000}}, "shorten the text"),
        ({"Env": ["A B=x"]}, "can't stand"),
        ({"User": "root\nRUN id"}, "can't stand"),
        ({"User": "$(id)"}, "can't stand"),
        ({"ExposedPorts": {"8080/tcp RUN": {}}}, "can't stand"),
        ({"StopSignal": "TERM\n"}, "can't stand"),
        ({"WorkingDir": "/a b"}, "can't stand"),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "id"]}}, "needs a shell"),
    ],
)
def test_hostile_words_are_refused(config: dict[str, Any], what: str) -> None:
    with pytest.raises(BuildError, match=re.escape(what)):
        render(recipe(**config))


@pytest.mark.parametrize("base", ["a b", "a\nRUN id", "--help", "$(id)", "${HOME}", "a" * 10_000])
def test_a_base_that_is_no_name_is_refused(base: str) -> None:
    with pytest.raises(BuildError, match="is no image name"):
        render(Recipe(base, CONFIG, PARTS))


@given(st.text(), st.text())
def test_no_text_becomes_an_instruction(label: str, variable: str) -> None:
    plain = render(recipe(Labels={"a": "x"}, Env=["B=x"])).splitlines()
    try:
        lines = render(recipe(Labels={"a": label}, Env=[f"B={variable}"])).splitlines()
    except BuildError:
        return
    assert [line.partition("=")[0] for line in lines] == [line.partition("=")[0] for line in plain]


def test_the_context_depends_on_no_umask(tmp_path: Path) -> None:
    for mask, name in ((0o077, "a"), (0o002, "b")):
        before = os.umask(mask)
        try:
            write_context(recipe(), tmp_path / name)
        finally:
            os.umask(before)
    assert _listing(tmp_path / "a") == _listing(tmp_path / "b")
    assert "app/site/numpy.py" in " ".join(_listing(tmp_path / "a"))


def _listing(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.stat().st_mode),
            path.stat().st_mtime,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def test_an_older_context_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "context"
    write_context(recipe(), folder)
    (folder / "left-over").write_text("x")
    write_context(Recipe(BASE, CONFIG, PARTS[:1]), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["Dockerfile", "libraries"]
    assert [path.name for path in tmp_path.iterdir()] == ["context"]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(BuildError, match="holds other files, which a build context would replace"):
        write_context(recipe(), tmp_path)
    with pytest.raises(BuildError, match="is no folder"):
        write_context(recipe(), tmp_path / "Dockerfile")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(BuildError, match="is no folder"):
        write_context(recipe(), tmp_path / "link")
    assert (tmp_path / "Dockerfile").read_text() == "FROM scratch\n"


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "app/../../x"])
def test_no_file_leads_out_of_the_context(name: str, tmp_path: Path) -> None:
    part = Part("model", (Entry(name, b"x"),))
    with pytest.raises(BuildError, match="leads out of the build context"):
        write_context(Recipe(BASE, CONFIG, (part,)), tmp_path / "context")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_nothing_behind(small_disk: Path) -> None:
    part = Part("model", (Entry("app/model/big.onnx", b"x" * 2_000_000),))
    with pytest.raises(BuildError, match=r"can't be written \(No space left on device\)"):
        write_context(Recipe(BASE, CONFIG, (part,)), small_disk / "context")
    assert list(small_disk.iterdir()) == []
    write_context(recipe(), small_disk / "context")
    assert (small_disk / "context" / "Dockerfile").is_file()


def test_pip_of_the_base_is_gone_whoever_its_user_is(on_docker: Engine, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "Dockerfile").write_text(
        f"FROM {BASE}\nCOPY Dockerfile /usr/lib/python3/dist-packages/pip/__init__.py\n"
        "COPY Dockerfile /usr/bin/pip3\nUSER 65532\n"
    )
    base = on_docker.build(tmp_path / "base", base=BASE, platform=Platform("amd64"))
    on_docker.tag(base, "localhost/onnxport-test/with-pip:1")
    gone = ("usr/lib/python3/dist-packages/pip", "usr/bin/pip3")
    write_context(
        replace(recipe(Entrypoint=["python3", "-c", ""]), removed=(*gone, "not/there")),
        tmp_path / "context",
    )

    image = on_docker.build(
        tmp_path / "context", base="localhost/onnxport-test/with-pip:1", platform=Platform("amd64")
    )

    looks = "import os, sys; print([os.path.exists(p) for p in sys.argv[1:]], os.getuid())"
    places = [f"/{path}" for path in gone]
    words = ["run", "--rm", "--entrypoint", "python3", image, "-c", looks, *places]
    assert on_docker.call(*words) == "[False, False] 10001"
    assert on_docker.call(*words[:4], base, *words[5:]) == "[True, True] 65532"
