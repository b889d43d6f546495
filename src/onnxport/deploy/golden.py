"""Golden requests: the rows that the model file carries, sent to an environment, and the answers compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onnxport.check import CheckReport, check_url
from onnxport.client import Client
from onnxport.deploy.compatibility import breaks
from onnxport.errors import ClientError
from onnxport.modelfile import read_model_file
from onnxport.predictor import load
from onnxport.server.facts import model_facts

_TIMEOUT = 20.0
_WATCH_TIMEOUT = 10.0
_PAUSE = 1.0
_ALLOWED_FAILURES = 2  # in a row, while watching: a resolver or a connection may fail once

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """fault: a sentence, or "" where all is well. p99: of single rows, in milliseconds, from here."""

    fault: str
    rows: int = 0
    p99: float = 0.0

    def __str__(self) -> str:
        if not self.rows:
            return self.fault or "ready, and serves the model that it should; its file isn't here"
        return (
            self.fault or f"{self.rows} golden requests answered as stored, p99 {self.p99:.0f} ms"
        )


def await_ready(url: str, api_key: str | None, *, seconds: float) -> bool:
    """Whether the server takes requests within so many seconds: a new address takes a while to be known."""
    deadline = time.monotonic() + seconds
    with Client(url, api_key=api_key, timeout=_TIMEOUT) as client:
        while not _is_ready(client):
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
    return True


def _is_ready(client: Client) -> bool:
    try:
        return client.ready()
    except ClientError:
        return False  # such as nginx's own page while the container starts


def judge(
    url: str, model: Path, api_key: str | None, *, latency_ms: float, seconds: float
) -> Judgement:
    """Whether an environment serves this very model file, answers its rows as stored, and in time.

    seconds: how long to wait until it answers at all.
    """
    if not await_ready(url, api_key, seconds=seconds):
        return Judgement(f"{url} isn't ready after {seconds:.0f} s")
    report = check_url(url, model, api_key=api_key, timeout=_TIMEOUT)
    if not report.passed:
        return Judgement(_first_failure(report), report.rows)
    p99 = report.latency.p99 if report.latency else 0.0
    if p99 > latency_ms:
        return Judgement(
            f"one row takes {p99:.1f} ms (p99), and health.latency_ms allows {latency_ms:g}; take a larger "
            "instance type, or raise it",
            report.rows,
            p99,
        )
    return Judgement("", report.rows, p99)


def _first_failure(report: CheckReport) -> str:
    return next(f.text for f in report.findings if f.verdict == "failure")


def judge_other(url: str, digest: str, api_key: str | None, *, seconds: float) -> Judgement:
    """Whether an environment is ready and serves the model of that digest, whose file isn't here."""
    if not await_ready(url, api_key, seconds=seconds):
        return Judgement(f"{url} isn't ready after {seconds:.0f} s")
    try:
        with Client(url, api_key=api_key, timeout=_TIMEOUT) as client:
            served = client.model()
    except ClientError as err:
        return Judgement(str(err))
    if digest and served.get("digest") != digest:
        return Judgement(f"{url} serves another model than it should ({served.get('digest')})")
    return Judgement("", 0, 0.0)


def note_for_callers(url: str, model: Path, api_key: str | None) -> str:
    """What callers of the model at an address must change to call this one; "" if nothing. Where it can't be asked, a
    sentence that says so.
    """
    try:
        with Client(url, api_key=api_key, timeout=_WATCH_TIMEOUT) as client:
            old = client.model()
    except ClientError as err:
        return f"what the live model takes can't be asked ({err}), so it isn't known whether callers must change"
    new = model_facts(load(model))
    differences = breaks(old, new) if old.get("digest") != new["digest"] else ()
    if not differences:
        return ""
    return (
        f"callers of {old.get('name')} {old.get('version')} must change: {'; '.join(differences)}"
    )


def is_model(path: Path | None, digest: str) -> bool:
    """Whether the file here is that very model."""
    return path is not None and read_model_file(path).digest == digest


def watch(
    url: str,
    model: Path | None,
    digest: str,
    api_key: str | None,
    *,
    seconds: float,
    ill: Callable[[], str],
) -> str:
    """Sends the golden requests again and again for so many seconds; gives the fault that shows, or "".

    model: the file, or None where it isn't here: then readiness and the model's digest are asked for. ill: what the
    platform complains of, or "". A wrong answer is a fault at once, a missing one when others have been missing before.
    """
    deadline, in_a_row = time.monotonic() + seconds, 0
    while time.monotonic() < deadline or in_a_row:  # it doesn't end before an answer has come
        fault, is_answer = _look(url, model, digest, api_key)
        in_a_row = in_a_row + 1 if fault else 0
        if is_answer or in_a_row > _ALLOWED_FAILURES:
            return fault
        if complaint := ill():
            return complaint
        time.sleep(min(_PAUSE, max(0.0, deadline - time.monotonic())))
    return ""


def _look(url: str, model: Path | None, digest: str, api_key: str | None) -> tuple[str, bool]:
    """A fault, if any; and whether it is an answer that is wrong, rather than none."""
    if model is None:
        return judge_other(url, digest, api_key, seconds=0.0).fault, False
    report = check_url(url, model, api_key=api_key, timeout=_WATCH_TIMEOUT)
    if report.passed:
        return "", False
    return _first_failure(report), report.latency is not None
