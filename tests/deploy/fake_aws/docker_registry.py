"""A `docker-registry` of the fake's own on loopback, which lets nobody in but AWS with the token's password."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.deploy.fake_aws import children

# bcrypt, lowest cost, of the one password that GetAuthorizationToken gives
_HTPASSWD = "AWS:$2y$05$6YFRvO3.4exjAwt0cZPvyORtMeRQ.noiHKFPOjU/4WokG8dKjNyha\n"


@contextmanager
def docker_registry(folder: Path, port: int = 0) -> Iterator[str]:
    """Runs until the block ends; gives its address. It keeps all below the folder.

    Raises FileNotFoundError where there is no such program, OSError where the port is taken.
    """
    program = shutil.which("docker-registry")
    if program is None:
        raise FileNotFoundError("docker-registry is not installed: apt-get install docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(_HTPASSWD)
    configuration = folder / "config.yml"
    configuration.write_text(
        f"version: 0.1\nlog: {{level: info, formatter: json}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        f"auth: {{htpasswd: {{realm: 'fake ECR', path: {folder / 'htpasswd'}}}}}\n"
    )
    process = children.start(
        [program, "serve", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        yield _listening(process.stderr)
    finally:
        children.stop(process)
        if process.stderr is not None:
            process.stderr.close()


def _listening(lines: IO[str]) -> str:
    """The address in the log; a thread reads on, lest the pipe be full one day."""
    told = []
    for line in lines:
        told.append(line)
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
        if found:
            threading.Thread(target=_drain, args=(lines,), daemon=True).start()
            return found[1]
    raise OSError("docker-registry ended before it listened:\n" + "".join(told[-3:]))


def _drain(lines: IO[str]) -> None:
    try:
        for _ in lines:
            pass
    except ValueError:  # closed at the end
        pass
