"""Replays a model file's self-test rows, on this runtime or through HTTP, compares the answers, and reports."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from onnxport import runtime
from onnxport.client import TIMEOUT, Client
from onnxport.codec import Answer, answer_rows
from onnxport.compare import Array, relative_difference, worst
from onnxport.errors import ClientError, ModelFileError, RejectedRows
from onnxport.modelfile import ModelFile, read_model_file
from onnxport.session import open_session
from onnxport.signature import Signature
from onnxport.stored import restore_some

Verdict = Literal["ok", "warning", "failure"]

_SHOWN_FAULTS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what came out."""

    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the requests with a single row, in milliseconds, as this client saw them."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `rows` were replayed.

    worst_difference: the largest |expected - got| / max(1, |expected|); `tolerance` is what the file allows.
    model, version, digest: the model file's, None where it can't be read. latency: None where nothing went over HTTP.
    """

    target: str
    model: str | None = None
    version: str | None = None
    digest: str | None = None
    rows: int = 0
    label_flips: int = 0
    worst_difference: float = 0.0
    tolerance: float = 0.0
    latency: Latency | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        return not any(finding.verdict == "failure" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; an infinite difference is null."""
        finite = np.isfinite(self.worst_difference)
        return {
            "passed": self.passed,
            **asdict(self),
            "worst_difference": self.worst_difference if finite else None,
        }

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield f"{self.target}: {self.model} {self.version}" if self.model else self.target
        width = max((len(finding.verdict) for finding in self.findings), default=0)
        for finding in self.findings:
            yield f"  {finding.verdict:<{width}}  {finding.text}"
        yield "passed" if self.passed else "failed"

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def check_file(path: str | Path) -> CheckReport:
    """Whether a model file is whole, and answers on this runtime what it answered where it was saved."""
    report = CheckReport(target=Path(path).name)
    try:
        file = read_model_file(path)
        report = _of(report, file)
        session = open_session(file)
    except ModelFileError as err:
        return _found(report, [Finding("failure", str(err).removeprefix(f"{report.target}: "))])
    report = replace(report, rows=file.selftest.rows, worst_difference=session.selftest_difference)
    findings = [
        Finding(
            "ok", f"the file is whole: format {file.manifest['format']}, {_digest(file.digest)}"
        ),
        Finding("ok", f"{_agreement(report)}, on ONNX Runtime {runtime.VERSION}{_proven_on(file)}"),
    ]
    return _found(report, [*findings, *_denied_runtime(), *_accepted_mismatch(file)])


def check_url(
    url: str, path: str | Path, *, api_key: str | None = None, timeout: float = TIMEOUT
) -> CheckReport:
    """Whether a server serves this very model file, and answers its self-test rows as stored.

    Each row is sent alone, then all as one list. A file that can't be read, or a server that gives no answer, is a
    failure too. Raises ValueError for a URL, a key or a timeout that can't be one.
    """
    with Client(url, api_key=api_key, timeout=timeout) as client:
        report = CheckReport(target=client.base_url)
        try:
            file = read_model_file(path)
            report = _of(report, file)
            return _check_served(report, file, client)
        except (ClientError, ModelFileError) as err:
            return _found(report, [Finding("failure", str(err))])


def _check_served(report: CheckReport, file: ModelFile, client: Client) -> CheckReport:
    expected = _expected(file)
    served = client.model()
    if not client.ready():
        return _found(report, [Finding("failure", "the server is not ready; try again later")])
    findings = [Finding("ok", "the server is ready"), *_same_model(file, served)]
    return _replay(_found(report, findings), file, expected, client)


def _of(report: CheckReport, file: ModelFile) -> CheckReport:
    return replace(
        report,
        model=file.manifest.name,
        version=file.manifest.version,
        digest=file.digest,
        tolerance=file.selftest.tolerance,
    )


def _found(report: CheckReport, findings: Iterable[Finding]) -> CheckReport:
    return replace(report, findings=(*report.findings, *findings))


def _digest(digest: str) -> str:
    return f"digest {digest[:12]}…"


def _agreement(report: CheckReport) -> str:
    return (
        f"{report.rows} rows: {report.label_flips} label flips, "
        f"worst difference {report.worst_difference:.2g} (allowed {report.tolerance:g})"
    )


def _proven_on(file: ModelFile) -> str:
    release = file.manifest.get("parity", {}).get("onnxruntime")
    return f" (saved on {release})" if release else ""


def _denied_runtime() -> Iterator[Finding]:
    if runtime.VERSION.startswith(runtime.DENIED):
        text = f"ONNX Runtime {runtime.VERSION} is known for wrong answers; install another release"
        yield Finding("warning", text)


def _accepted_mismatch(file: ModelFile) -> Iterator[Finding]:
    if file.manifest.accepted_mismatch:
        text = "the model answers differently from its estimator: it was saved with allow_mismatch"
        yield Finding("warning", text)


def _same_model(file: ModelFile, served: dict[str, Any]) -> Iterator[Finding]:
    """Whether the server says that it serves this file."""
    if served.get("digest") == file.digest:
        yield Finding("ok", f"it serves this file: {_digest(file.digest)}")
    else:
        name, version = (str(served.get(key, "of unknown " + key)) for key in ("name", "version"))
        yield Finding(
            "failure",
            f"it serves another file, {name} {version} ({_digest(str(served.get('digest')))}), "
            f"not this one ({_digest(file.digest)}); deploy this one, or check against that one",
        )
    yield from _accepted_mismatch(file)


# ------------------------------------------------------------------------------------------------------------- replay


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How some answers differ from the expected ones. `faults` are answers that can't be compared."""

    label_flips: int
    worst_difference: float
    faults: tuple[str, ...]


def _expected(file: ModelFile) -> list[Answer]:
    selftest, signature = file.selftest, file.manifest.signature
    if signature.task == "tensor":
        names = [output.tensor for output in signature.outputs if output.role == "tensor"]
        rows = zip(*(selftest.expect[name] for name in names), strict=True)
        return [{n: restore_some(e) for n, e in zip(names, row, strict=True)} for row in rows]
    try:
        outputs = {
            output.tensor: np.array(
                selftest.expect[output.tensor],
                dtype=np.int64 if output.role == "label_code" else np.float64,
            )
            for output in signature.outputs
            if output.role != "refused"
        }
        return answer_rows(signature, outputs)
    except (KeyError, IndexError, TypeError, ValueError) as err:
        raise ModelFileError(
            "the stored answers don't fit the signature; save the model again"
        ) from err


def _replay(
    report: CheckReport, file: ModelFile, expected: Sequence[Answer], client: Client
) -> CheckReport:
    signature = file.manifest.signature
    rows = [file.selftest.row(i) for i in range(file.selftest.rows)]
    single, latency = _ask_singly(client, rows)
    alone = _compare(signature, expected, single)
    together = _compare(signature, expected, _ask(client, rows))
    report = replace(
        report,
        rows=len(rows),
        label_flips=max(alone.label_flips, together.label_flips),
        worst_difference=max(alone.worst_difference, together.worst_difference),
        latency=latency,
    )
    return _found(report, [*_judge(report, alone, together), _latency_finding(latency)])


def _ask_singly(client: Client, rows: Sequence[dict[str, Any]]) -> tuple[list[Any], Latency]:
    answers, seconds = [], []
    for row in rows:
        start = time.perf_counter()
        answers.append(_ask(client, row))
        seconds.append(time.perf_counter() - start)
    p50, p99 = np.percentile(seconds, [50, 99]).tolist()
    return answers, Latency(p50 * 1000, p99 * 1000)


def _ask(client: Client, data: Any) -> Any:
    """The answer, or the refusal in its place."""
    try:
        return client.predict(data)
    except RejectedRows as err:
        return err


def _judge(report: CheckReport, alone: _Outcome, together: _Outcome) -> Iterator[Finding]:
    agrees = report.label_flips == 0 and report.worst_difference <= report.tolerance
    faulty = max(len(alone.faults), len(together.faults))
    if faulty == 0:
        yield Finding("ok" if agrees else "failure", f"{_agreement(report)}, alone and as one list")
    else:
        yield Finding("failure", f"of {report.rows} rows {faulty} have no answer to compare")
    for how, faults in (("alone", alone.faults), ("as one list", together.faults)):
        for fault in faults[:_SHOWN_FAULTS]:
            yield Finding("failure", f"sent {how}, {fault}")
        if len(faults) > _SHOWN_FAULTS:
            yield Finding("failure", f"sent {how}, {len(faults) - _SHOWN_FAULTS} more rows fail")


def _latency_finding(latency: Latency) -> Finding:
    return Finding("ok", f"one row takes {latency.p50:.2f} ms (p50), {latency.p99:.2f} ms (p99)")


def _compare(signature: Signature, expected: Sequence[Answer], got: Any) -> _Outcome:
    if isinstance(got, RejectedRows):
        return _Outcome(0, 0.0, (f"the rows are refused: {got}",))
    if len(expected) != len(got):
        return _Outcome(0, 0.0, (f"{len(expected)} rows got {len(got)} answers",))
    flips, differences, faults = 0, [0.0], []
    for index, (wanted, answer) in enumerate(zip(expected, got, strict=True)):
        if signature.task == "tensor" and not isinstance(answer, RejectedRows):
            fault, difference = _compare_tensors(wanted, answer)
            differences.append(difference)
        elif not (fault := _fault(wanted, answer)):
            flips += bool(signature.class_sets) and not _same_label(wanted, answer)
            pair = _numbers(signature, wanted), _numbers(signature, answer)
            differences.append(worst(relative_difference(*pair)))
        if fault:
            faults.append(f"row {index} {fault}")
    return _Outcome(flips, max(differences), tuple(faults))


def _compare_tensors(wanted: Answer, answer: Any) -> tuple[str, float]:
    """Why an answer of tensors can't be compared with the stored elements, or nothing; and the worst
    difference.
    """
    if not isinstance(answer, dict) or list(answer) != list(wanted):
        return "got an answer of another form", 0.0
    largest = 0.0
    for name, (shape, every, elements) in wanted.items():
        try:
            got = np.array(answer[name])
        except ValueError:  # lists of different lengths side by side
            return f"got no tensor as {name!r}", 0.0
        if got.shape != shape:
            return f"got {name!r} in the shape {got.shape} instead of {shape}", 0.0
        found = got.ravel()[::every]
        if elements.dtype.kind in "Ob":
            largest = max(largest, 0.0 if found.tolist() == elements.tolist() else math.inf)
        elif found.dtype.kind not in "iuf" and found.size:
            return f"got no numbers as {name!r}", 0.0
        else:
            largest = max(largest, worst(relative_difference(elements, found)))
    return "", largest


def _fault(wanted: Answer, answer: Any) -> str:
    """Why an answer can't be compared with the expected one, or nothing."""
    if isinstance(answer, RejectedRows):
        return f"is refused: {answer}"
    return "" if _form(answer) == _form(wanted) else "got an answer of another form"


def _form(answer: Any) -> Any:
    """An answer without its values: keys, and the number and kind of what they hold."""
    if isinstance(answer, dict):
        return [(key, _form(value)) for key, value in answer.items()]
    if isinstance(answer, list):
        return [_form(value) for value in answer]
    is_number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
    return "number" if is_number else type(answer).__name__


def _same_label(wanted: Answer, answer: Answer) -> bool:
    return bool(wanted["prediction"] == answer["prediction"])


def _numbers(signature: Signature, answer: Answer) -> Array:
    """The numbers of an answer that may differ a little, as a flat array."""
    told = {**answer}
    if signature.class_sets:
        del told["prediction"]
    return np.array([*_flat(told)], dtype=np.float64)


def _flat(value: Any) -> Iterator[float]:
    """All numbers of an answer's part, in their order."""
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _flat(each)
    else:
        yield value
