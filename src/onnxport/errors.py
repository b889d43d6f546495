"""Everything that onnxport refuses or fails at, by its place in the flow; nothing here knows HTTP.

OnnxportError
├── ExportError           an estimator can't become a model file
│   ├── UnsupportedModel  a step, class or parameter that isn't known to convert exactly
│   └── ParityError       the converted graph answers differently from the estimator
├── ModelFileError        a file that can't be trusted: damaged, unknown format, failed self-test
├── RequestError          rows that can't be answered; carries one Detail for each fault
│   ├── DecodingError     the bytes aren't a JSON document
│   ├── ValidationError   the document doesn't fit the signature
│   ├── TooLarge          more bytes or rows than the limits allow
│   └── NonFiniteOutput   a legal row whose answer is infinite or not a number
├── InferenceError        the runtime failed on legal rows
├── OverloadedError       more work than can be queued
├── ClientError           a call over HTTP brought no answer
│   ├── ConnectionFailed  refused, broken off, timed out
│   └── ServerError       an answer that is none to the call; carries code, details, request id
│       ├── RejectedRows  also a RequestError: the rows are refused, for the reasons in `details`
│       └── ServerBusy    also an OverloadedError: try again after `retry_after` seconds
├── BuildError            an image that can't be built, sent or tried
├── DeployError           AWS refused or failed; carries the step, what AWS said, and what to try
└── SettingsError         a setting that isn't of its form
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_ECHO = 64
MAX_DETAILS = 100
_TOLD = 3  # how many faults an exception's own text tells


def shorten(text: str, limit: int = MAX_ECHO) -> str:
    """At most `limit` characters of a caller's text, printable and without lone surrogates."""
    safe = text[: limit + 1].encode("utf-8", "replace").decode("utf-8")
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in safe)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class Detail:
    """One fault in a request: a stable code, where it is, and a sentence that says what to do.

    `loc` is the path below the body: a row's index where there is a list, then the feature's name.
    `hint` holds what a program can use: `did_you_mean`, `allowed`.
    """

    code: str
    loc: tuple[str | int, ...]
    message: str
    hint: Mapping[str, Any] = field(default_factory=dict)


class OnnxportError(Exception):
    """The root: every refusal of onnxport is one of these. All of them cross process boundaries unchanged."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Restored without __init__: pickle would hand it the message, where it takes other arguments."""
        return _restore, (type(self), self.args), self.__dict__.copy()


def _restore(kind: type[OnnxportError], args: tuple[Any, ...]) -> OnnxportError:
    return kind.__new__(kind, *args)


class ExportError(OnnxportError):
    """The estimator can't be saved; the message says where, what, and what to do."""


class UnsupportedModel(ExportError):
    """A part of the estimator that isn't known to convert exactly.

    step: the path from the outermost estimator (`"clf"`, `"prep.num.scaler"`, `""` for the
    estimator itself).
    parameter: the parameter that decides, or None where the class itself is unknown.
    nearest: the nearest choice that works.
    """

    def __init__(
        self, *, step: str, estimator: str, reason: str, nearest: str, parameter: str | None = None
    ) -> None:
        self.step, self.estimator, self.parameter = step, estimator, parameter
        self.reason, self.nearest = reason, nearest
        where = f"step '{step}' ({estimator})" if step else estimator
        what = f", parameter {parameter}" if parameter else ""
        super().__init__(f"{where}{what}: {reason}. {nearest}")


class ParityError(ExportError):
    """The converted graph answers differently from the estimator; nothing was written.

    row: the worst row's values by feature name. row_set: which set it came from.
    column: the feature that matters most for the difference, or None.
    step: the path of the step at which estimator and graph first differ, "" for the estimator
    itself.
    expected, got: the estimator's answer and the graph's.
    """

    def __init__(
        self,
        message: str,
        *,
        row: Mapping[str, Any],
        row_set: str,
        column: str | None,
        expected: Any,
        got: Any,
        step: str = "",
    ) -> None:
        self.row, self.row_set, self.column, self.step = dict(row), row_set, column, step
        self.expected, self.got = expected, got
        super().__init__(message)


class ModelFileError(OnnxportError):
    """The file is not a model file that can be trusted on this runtime."""


class RequestError(OnnxportError):
    """Rows that can't be answered. `details` names each fault, at most 100."""

    def __init__(self, details: Sequence[Detail]) -> None:
        self.details = tuple(details[:MAX_DETAILS])
        told = "; ".join(detail.message for detail in details[:_TOLD])
        more = f"; and {len(details) - _TOLD} more" if len(details) > _TOLD else ""
        super().__init__(told + more)


class DecodingError(RequestError):
    """The bytes are not one UTF-8 JSON document of a sane depth."""


class ValidationError(RequestError):
    """The rows don't fit the signature."""


class TooLarge(RequestError):
    """More bytes or rows than the limits allow."""


class NonFiniteOutput(RequestError):
    """A legal row whose answer is infinite or not a number, which JSON can't carry."""


class InferenceError(OnnxportError):
    """The runtime failed on rows that fit the signature."""


class OverloadedError(OnnxportError):
    """More work than can be queued; try again later."""


class ClientError(OnnxportError):
    """A call over HTTP did not bring an answer."""


class ConnectionFailed(ClientError):
    """No answer at all: the connection was refused, broke off, or timed out."""


class ServerError(ClientError):
    """The server answered with an error, or with something that onnxport doesn't answer.

    status: the HTTP status. code: the stable code of the first detail. details: all of them.
    request_id: what the server's log knows this request by, or None.
    """

    def __init__(
        self, status: int, details: Sequence[Detail], request_id: str | None = None
    ) -> None:
        self.status, self.details, self.request_id = status, tuple(details), request_id
        self.code = self.details[0].code if self.details else "unknown"
        said = self.details[0].message if self.details else "no explanation"
        more = f" (and {len(self.details) - 1} more)" if len(self.details) > 1 else ""
        known_as = f"; request id {request_id}" if request_id and status >= 500 else ""
        Exception.__init__(self, f"{status} {self.code}: {said}{more}{known_as}")


class RejectedRows(ServerError, RequestError):
    """The server refuses the rows. `details` are those that `Model.predict` names, rows counted
    over the whole list.
    """


class ServerBusy(ServerError, OverloadedError):
    """The server can't take the request now. retry_after: the seconds that it asks for, or None."""

    def __init__(
        self,
        status: int,
        details: Sequence[Detail],
        request_id: str | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, details, request_id)
        self.retry_after = retry_after


class BuildError(OnnxportError):
    """An image can't be built, sent or tried; the message says where, what, and what to do.

    command: the program that failed, as an argument list, or empty. output: the last lines that it wrote.
    """

    def __init__(self, message: str, *, command: Sequence[str] = (), output: str = "") -> None:
        self.command, self.output = tuple(command), output
        super().__init__(message)


class DeployError(OnnxportError):
    """A step of a deployment failed, or can't be taken; the message says where, what, and what to do.

    step: what was being done, such as "create environment iris-blue", or "". said: AWS's own words, or "".
    remedy: what to try. resumable: nothing is wrong with what was asked, so that the same command can go on later:
    credentials, network, throttling, something that is busy.
    """

    def __init__(
        self,
        what: str,
        *,
        step: str = "",
        said: str = "",
        remedy: str = "",
        resumable: bool = False,
    ) -> None:
        self.what, self.step, self.said, self.remedy = what, step, said, remedy
        self.resumable = resumable
        where = f"{step}: " if step else ""
        super().__init__(where + what + (f"; {remedy}" if remedy else ""))


class SettingsError(OnnxportError):
    """A setting that isn't of its form; the message names it and where it was set."""
