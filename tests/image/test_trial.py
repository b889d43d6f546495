"""`--check` on images that are right, and on images that are wrong in each of the ways that it looks for."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from onnxport.errors import BuildError
from onnxport.image import proofs
from onnxport.image.complaints import Ended
from onnxport.image.engine import Engine
from onnxport.image.leaks import leaks_of_layer, leaks_of_text, leaks_of_variables
from onnxport.image.parts import Platform
from onnxport.image.running import Confinement, started
from onnxport.image.trial import Trial, runnable, try_image
from tests.image import building
from tests.image.conftest import BASE
from tests.image.made import tar

# In parts, so that no scanner takes this file for what it describes.
PRIVATE_KEY = "-----BEGIN PRIVATE" + " KEY-----\n" + "MIIEvQIBADANBgkq" * 4 + "\n"
AWS_KEY = "AKIA" + "ABCDEFGHIJKLMNOP"

# A server whose main process doesn't pass on SIGTERM, and which keeps notes.
STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open('/var/tmp/notes', 'w').close()
subprocess.run([sys.executable, '-m', 'onnxport.container'])
"""
# The same, where it may not write.
CAREFUL = STUBBORN.replace("open(", "import os; os.access('/var/tmp', os.W_OK) and open(")


@pytest.fixture(scope="module")
def model(root: Path) -> Path:
    return root / "tests" / "fixtures" / "format-1.2.onnx"


@pytest.fixture
def image(
    on_docker: Engine, model: Path, slim_base: Path, image_cache: Path, tmp_path: Path
) -> str:
    """An image in Docker, as the command builds it."""
    name = "localhost/onnxport-test/tried:1"
    if not on_docker.has(name):
        words = ("--base", slim_base, "-t", name, "--output", "tried.tar")
        done = building.build(model, *words, cache=image_cache, cwd=tmp_path)
        assert done.code == 0, done.stderr
        on_docker.load(tmp_path / "tried.tar")
    return name


def derived(engine: Engine, image: str, folder: Path, *instructions: str) -> str:
    """An image that somebody has made of ours."""
    (folder / "Dockerfile").write_text(
        "\n".join(["ARG BASE", "FROM ${BASE}", *instructions]), "utf-8"
    )
    return engine.build(folder, base=image, platform=engine.platform)


def failures(trial: Trial) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for result in trial.results:
        if result.verdict == "failure":
            found.setdefault(result.check, []).append(result.text)
    return found


def silent(_: str) -> None:
    pass


def test_a_good_image_passes_every_check(on_docker: Engine, image: str, model: Path) -> None:
    told: list[str] = []
    trial = try_image(on_docker, image, model, told.append)
    assert failures(trial) == {}
    assert trial.passed
    checks = {result.check for result in trial.results}
    assert checks == {"P07", "P08", "P09", "P10", "P11", "P12", "P18", "rows", "size"}
    assert told[0] == "running the image without any rights"
    assert list(trial.lines())[-1] == "passed"
    assert json.loads(json.dumps(trial.to_json()))["passed"] is True
    assert "onnxport-trial" not in on_docker.call("ps", "--all", "--format", "{{.Names}}")


def test_every_fault_of_an_image_is_told(
    on_docker: Engine, image: str, tmp_path: Path, root: Path
) -> None:
    (tmp_path / "server.pem").write_text(PRIVATE_KEY)
    (tmp_path / ".netrc").write_text("machine example.com login a password b")
    wrong = derived(
        on_docker,
        image,
        tmp_path,
        'COPY ["server.pem", ".netrc", "/app/"]',
        "ENV ONNXPORT_KEEP_ALIVE=5 ORT_DISABLE_TELEMETRY=0 DB_PASSWORD=hunter2",
        "USER root",
        "EXPOSE 9090",
        "HEALTHCHECK NONE",
        f"ENTRYPOINT {json.dumps(['python3', '-c', CAREFUL])}",
    )
    another = root / "tests" / "fixtures" / "format-1.1.onnx"

    trial = try_image(on_docker, wrong, another, silent)

    assert not trial.passed
    assert list(trial.lines())[-1] == "failed"
    found = failures(trial)
    assert found.keys() == {"P08", "P09", "P10", "P11", "P12", "P18", "rows"}
    assert found["P08"] == ["listens on 8080/tcp, and exposes 8080/tcp, 9090/tcp"]
    assert found["P09"] == ["the image has no HEALTHCHECK that runs without a shell"]
    assert found["P10"][0].startswith("after SIGTERM it ended with exit code 137")
    assert "its user is root; Kubernetes' runAsNonRoot wants a number above 0" in found["P11"]
    assert "writes /var/tmp/notes" in found["P11"]
    assert found["P12"][0].startswith("it hangs up on a connection that was idle for 6 s")
    assert found["rows"][0].startswith(
        "the answers differ from the model file's: it serves another"
    )
    assert "ONNX Runtime's telemetry isn't off; set ORT_DISABLE_TELEMETRY=1" in found["P18"]
    leaks = "; ".join(found["P18"])
    assert "the variable DB_PASSWORD is set in the image" in leaks
    assert "/app/server.pem holds a private key" in leaks
    assert "/app/.netrc is a file for secrets" in leaks
    assert "hunter2" not in leaks
    on_docker.forget(wrong)


@pytest.mark.parametrize(
    ("instruction", "told"),
    [
        ("ENV ONNXPORT_HOST=127.0.0.1", "the server inside is ready, and can't be reached"),
        ("ENV ONNXPORT_PORT=9000", "the server inside is ready, and can't be reached"),
        ("ENV ONNXPORT_MODEL=/nowhere", "the container has ended by itself: onnxport: "),
    ],
)
def test_an_image_that_cannot_be_reached(
    on_docker: Engine, image: str, model: Path, tmp_path: Path, instruction: str, told: str
) -> None:
    wrong = derived(on_docker, image, tmp_path, instruction)
    config = on_docker.configuration(wrong)
    with pytest.raises(Ended, match=f"^{told}"):
        list(proofs.locked(on_docker, wrong, config, model, lambda: None))
    on_docker.forget(wrong)


@pytest.mark.parametrize(("code", "verdict"), [(0, "ok"), (3, "failure")])
def test_only_exit_code_0_is_an_orderly_end(
    on_docker: Engine, tmp_path: Path, code: int, verdict: str
) -> None:
    program = (
        f"import signal, sys; signal.signal(15, lambda *_: sys.exit({code})); "
        "print(1, flush=True); signal.pause()"
    )
    entrypoint = f"ENTRYPOINT {json.dumps(['python3', '-c', program])}"
    image = derived(on_docker, BASE, tmp_path, "EXPOSE 8080", entrypoint)
    with started(on_docker, image, Confinement(8080)) as container:
        while "1" not in container.log:
            container.check_running()
        result = proofs._ending(container)
    assert result.verdict == verdict
    assert f"exit code {code}" in result.text


def test_an_engine_that_cannot_run_it() -> None:
    engine = Engine("docker", "docker", Platform("amd64"))
    assert runnable(engine, (Platform("arm64"), Platform("amd64"))) == 1
    with pytest.raises(
        BuildError, match=r"^docker runs linux/amd64, and the image is for linux/arm64: it can't"
    ):
        runnable(engine, (Platform("arm64"),))


@pytest.mark.parametrize(
    "host", ["ssh://me@example.com", "tcp://10.0.0.1:2375", "tcp://docker:2375"]
)
def test_an_engine_on_another_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("docker", "docker", Platform("amd64"))
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(BuildError, match=f"^docker runs on another machine \\({host}\\)"):
        runnable(engine, (engine.platform,))
    for here in ("unix:///run/docker.sock", "tcp://127.0.0.1:2375", ""):
        monkeypatch.setenv("DOCKER_HOST", here)
        assert runnable(engine, (engine.platform,)) == 0


# ------------------------------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "variable",
    ["API_KEY=x", "aws_secret_access_key=x", "GITHUB_TOKEN=x", "PGPASSWORD=x", f"A={AWS_KEY}"],
)
def test_a_variable_that_looks_like_a_secret(variable: str) -> None:
    name = variable.partition("=")[0]
    assert list(leaks_of_variables(["PATH=/bin", variable])) == [
        f"the variable {name} is set in the image"
    ]


@pytest.mark.parametrize(
    "variable",
    ["GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D", "ONNXPORT_KEEP_ALIVE=75", "API_KEY="],
)
def test_a_variable_that_is_none(variable: str) -> None:
    assert list(leaks_of_variables([variable])) == []


def test_secrets_in_files_are_found_across_pieces_and_told_without_their_values() -> None:
    far = b"x" * ((1 << 22) - 10)
    layer = tar(
        {
            "app/far.bin": far + AWS_KEY.encode(),
            "app/key.pem": PRIVATE_KEY.encode(),
            "app/.aws/credentials": b"[default]",
            "app/onnxport.txt": b"onnxport_" + b"0123456789abcdef" * 3,
            "app/plain.py": b"KEY = 'AKIA' + name  # -----BEGIN PRIVATE KEY----- is how a key begins",
        }
    )
    assert sorted(leaks_of_layer(io.BytesIO(layer))) == [
        "/app/.aws/credentials is a file for secrets",
        "/app/far.bin holds an AWS access key",
        "/app/key.pem holds a private key",
        "/app/onnxport.txt holds an onnxport API key",
    ]


def test_secrets_in_the_history_are_found() -> None:
    history = json.dumps({"history": [{"created_by": f"ARG TOKEN={AWS_KEY}"}]}).encode()
    assert list(leaks_of_text(history, "the configuration")) == [
        "the configuration holds an AWS access key"
    ]
