"""What plays a container: the image's model under `onnxport.container` on this machine's Python, or a real one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Protocol

from tests.deploy.fake_aws import children
from tests.deploy.fake_aws.images import Manifest, Registry
from tests.deploy.fake_aws.proxies import free_port
from tests.deploy.fake_aws.state import Order

_MODEL = "app/model/"
_PATIENCE = 90.0  # seconds until a container's port must be there


class NoEngine(Exception):
    """The engine can't run containers; the text is what it says."""


class Machine(Protocol):
    """A container, or what stands for it. port: where it listens on loopback."""

    port: int

    def ended(self) -> bool: ...

    def log(self) -> str: ...

    def stop(self) -> None: ...


def split(image: str, registry: Registry) -> tuple[str, str]:
    """Repository and digest or tag of an image of our registry."""
    rest = image.removeprefix(f"{registry.address}/")
    repository, at, digest = rest.partition("@")
    if at:
        return repository, digest
    repository, _, tag = rest.rpartition(":")
    return repository, tag


# -------------------------------------------------------------------------------------------------- without engine


class Process:
    """The image's own program and environment, but on this machine's Python."""

    def __init__(self, order: Order, registry: Registry, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        model = unpack_model(order.image, registry, folder / "model")
        self.port, self._log = free_port(), folder / "container.log"
        variables = {
            **_inherited(),
            **order.variables,
            "ONNXPORT_MODEL": str(model),
            "ONNXPORT_HOST": "127.0.0.1",
            "ONNXPORT_PORT": str(self.port),
        }
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "onnxport.container"]
            self._process = children.start(command, env=variables, stdout=log, stderr=log)

    def ended(self) -> bool:
        return self._process.poll() is not None

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")[-8000:]

    def stop(self) -> None:
        children.stop(self._process)


def _inherited() -> dict[str, str]:
    """Nothing of the caller's but what a program needs to run at all."""
    kept = ("PATH", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "HOME": "/tmp", "ORT_DISABLE_TELEMETRY": "1"}


def unpack_model(image: str, registry: Registry, folder: Path) -> Path:
    """The model file that lies in the image, which is in the last layers if anywhere. Raises LookupError."""
    folder.mkdir(parents=True, exist_ok=True)
    repository, name = split(image, registry)
    manifest = registry.manifest(repository, name)
    if manifest is None:
        raise LookupError(f"the registry has no image {image}")
    for layer in reversed(_one_of(registry, repository, manifest).document["layers"]):
        content = registry.blob(repository, layer["digest"])
        found = _files(content, folder)
        models = [path for path in found if path.suffix == ".onnx"]
        if models:
            return models[0]
    raise LookupError(f"{image} holds no model below /{_MODEL}")


def _one_of(registry: Registry, repository: str, manifest: Manifest) -> Manifest:
    """The first image of a list."""
    entries = manifest.document.get("manifests")
    if not entries:
        return manifest
    found = registry.manifest(repository, entries[0]["digest"])
    if found is None:
        raise LookupError(f"{repository} lacks {entries[0]['digest']}")
    return found


def _files(layer: bytes, folder: Path) -> list[Path]:
    """Those below the model's folder, by their last names; none of what is no archive."""
    found = []
    with contextlib.suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for member in archive:
            if member.isfile() and member.name.lstrip("./").startswith(_MODEL):
                source = archive.extractfile(member)
                assert source is not None
                path = folder / Path(member.name).name
                path.write_bytes(source.read())
                found.append(path)
    return found


# ----------------------------------------------------------------------------------------------------- with engine


class Container:
    """A container of the image itself, on an engine of this machine. program: docker or podman."""

    def __init__(self, order: Order, registry: Registry, folder: Path, program: str) -> None:
        self._program, self._image = program, order.image
        self._name = f"onnxport-fake-{folder.parent.name}-{folder.name}"
        self.port = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._pull(order.image, registry, folder)
        words = ["run", "--detach", "--name", self._name]
        words += ["--publish", f"127.0.0.1::{order.port}"]
        for name, value in order.variables.items():
            words += ["--env", f"{name}={value}"]
        try:
            self._call(*words, order.image)
            told = self._call("port", self._name, f"{order.port}/tcp")
        except LookupError as err:
            self.stop()
            raise NoEngine(str(err)) from err
        self.port = int(told.splitlines()[0].rpartition(":")[2])

    def _pull(self, image: str, registry: Registry, folder: Path) -> None:
        auths = {"auths": {registry.address: {"auth": registry.token}}}
        (folder / "config.json").write_text(json.dumps(auths))
        if "podman" in Path(self._program).name:
            file = str(folder / "config.json")
            self._call("pull", "--quiet", "--tls-verify=false", "--authfile", file, image)
        else:
            self._run(["--config", str(folder), "pull", "--quiet", image])

    def ended(self) -> bool:
        return self._call("inspect", "--format", "{{.State.Running}}", self._name) != "true"

    def log(self) -> str:
        done = subprocess.run(
            [self._program, "logs", "--tail", "200", self._name],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr

    def stop(self) -> None:
        """Leaves neither the container nor, unless another one needs it, the image."""
        name = self._name
        for words in (
            ("stop", "--time", "10", name),
            ("rm", "--force", name),
            ("rmi", self._image),
        ):
            with contextlib.suppress(LookupError):
                self._call(*words)

    def _call(self, *words: str) -> str:
        return self._run(list(words))

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(
            [self._program, *words], capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode != 0:
            raise LookupError((done.stderr or done.stdout).strip().splitlines()[-1])
        return done.stdout.strip()


def wait_for_port(machine: Machine) -> bool:
    """Whether something listens there before it ends, or patience does."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and not machine.ended():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", machine.port), 1):
            return True
        time.sleep(0.1)
    return False
