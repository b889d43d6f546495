"""Container engines of the tests' own: real programs with their data in a temporary folder, which end by their process
id and leave the machine's firewall and its own engines alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import programs

PATIENCE = 60.0
_PLENTY = 8 << 30  # bytes
_BRIDGES = 200  # how many daemons may run at once; each has a bridge, and a network by its number


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """SIGTERM to one process of ours; kills what doesn't go."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_orphan(pid: int) -> None:
    """SIGKILL to the child of a process that was killed; nobody may be there to collect it."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, signal.SIGKILL)
        stat = Path(f"/proc/{pid}/stat")
        wait_until(lambda: ") Z " in stat.read_text(), f"the end of process {pid}")


def _fast_folder() -> Path | None:
    """Memory, if there is plenty: engines wait for a disk at each step. None: wherever temporary files go."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and shutil.disk_usage(shared).free > _PLENTY else None


class Daemon:
    """A private Docker daemon. `host` is what DOCKER_HOST takes; published ports are there on loopback.

    data_root: where images are kept, such as a folder on a file system that is nearly full.
    """

    def __init__(self, data_root: Path | None = None) -> None:
        programs.root("to start a container engine")
        self._program = programs.program("dockerd", package="docker.io")
        self._ip = programs.program("ip", package="iproute2")
        self.client = programs.program("docker", package="docker.io")
        self.folder = Path(tempfile.mkdtemp(prefix="onnxport-docker-", dir=_fast_folder()))
        self.socket = self.folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self._data_root = data_root or self.folder / "data"
        (self.folder / "config.json").write_text("{}")
        self.bridge = self._make_bridge()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user of this daemon, without an account anywhere."""
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.folder)}

    def start(self) -> Daemon:
        """Starts, or starts again after its death. No rules of iptables: a proxy carries published ports."""
        command = [
            *("setpriv", "--pdeathsig", "TERM"),  # it ends with the tests, even if these are killed
            *(self._program, "-H", self.host, "-b", self.bridge, "--iptables=false"),
            *("--ip-forward=false", "--ip-masq=false", "--pidfile", self.folder / "pid"),
            *("--data-root", self._data_root, "--exec-root", self.folder / "exec"),
        ]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, f"the Docker daemon:\n{self.log}")
        return self

    def kill(self) -> None:
        """As a crash of the machine would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._end_containerd()

    def stop(self) -> None:
        """Ends the daemon and all that it has started, and leaves nothing behind."""
        try:
            if self.process is not None:
                end(self.process)
                self._end_containerd()
        finally:
            self._run(self._ip, "link", "del", self.bridge)
            for mount in self._mounts():
                self._run("umount", "--lazy", mount)
            shutil.rmtree(self.folder, ignore_errors=True)

    def docker(self, *words: str | Path, stdin: int | None = None) -> str:
        """What a command of docker prints. Raises AssertionError where it fails."""
        done = subprocess.run(
            [self.client, *map(str, words)],
            env=self.env,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, f"docker {' '.join(map(str, words))}:\n{done.stderr}"
        return done.stdout.strip()

    def load(self, archive: Path, name: str) -> None:
        """Takes an image from a file, and gives it a name."""
        self.docker("tag", self.docker("load", "--quiet", "--input", archive).split()[-1], name)

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the Docker daemon ended:\n{self.log}"
        with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(OSError):
            caller.settimeout(5)
            caller.connect(str(self.socket))
            caller.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in caller.recv(64)
        return False

    def _end_containerd(self) -> None:
        told = self.folder / "exec/containerd/containerd.pid"
        with contextlib.suppress(FileNotFoundError, ValueError):
            end_orphan(int(told.read_text()))
            told.unlink(missing_ok=True)

    def _make_bridge(self) -> str:
        for number in range(_BRIDGES):
            name = f"onnxport{number}"
            if self._run(self._ip, "link", "add", name, "type", "bridge") == 0:
                self._run(self._ip, "addr", "add", f"172.30.{number}.1/24", "dev", name)
                self._run(self._ip, "link", "set", name, "up")
                return name
        raise AssertionError("no bridge can be made for a container engine")

    def _mounts(self) -> list[str]:
        lines = Path("/proc/mounts").read_text("utf-8").splitlines()
        places = [line.split()[1] for line in lines]
        return [place for place in reversed(places) if place.startswith(str(self.folder))]

    @staticmethod
    def _run(*words: str) -> int:
        return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode


class Podman:
    """A store of podman's own; `env` leads any podman there."""

    def __init__(self) -> None:
        programs.root("to run containers with podman")
        programs.program("iptables")  # carries its published ports
        self.program = programs.program("podman")
        self.folder = Path(tempfile.mkdtemp(prefix="onnxport-podman-"))
        self.env = {
            **{name: value for name, value in os.environ.items() if name != "DOCKER_HOST"},
            "CONTAINERS_CONF": str(self._write("containers.conf", self._configuration())),
            "CONTAINERS_STORAGE_CONF": str(self._write("storage.conf", self._storage())),
        }

    def podman(self, *words: str | Path) -> str:
        done = subprocess.run(
            [self.program, *map(str, words)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, f"podman {' '.join(map(str, words))}:\n{done.stderr}"
        return done.stdout.strip()

    def load(self, archive: Path, name: str) -> None:
        """Takes an image from a file, and gives it a name."""
        self.podman("tag", self.podman("load", "--quiet", "--input", archive).split()[-1], name)

    def stop(self) -> None:
        """Removes its containers, images and files; there is no process to end."""
        with contextlib.suppress(AssertionError):
            self.podman("rm", "--all", "--force")
            self.podman("rmi", "--all", "--force")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configuration(self) -> str:
        """Limits that a sandbox's root may set, too: not above its own."""
        limits = json.dumps(
            [
                _limit("nofile", resource.RLIMIT_NOFILE),
                _limit("nproc", resource.RLIMIT_NPROC),
            ]
        )
        return (
            f"[containers]\ndefault_ulimits = {limits}\n"
            f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f"tmp_dir = {json.dumps(str(self.folder / 'tmp'))}\n"
        )

    def _storage(self) -> str:
        data, run = (json.dumps(str(self.folder / name)) for name in ("data", "run"))
        return f'[storage]\ndriver = "overlay"\ngraphroot = {data}\nrunroot = {run}\n'

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path


def _limit(name: str, number: int) -> str:
    _, most = resource.getrlimit(number)
    value = min(1024, most) if most >= 0 else 1024
    return f"{name}={value}:{value}"
