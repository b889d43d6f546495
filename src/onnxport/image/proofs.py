"""The single checks of a trial: each runs or reads an image, and says what it found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from onnxport.check import check_url
from onnxport.errors import BuildError, OnnxportError
from onnxport.image import leaks
from onnxport.image.archive import SavedImage, read_archive
from onnxport.image.engine import Engine
from onnxport.image.probes import Idler, Readiness, await_readiness, idler, status_of
from onnxport.image.running import Confinement, Container, started
from onnxport.image.settings import PORT
from onnxport.settings import read_settings

Verdict = Literal["ok", "failure"]

OTHER_PORT = 9137  # that no image has by itself
_STRANGER = "54321:54321"  # a user that no image knows
_HEALTH = ("/health/ready", "/health/live", "/healthz", "/ping")
_PATIENCE = 120.0  # seconds until ready
_STOP_SECONDS = 10  # what platforms grant
_IDLE_SECONDS = 6.0  # more than the 5 s after which uvicorn would hang up by default
_PROXY_IDLE = 60  # seconds that nginx and AWS's load balancer keep a connection
_MEMORY = 256  # MiB
_SMALL_MODEL = 16 << 20
_MEBIBYTE = 1 << 20
_TOLD_LEAKS = 3


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found. check: its number in the list of checks before a deployment."""

    check: str
    verdict: Verdict
    text: str


def _judge(check: str, text: str, otherwise: str, *, fine: bool) -> Result:
    return Result(check, "ok" if fine else "failure", text if fine else otherwise)


# ------------------------------------------------------------------------------------------------ without any rights


def locked(
    engine: Engine,
    image: str,
    config: Mapping[str, Any],
    model: Path,
    meanwhile: Callable[[], None],
) -> Iterator[Result]:
    """meanwhile: what can be done while a connection is idle."""
    memory = _memory(model.stat().st_size)
    confinement = Confinement(OTHER_PORT, {"PORT": str(OTHER_PORT)}, user=_STRANGER, memory=memory)
    with started(engine, image, confinement) as container:
        ready = await_readiness(container, _health_command(config), _PATIENCE)
        yield Result(
            "P07", "ok", f"listens on every address, on the port that PORT names ({OTHER_PORT})"
        )
        yield Result(
            "P11",
            "ok",
            f"runs as any user ({_STRANGER}), with a read-only root, no capabilities and {memory} MiB",
        )
        with idler(container.address) as connection:
            connection.ask()
            yield from _health(container, ready, config)
            yield _golden_rows(container, model)
            meanwhile()
            yield _keep_alive(connection, config)
            yield _ending(container)


def _memory(model: int) -> int:
    """What a container gets, in MiB: more for models that need it."""
    return _MEMORY + (4 * model // _MEBIBYTE if model > _SMALL_MODEL else 0)


def _health(container: Container, ready: Readiness, config: Mapping[str, Any]) -> Iterator[Result]:
    statuses = {path: status_of(container.address, path) for path in _HEALTH}
    wrong = ", ".join(f"{path} {status}" for path, status in statuses.items() if status != 200)
    yield _judge(
        "P09",
        f"{', '.join(_HEALTH)} answer 200",
        f"health isn't answered by 200: {wrong}",
        fine=not wrong,
    )
    early = ready.before - {503}
    yield _judge(
        "P09",
        f"ready {ready.seconds:.1f} s after its start, and not before",
        f"before it was ready it answered {', '.join(map(str, sorted(early)))} instead of 503",
        fine=not early,
    )
    yield _healthcheck(container, config)


def _healthcheck(container: Container, config: Mapping[str, Any]) -> Result:
    """The image's own command for it, under the same restrictions."""
    command = _health_command(config)
    if not command:
        return Result("P09", "failure", "the image has no HEALTHCHECK that runs without a shell")
    try:
        container.run(command)
    except BuildError as err:
        return Result("P09", "failure", f"HEALTHCHECK fails while the server is ready: {err}")
    return Result("P09", "ok", "HEALTHCHECK agrees")


def _health_command(config: Mapping[str, Any]) -> list[str]:
    kind, *command = (config.get("Healthcheck") or {}).get("Test") or [""]
    return command if kind == "CMD" else []


def _golden_rows(container: Container, model: Path) -> Result:
    report = check_url(f"http://{container.address}", model)
    faults = [finding.text for finding in report.findings if finding.verdict == "failure"]
    return _judge(
        "rows",
        f"{report.rows} stored rows get the stored answers over HTTP",
        f"the answers differ from the model file's: {'; '.join(faults)}",
        fine=report.passed,
    )


def _keep_alive(connection: Idler, config: Mapping[str, Any]) -> Result:
    try:
        kept = read_settings({}, _variables(config)).keep_alive
    except OnnxportError as err:
        return Result("P12", "failure", str(err))
    is_kept = connection.is_kept_for(_IDLE_SECONDS)
    return _judge(
        "P12",
        f"keeps idle connections for {kept} s, longer than proxies do ({_IDLE_SECONDS:.0f} s tried)",
        f"a proxy will meet closed connections and answer 502: kept for {kept} s, and proxies reuse them "
        f"after {_PROXY_IDLE} s"
        if is_kept
        else f"it hangs up on a connection that was idle for {_IDLE_SECONDS:.0f} s; proxies answer 502 then",
        fine=is_kept and kept > _PROXY_IDLE,
    )


def _ending(container: Container) -> Result:
    code, seconds = container.stop(_STOP_SECONDS + 2)
    return _judge(
        "P10",
        f"ends {seconds:.1f} s after SIGTERM with exit code 0",
        f"after SIGTERM it ended with exit code {code} in {seconds:.1f} s; platforms kill it after {_STOP_SECONDS} s",
        fine=code == 0 and seconds < _STOP_SECONDS,
    )


# ------------------------------------------------------------------------------------------------------ as it is


def as_it_is(engine: Engine, image: str, config: Mapping[str, Any]) -> Iterator[Result]:
    ports = sorted(config.get("ExposedPorts") or {})
    exposed = f"{PORT}/tcp"
    with started(engine, image, Confinement(PORT, locked=False)) as container:
        await_readiness(container, _health_command(config), _PATIENCE)
        yield _judge(
            "P08",
            f"exposes {exposed}, and listens there where no port is named",
            f"listens on {exposed}, and exposes {', '.join(ports) or 'nothing'}",
            fine=ports == [exposed],
        )
        written = [path for path in container.changed_files() if not path.startswith("/tmp/")]
        yield _judge(
            "P11",
            "writes nothing outside /tmp, even where it may",
            f"writes {', '.join(written[:_TOLD_LEAKS])}",
            fine=not written,
        )


# ------------------------------------------------------------------------------------------------ without running


def settings(config: Mapping[str, Any]) -> Iterator[Result]:
    user = str(config.get("User") or "root")
    number, _, _ = user.partition(":")
    yield _judge(
        "P11",
        f"its own user is {user}, a number that isn't root's",
        f"its user is {user}; Kubernetes' runAsNonRoot wants a number above 0",
        fine=number.isdecimal() and int(number) > 0,
    )
    is_off = "ORT_DISABLE_TELEMETRY=1" in (config.get("Env") or [])
    yield _judge(
        "P18",
        "ONNX Runtime's telemetry is off",
        "ONNX Runtime's telemetry isn't off; set ORT_DISABLE_TELEMETRY=1",
        fine=is_off,
    )


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    pairs = (variable.partition("=") for variable in config.get("Env") or [])
    return {name: value for name, _, value in pairs}


def contents(engine: Engine, image: str, config: Mapping[str, Any]) -> Iterator[Result]:
    """Reads the image as the engine would push it."""
    with _saved(engine, image) as saved:
        found = list(leaks.leaks_of_variables(config.get("Env") or []))
        found += leaks.leaks_of_text(saved.config, "the image's configuration")
        for layer in saved.layers:
            with layer.open() as stream:
                found += leaks.leaks_of_layer(stream)
        text = f"no key, password or token in {len(saved.layers)} layers and the variables"
        more = f", and {len(found) - _TOLD_LEAKS} more" if len(found) > _TOLD_LEAKS else ""
        yield _judge("P18", text, "; ".join(found[:_TOLD_LEAKS]) + more, fine=not found)
    size = engine.inspect(image)["Size"]
    yield Result("size", "ok", f"{size / 1e6:.1f} MB unpacked")


@contextmanager
def _saved(engine: Engine, image: str) -> Iterator[SavedImage]:
    with tempfile.TemporaryDirectory(prefix="onnxport-check-") as folder:
        path = Path(folder, "image.tar")
        engine.save(image, path)
        yield read_archive(path)[0]
