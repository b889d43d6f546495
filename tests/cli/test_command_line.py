"""The command line as a whole: help, exit codes, errors in a line or two, and a fast start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from onnxport.cli import main
from tests.cli.conftest import Terminal

HEAVY = ("fastapi", "httpx2", "numpy", "onnx", "onnxruntime", "pandas", "sklearn", "uvicorn")


def test_help_names_every_command(onnxport: Terminal) -> None:
    done = onnxport("--help")
    assert (done.code, done.err) == (0, "")
    for name in ("demo", "export", "inspect", "check", "predict", "openapi", "serve"):
        [line] = [line for line in done.out.splitlines() if line.startswith(f"  {name} ")]
        assert line.endswith(".")
        assert not line.endswith("...")  # the sentence is not cut


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in main.commands)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom onnxport.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        f"finally:\n    print(*sys.modules.keys() & {set(HEAVY)!r}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.split() == []
    assert done.stdout.startswith("Usage: onnxport")


def test_version(onnxport: Terminal) -> None:
    done = onnxport("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("onnxport ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["chek"], "No such command 'chek'. Did you mean 'check'?\nTry 'onnxport --help'.\n"),
        (["check"], "Missing argument 'MODEL|URL'.\nTry 'onnxport check --help'.\n"),
        (
            ["check", "x.onnx", "--model", "y.onnx"],
            "--model goes with a URL; a model file is checked by itself\nTry 'onnxport check --help'.\n",
        ),
        (
            ["check", "http://127.0.0.1:9"],
            "to check a URL, name the model file that it serves: --model\nTry 'onnxport check --help'.\n",
        ),
        (
            ["serve", "x.onnx", "--port", "http"],
            "Invalid value for '--port': 'http' is not a valid integer.\nTry 'onnxport serve --help'.\n",
        ),
        (
            ["serve", "x.onnx", "--port", "70000"],
            "--port is 70000, and must be a port from 0 to 65535\n",
        ),
        (
            ["serve", "x.onnx", "--host", "[::1]"],
            "--host is '[::1]', and must be an address without brackets, such as ::1\n",
        ),
        (
            ["predict", "ftp://x", "-"],
            (
                "ftp://x: only http:// and https:// URLs are called\n"
                "Try 'onnxport predict --help'.\n"
            ),
        ),
        (
            ["predict", "ftp://x", "-", "--timeout", "0"],
            "Invalid value for '--timeout': 0.0 is not in the range x>0.\nTry 'onnxport predict --help'.\n",
        ),
        (
            ["check", "http://me:pass@x.test", "--model", "x.onnx", "--api-key-file", "gone"],
            "--api-key-file gone: No such file or directory\nTry 'onnxport check --help'.\n",
        ),
        (
            ["predict", "http://me:pass@x.test", "-"],
            (
                "the base URL holds a user, a query or a fragment; give keys as api_key\n"
                "Try 'onnxport predict --help'.\n"
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(onnxport: Terminal, arguments: list[str], told: str) -> None:
    done = onnxport(*arguments)
    assert (done.code, done.out, done.err) == (2, "", f"onnxport: {told}")


@pytest.mark.parametrize("command", ["inspect", "serve", "openapi"])
def test_a_model_file_that_is_not_there(onnxport: Terminal, command: str) -> None:
    done = onnxport(command, "gone.onnx")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "onnxport: gone.onnx: No such file or directory; give the path of a model file\n"
    )


def test_debug_shows_the_traceback(onnxport: Terminal) -> None:
    for arguments in (["--debug", "inspect", "gone.onnx"], ["inspect", "gone.onnx", "--debug"]):
        done = onnxport(*arguments)
        assert done.code == 1
        assert "Traceback (most recent call last):" in done.err
        assert done.err.endswith(
            "onnxport: gone.onnx: No such file or directory; give the path of a model file\n"
        )


def test_a_missing_extra_is_named(onnxport: Terminal) -> None:
    """As in the serving installation, where the training libraries are missing."""
    program = (
        "import sys\n"
        "for name in ('sklearn', 'pandas', 'onnx', 'skl2onnx'):\n    sys.modules[name] = None\n"
        "from onnxport.cli import main\nmain(['demo'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=onnxport.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    [last] = [line for line in done.stderr.splitlines() if line.startswith("onnxport:")]
    assert "pip install '.[export]' in the clone of onnxport" in last
    assert "Traceback" not in done.stderr


def test_a_setting_from_the_environment(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("serve", every_kind, env={"ONNXPORT_PORT": "many"})
    assert (done.code, done.out) == (2, "")
    assert done.err == "onnxport: ONNXPORT_PORT is 'many', and must be a whole number\n"


def test_a_port_that_is_taken(onnxport: Terminal, every_kind: Path, url: str) -> None:
    port = url.rpartition(":")[2]
    done = onnxport("serve", every_kind, "--port", port)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"onnxport: 127.0.0.1:{port} is taken; choose another port, or 0 for a free one\n"
    )


def test_a_reader_that_has_gone(every_kind: Path) -> None:
    """As with `| true`: quiet, with the code of a program that a closed pipe ends."""
    command = [sys.executable, "-m", "onnxport", "inspect", str(every_kind)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141
