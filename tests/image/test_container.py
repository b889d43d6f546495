"""What the image runs, tried without an image: ports, models, health, signals, and errors in a sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from onnxport.container import container_settings, find_model
from onnxport.errors import ModelFileError, SettingsError
from tests.serving import ServerProcess

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


@pytest.fixture(scope="module")
def model(root: Path) -> Path:
    return root / "tests" / "fixtures" / "format-1.2.onnx"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, **more}


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onnxport.container", *words]
    return subprocess.run(
        command,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Container(ServerProcess):
    """The entry point in a process of its own."""

    def __init__(self, *words: str, **variables: str) -> None:
        super().__init__(*words, module="onnxport.container", env=environment(**variables))

    def __enter__(self) -> Container:
        return self


@pytest.mark.parametrize("words", [(), ("serve",)], ids=["alone", "as SageMaker starts it"])
def test_it_serves_on_every_address_at_the_port_it_is_told(
    model: Path, port: int, words: tuple[str, ...]
) -> None:
    with Container(*words, PORT=str(port), ONNXPORT_MODEL=str(model)) as container:
        assert container.url == f"http://0.0.0.0:{port}"
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/health/ready").status_code == 200
        assert httpx.get(f"{url}/ping").status_code == 200
        assert run("health", PORT=str(port)).returncode == 0
        assert container.log.count("WHOEVER REACHES THIS ADDRESS MAY CALL THE API") == 1


def test_health_is_told_by_the_exit_code_alone(model: Path, port: int) -> None:
    gone = run("health", PORT=str(port))
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith(f"onnxport: no answer on port {port}")
    assert run("health", PORT="none").returncode == 1  # Docker reserves 2
    hosts = {"ONNXPORT_HOSTS": "*.example.com, iris.example.com"}
    with Container(PORT=str(port), ONNXPORT_MODEL=str(model), **hosts) as container:
        assert container.url
        assert run("health", PORT=str(port), **hosts).returncode == 0


def test_check_replays_the_self_test(model: Path, tmp_path: Path) -> None:
    fine = run("check", ONNXPORT_MODEL=str(model))
    assert fine.returncode == 0
    assert "self-test passed" in fine.stderr
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(model.read_bytes()[:-9] + b"123456789")
    failed = run("check", ONNXPORT_MODEL=str(damaged))
    assert failed.returncode == 1
    assert failed.stderr.startswith("onnxport: damaged.onnx: ")
    assert len(failed.stderr.splitlines()) == 1


def test_a_signal_before_anything_listens_ends_it_with_0(model: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "onnxport.container"],
        env=environment(PORT="8080", ONNXPORT_MODEL=str(model)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if (
            line.endswith("| numpy.version\n") or "numpy.exceptions" in line
        ):  # in the middle of imports
            break
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("words", "variables", "code", "told"),
    [
        (("train",), {}, 2, "'train' is no command of this image"),
        (("serve", "--port=1"), {}, 2, "takes serve, health or check"),
        ((), {"PORT": "http"}, 2, "PORT is 'http', and must be a port"),
        ((), {"PORT": "70000"}, 2, "PORT is '70000'"),
        ((), {"AIP_HTTP_PORT": "0"}, 2, "AIP_HTTP_PORT is '0'"),
        ((), {"ONNXPORT_WORKRES": "2"}, 2, "did you mean ONNXPORT_WORKERS"),
        (
            (),
            {"ONNXPORT_MODEL": "/nowhere/iris.onnx"},
            1,
            "is /nowhere/iris.onnx, and nothing is there",
        ),
        ((), {}, 1, "there is no model file in /opt/ml/model, /mnt/models, /app/model"),
    ],
)
def test_an_error_is_a_sentence(
    words: tuple[str, ...], variables: Mapping[str, str], code: int, told: str
) -> None:
    done = run(*words, **variables)
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("onnxport: ")
    assert told in done.stderr


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        ({}, 8080),
        ({"PORT": "9000"}, 9000),
        ({"AIP_HTTP_PORT": "7080", "AIP_HEALTH_ROUTE": "/health"}, 7080),
        ({"SAGEMAKER_BIND_TO_PORT": "8081"}, 8081),
        ({"AWS_LWA_PORT": "8082"}, 8082),
        ({"ONNXPORT_PORT": "9001", "PORT": "9000"}, 9001),
        ({"PORT": ""}, 8080),
        ({"ONNXPORT_PORT": "tcp://10.0.0.7:80", "ONNXPORT_PORT_80_TCP_ADDR": "10.0.0.7"}, 8080),
    ],
)
def test_platforms_say_the_port(variables: dict[str, str], port: int) -> None:
    settings = container_settings(variables)
    assert settings.port == port
    assert (settings.host, settings.insecure) == ("0.0.0.0", True)


def test_settings_win_over_what_containers_assume() -> None:
    settings = container_settings(
        {"ONNXPORT_HOST": "127.0.0.1", "ONNXPORT_INSECURE": "no", "ONNXPORT_WORKERS": "2"}
    )
    assert (settings.host, settings.insecure, settings.workers) == ("127.0.0.1", False, 2)
    with pytest.raises(SettingsError, match="ONNXPORT_WORKERS"):
        container_settings({"ONNXPORT_WORKERS": "0"})


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["iris.onnx"], "iris.onnx"),
        (["1/iris.onnx"], "1/iris.onnx"),
        (["iris.onnx", "old/iris.onnx"], "iris.onnx"),
        (["iris.onnx", "..data/iris.onnx", ".hidden.onnx", "notes.txt"], "iris.onnx"),
    ],
)
def test_a_folder_leads_to_its_model(tmp_path: Path, names: list[str], found: str) -> None:
    folder = put(tmp_path, *names)
    assert find_model({"ONNXPORT_MODEL": str(folder)}) == folder / found
    assert find_model({"AZUREML_MODEL_DIR": str(folder)}) == folder / found


@pytest.mark.parametrize("place", ["locked", "locked/iris.onnx"])
@pytest.mark.parametrize("named", ["locked", "locked/iris.onnx"])
def test_what_may_not_be_read_is_told_of(tmp_path: Path, place: str, named: str) -> None:
    put(tmp_path / "locked", "iris.onnx")
    locked = tmp_path / place
    locked.chmod(0o000)
    privileges = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [
        *(privileges if os.geteuid() == 0 else []),
        sys.executable,
        "-m",
        "onnxport.container",
    ]
    done = subprocess.run(
        command,
        env=environment(ONNXPORT_MODEL=str(tmp_path / named)),
        capture_output=True,
        text=True,
        check=False,
    )
    locked.chmod(0o755)
    assert done.returncode == 1
    assert f"can't be read by user {os.getuid()}; let others read it" in done.stderr


def test_two_models_arent_chosen_between(tmp_path: Path) -> None:
    folder = put(tmp_path, "a.onnx", "b.onnx")
    with pytest.raises(ModelFileError, match=r"holds 2 model files \(a.onnx, b.onnx\)"):
        find_model({"ONNXPORT_MODEL": str(folder)})


def test_an_empty_folder_that_was_named_isnt_passed_over(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no \.onnx file is in it"):
        find_model({"ONNXPORT_MODEL": str(tmp_path)})
