"""What an image runs: `serve` (or nothing said), `health` for its HEALTHCHECK, `check` to replay the self-test.

Imports as little as it can: all of it stands between the start of a container and its first answer.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from onnxport.ending import ended_by_signals, leave
from onnxport.errors import ModelFileError, OnnxportError, SettingsError, shorten
from onnxport.settings import Settings, read_settings

DEFAULT_PORT = 8080
# Where platforms say which port they call: our own setting, Cloud Run and many others, Vertex AI, SageMaker, the Lambda
# adapter, Azure Functions. The first that is set counts.
PORT_VARIABLES = (
    "ONNXPORT_PORT",
    "PORT",
    "AIP_HTTP_PORT",
    "SAGEMAKER_BIND_TO_PORT",
    "AWS_LWA_PORT",
    "FUNCTIONS_CUSTOMHANDLER_PORT",
)
MODEL_VARIABLE = "ONNXPORT_MODEL"
# Where platforms put a model: SageMaker, KServe, Azure ML names its folder; the image's own comes last.
_MOUNTS = ("/opt/ml/model", "/mnt/models")
_AZURE = "AZUREML_MODEL_DIR"
_OWN = "/app/model"

_HEALTH_SECONDS = 2.5
_FAILED, _WRONG_USAGE = 1, 2


def main(arguments: list[str]) -> int:
    """The exit code; an error is told in a sentence on stderr."""
    word = arguments[0] if arguments else "serve"
    commands = {"serve": _serve, "health": _health, "check": _check}
    try:
        if len(arguments) > 1 or word not in commands:
            told = shorten(" ".join(arguments))
            raise SettingsError(
                f"{told!r} is no command of this image; it takes serve, health or check, and settings as variables"
            )
        return commands[word]()
    except OnnxportError as err:
        _say(str(err))
        is_usage = isinstance(err, SettingsError) and word != "health"  # Docker knows 0 and 1 alone
        return _WRONG_USAGE if is_usage else _FAILED


def _say(text: str) -> None:
    print(f"onnxport: {text}", file=sys.stderr)


def _serve() -> int:
    with ended_by_signals():
        settings = container_settings(os.environ)
        model = find_model(os.environ)
        from onnxport.server.run import serve

        return leave(serve(model, settings))


def _check() -> int:
    """Replays the self-test with what stands in the image, and imports what serving needs."""
    import onnxport.server.run  # noqa: F401
    from onnxport.modelfile import read_model_file
    from onnxport.session import open_session

    session = open_session(read_model_file(find_model(os.environ)))
    rows = session.file.selftest.rows
    _say(f"self-test passed: {rows} rows on onnxruntime {session.runtime_version}")
    return 0


def _health() -> int:
    """Asks the server beside it whether it is ready; the code is all that Docker reads."""
    settings = container_settings(os.environ)
    try:
        answer = _ask(settings)
    except OSError as err:
        _say(f"no answer on port {settings.port} ({err})")
        return _FAILED
    status = answer.split(b" ", 2)[1:2]
    if status != [b"200"]:
        told = answer.split(b"\r\n", 1)[0].decode("ascii", "replace")
        _say(f"not ready: {shorten(told)}")
        return _FAILED
    return 0


def _ask(settings: Settings) -> bytes:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    name = next(iter(settings.hosts.split(",")), "").strip().replace("*.", "health.") or "localhost"
    request = f"GET /health/ready HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, settings.port), timeout=_HEALTH_SECONDS) as plain:
        if not settings.tls_cert:
            plain.sendall(request.encode())
            return plain.recv(4096)
        import ssl

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # itself, on loopback
        with context.wrap_socket(plain) as secured:
            secured.sendall(request.encode())
            return secured.recv(4096)


# -------------------------------------------------------------------------------------------------------- settings


def container_settings(environment: Mapping[str, str]) -> Settings:
    """The server's settings inside a container: every address, the platform's port, and no refusal without keys.

    Without keys the server says so in one loud line; who may call is then the platform's matter. Raises SettingsError.
    """
    env = {name: value for name, value in environment.items() if not _is_link(value)}
    settings = read_settings({"port": _port(env)}, env)
    if "ONNXPORT_HOST" not in env:
        settings = replace(settings, host="0.0.0.0")
    if "ONNXPORT_INSECURE" not in env:
        settings = replace(settings, insecure=True)
    return settings


def _is_link(value: str) -> bool:
    """Kubernetes sets ONNXPORT_PORT=tcp://... in every container beside a service called onnxport."""
    return value.startswith(("tcp://", "udp://"))


def _port(environment: Mapping[str, str]) -> int:
    for variable in PORT_VARIABLES:
        text = environment.get(variable, "").strip()
        if not text:
            continue
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
            raise SettingsError(
                f"{variable} is {shorten(text)!r}, and must be a port from 1 to 65535"
            )
        return int(text)
    return DEFAULT_PORT


# ------------------------------------------------------------------------------------------------------- the model


def find_model(environment: Mapping[str, str]) -> Path:
    """The model file: the one that ONNXPORT_MODEL names, or of the folders where platforms put models the first that
    holds one. Raises ModelFileError.
    """
    named = environment.get(MODEL_VARIABLE, "")
    if named:
        return _named(Path(named))
    folders = [*_MOUNTS, environment.get(_AZURE, ""), _OWN]
    for folder in filter(None, folders):
        found = _models(Path(folder))
        if found:
            return _only(found, folder)
    looked = ", ".join(filter(None, folders))
    raise ModelFileError(
        f"there is no model file in {looked}; mount one, or name it with {MODEL_VARIABLE}"
    )


def _named(path: Path) -> Path:
    with _readable(path):
        if not path.exists():
            raise ModelFileError(
                f"{MODEL_VARIABLE} is {path}, and nothing is there; mount the model"
            )
        if not path.is_dir():
            return _allowed(path)
    found = _models(path)
    if not found:
        raise ModelFileError(f"{MODEL_VARIABLE} is {path}, and no .onnx file is in it; mount one")
    return _only(found, str(path))


def _models(folder: Path) -> list[Path]:
    """The .onnx files of a folder, or of the folders in it, as platforms unpack archives."""
    with _readable(folder):
        if not folder.is_dir():
            return []
        next(folder.iterdir(), None)  # glob passes over what it may not read
        return sorted(_visible(folder, "*.onnx")) or sorted(_visible(folder, "*/*.onnx"))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as err:
        raise ModelFileError(
            f"{path} can't be read by user {os.getuid()}; let others read it (chmod -R a+rX)"
        ) from err


def _visible(folder: Path, pattern: str) -> Iterator[Path]:
    for path in folder.glob(pattern):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


def _only(found: list[Path], folder: str) -> Path:
    if len(found) > 1:
        names = ", ".join(shorten(path.name) for path in found[:5])
        raise ModelFileError(
            f"{folder} holds {len(found)} model files ({names}); name one with {MODEL_VARIABLE}"
        )
    return _allowed(found[0])


def _allowed(path: Path) -> Path:
    """A file that may be read."""
    with _readable(path):
        if not os.access(path, os.R_OK):
            raise PermissionError
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
