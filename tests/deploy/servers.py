"""Machines for the fake: each environment runs its image's model in a real server, behind an address that swaps.

`python -m tests.deploy.servers FOLDER` is the fake with them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import socket
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.fake_aws.images import Registry
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.fake_aws.state import Environment, Fleet, Order, World

_PASSWORD = "rehearsal-only"
_ROOT = Path(__file__).resolve().parents[2]


class Address:
    """A port of this machine that leads to another one, or nowhere."""

    def __init__(self) -> None:
        self.target = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            caller, _ = self._listener.accept()
            threading.Thread(target=self._forward, args=(caller,), daemon=True).start()

    def _forward(self, caller: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            caller,
            socket.create_connection(("127.0.0.1", self.target)) as server,
        ):
            pairs = {caller: server, server: caller}
            for one in pairs:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for ready in select.select(list(pairs), [], [], 60)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    pairs[ready].sendall(data)


@dataclass
class Server:
    """A server of one environment's model. lines: what it has written."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)


class Servers(Fleet):
    """Runs `onnxport serve` with the model out of the image that was pushed."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder
        self._running: dict[str, Server] = {}
        self._addresses: dict[str, Address] = {}

    def cname(self, name: str) -> str:
        address = self._addresses.setdefault(name, Address())
        return f"127.0.0.1:{address.port}"

    def deploy(self, environment: Environment, order: Order) -> str:
        self.retire(environment)
        try:
            model = self._model(order.image)
        except LookupError as err:
            return str(err)
        command = [sys.executable, "-m", "onnxport", "serve", str(model), "--port", "0"]
        told = {k: v for k, v in order.variables.items() if k.startswith("ONNXPORT_")}
        process = subprocess.Popen(
            command,
            env={**os.environ, **told},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        return self._started(environment, process)

    def _started(self, environment: Environment, process: subprocess.Popen[str]) -> str:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)
            if found:
                server = Server(process, int(found[1]), lines)
                self._running[environment.id] = server
                threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True).start()
                return ""
        process.wait()
        return "".join(lines) or "the container ended"

    def _model(self, image: str) -> Path:
        """The model file in the image's last layer."""
        address, _, rest = image.partition("/")
        repository, _, digest = rest.partition("@")
        registry = Registry(address, _PASSWORD)
        manifest = registry.manifest(repository, digest)
        if manifest is None:
            raise LookupError(f"no image {image}")
        layer = registry.blob(repository, manifest.document["layers"][-1]["digest"])
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            [member] = [one for one in tar.getmembers() if one.name.endswith(".onnx")]
            stream = tar.extractfile(member)
            assert stream is not None
            path = self._folder / f"{digest[7:23]}.onnx"
            path.write_bytes(stream.read())
        return path

    def endpoint(self, environment: Environment) -> str:
        server = self._running.get(environment.id)
        return f"127.0.0.1:{server.port}" if server else ""

    def log(self, environment: Environment) -> str:
        server = self._running.get(environment.id)
        return "".join(server.lines) if server else ""

    def point(self, cname: str, environment: Environment) -> None:
        server = self._running.get(environment.id)
        for address in self._addresses.values():
            if cname == f"127.0.0.1:{address.port}":
                address.target = server.port if server else 0

    def retire(self, environment: Environment) -> None:
        server = self._running.pop(environment.id, None)
        if server:
            server.process.terminate()
            server.process.wait(timeout=20)

    def reset(self) -> None:
        for server in self._running.values():
            server.process.kill()
            server.process.wait()
        self._running.clear()
        self._addresses.clear()


class LiveAws(FakeAws):
    """The fake with servers, as tests hold it."""

    module = "tests.deploy.servers"

    def __init__(self, folder: Path, rate: float = 100.0) -> None:
        self.log: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, str(folder), str(rate)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"fake AWS on (\S+) registry (\S+)", line)
        if found is None:
            self.close()
            raise AssertionError("fake AWS didn't start:\n" + "".join(self.log))
        self.url, self.registry = found[1], found[2]


def main(folder: Path, rate: float) -> None:
    from tests.deploy.fake_aws.docker_registry import docker_registry
    from tests.deploy.fake_aws.serving import serving, stopped

    with (
        docker_registry(folder / "registry") as registry,
        serving(0, registry, rate=rate, fleet=lambda world: Servers(world, folder)) as world,
    ):
        print(f"fake AWS on {world.url} registry {registry}", flush=True)
        stopped()
        world.fleet.reset()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
