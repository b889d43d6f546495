"""`make fake-aws` beside another one: the file that leads a shell there is the first one's until that has ended."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests import programs
from tests.deploy.fake_aws import children
from tests.deploy.fake_aws.process import FakeAws


def start(root: Path, variables: Path) -> subprocess.Popen[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["--port", port, "--engine", "none", "--variables", str(variables)]
    return subprocess.Popen(
        children.tied([sys.executable, str(root / "tools" / "fake_aws.py"), *words]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_one_leaves_the_file_of_the_first(
    root: Path, tmp_path: Path, fake_aws: FakeAws
) -> None:
    programs.program("nginx")
    variables = tmp_path / "fake-aws.env"
    first = f"export AWS_ENDPOINT_URL={fake_aws.url}\n"
    variables.write_text(first)
    process = start(root, variables)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1
    host = fake_aws.url.removeprefix("http://")
    assert f"fake-aws.env leads to a rehearsal that runs on {host}; end that one, or" in told
    assert variables.read_text() == first


def test_what_one_left_that_was_killed_is_in_nobodys_way(root: Path, tmp_path: Path) -> None:
    for program in ("docker-registry", "nginx"):
        programs.program(program)
    variables = tmp_path / "fake-aws.env"
    variables.write_text("export AWS_ENDPOINT_URL=http://127.0.0.1:1\n")
    with start(root, variables) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "Ctrl-C ends all" in line:
                assert "127.0.0.1:1\n" not in variables.read_text()
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0, "".join(lines)
    assert not variables.exists()
