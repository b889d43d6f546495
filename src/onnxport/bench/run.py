"""A load test from its beginning to its result."""

from __future__ import annotations

import json
import os
import platform
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from onnxport.bench.connection import Place
from onnxport.bench.fleet import run_fleet
from onnxport.bench.generator import Plan
from onnxport.bench.load import Load
from onnxport.bench.questions import Questions, read_questions
from onnxport.bench.record import Record
from onnxport.bench.result import Result, Subject
from onnxport.bench.tally import Slot
from onnxport.client import Client
from onnxport.errors import ClientError, ConnectionFailed, ServerError, SettingsError

_SPARE_DESCRIPTORS = 64
_HOPELESS = frozenset({401, 403, 404, 405, 413, 415})  # what all requests would be answered


def load_test(
    url: str,
    model: str | Path,
    load: Load,
    *,
    api_key: str | None = None,
    watch: Callable[[Record], None] | None = None,
) -> Result:
    """Asks a server the self-test rows of a model file, as fast or as often as `load` says, and checks every answer.

    watch: called with all that is known, several times a second. KeyboardInterrupt ends the test early, with a result.
    Raises ClientError where the server can't be reached or doesn't answer predictions at all, ModelFileError for the
    file, SettingsError for a load that this machine can't make, ValueError for a URL or key that can't be one.
    """
    verify = ssl.create_default_context() if url.lower().startswith("https:") else True
    with Client(url, api_key=api_key, timeout=load.timeout, verify=verify) as client:
        _allow_connections(load)
        questions = read_questions(model, load.rows_per_request)
        server = _describe(client)
        _try(client, questions)
        target = client.base_url
    plans = _plans(target, load, questions, api_key)
    record, started = Record(load.slot), datetime.now(UTC)

    def tell(slot: Slot) -> None:
        record.add(slot)
        if watch is not None:
            watch(record)

    outcome = run_fleet(plans, tell)
    return Result(
        target=target,
        load=load,
        subject=Subject(
            questions.name,
            questions.version,
            questions.digest,
            len(questions.asked),
            questions.left_out,
        ),
        server=server,
        started=started.isoformat(timespec="seconds"),
        record=record,
        efforts=tuple(outcome.efforts),
        is_partial=outcome.is_partial,
        machine=_machine(),
    )


def _allow_connections(load: Load) -> None:
    """Lets this process, and those that it starts, have as many files open as there are connections to one of them."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    wanted = load.connections_of(0) + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise SettingsError(
            f"--connections is {load.connections:,}, and a process of this system may have {hard:,} files open; "
            "take fewer, or more --processes"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _describe(client: Client) -> dict[str, Any]:
    """What the server says of itself; nothing where it isn't onnxport's, or keeps that to itself."""
    try:
        told = client.model()
    except ServerError:
        return {}
    runtime = told.get("runtime")
    versions = runtime if isinstance(runtime, dict) else {}
    facts = {key: told.get(key) for key in ("name", "version", "digest")}
    return {**facts, **{key: versions.get(key) for key in ("onnxruntime", "numpy")}}


def _try(client: Client, questions: Questions) -> None:
    """One request, to fail at once where all would fail alike. What may pass, the test will count."""
    try:
        client.predict(json.loads(questions.asked[0].body))
    except ServerError as err:
        if err.status in _HOPELESS or 300 <= err.status < 400:
            raise
    except ConnectionFailed:
        pass


def _plans(target: str, load: Load, questions: Questions, api_key: str | None) -> list[Plan]:
    parts = urlsplit(target)
    is_tls = parts.scheme == "https"
    place = _resolve(parts.hostname or "", parts.port or (443 if is_tls else 80))
    head = [
        f"POST {parts.path}/predict HTTP/1.1",
        f"Host: {parts.netloc}",
        "User-Agent: onnxport-bench",
        "Accept: application/json",
        "Content-Type: application/json",
        *([f"Authorization: Bearer {api_key}"] if api_key else []),
    ]
    return [
        Plan(
            load=load,
            process=process,
            place=place,
            is_tls=is_tls,
            head="".join(f"{line}\r\n" for line in head).encode("ascii"),
            questions=questions.asked,
            tolerance=questions.tolerance,
        )
        for process in range(load.processes)
    ]


def _resolve(host: str, port: int) -> Place:
    """The first of the host's addresses that takes a connection."""
    problem: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.settimeout(5)
                probe.connect(address)
        except OSError as err:
            problem = err
        else:
            return Place(family, address, host)
    raise ClientError(f"{host}:{port} can't be reached ({problem}); is the server running there?")


def _machine() -> dict[str, Any]:
    try:
        version = metadata.version("onnxport")
    except metadata.PackageNotFoundError:
        version = "unknown"
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "onnxport": version,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(affinity(0)) if affinity else os.cpu_count(),
    }
