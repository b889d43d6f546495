"""The only table from errors to HTTP statuses, and the one shape that every error has."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from starlette.exceptions import HTTPException

from onnxport.errors import (
    DecodingError,
    Detail,
    NonFiniteOutput,
    OverloadedError,
    RequestError,
    TooLarge,
    ValidationError,
)

if TYPE_CHECKING:
    from starlette.responses import Response

log = logging.getLogger(__name__)

RETRY_AFTER = "1"
REFUSED = "onnxport.refused"  # in an ASGI scope: the code of the error that is the answer


class UnsupportedMediaType(RequestError):
    """The body's media type, charset or encoding is none that is read here."""


class Unauthorized(RequestError):
    """The request has no API key, or none that this server knows."""


class BadHost(RequestError):
    """The request is meant for another host, or doesn't say for which.

    400 and not 421 (Misdirected Request): RFC 9112, section 3.2, asks for 400 where Host is missing, doubled or
    malformed, which is the same fault to whoever meets it; and 421 invites clients to try again (RFC 9110, 15.5.20).
    """


class Draining(OverloadedError):
    """The server is about to end and wants no more traffic."""


# From an error to its status; the first row that fits.
STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (DecodingError, 400),
    (BadHost, 400),
    (Unauthorized, 401),
    (UnsupportedMediaType, 415),
    (TooLarge, 413),
    (ValidationError, 422),
    (NonFiniteOutput, 422),
    (OverloadedError, 503),
)

_IN_HEADERS = (BadHost, Unauthorized, UnsupportedMediaType)  # where the fault is; else in the body

# What each status of POST /predict means, and the codes that come with it.
CODES: dict[int, tuple[str, tuple[str, ...]]] = {
    400: (
        "The body is not one JSON document, or the request is no HTTP, or for another host.",
        ("empty_body", "invalid_encoding", "invalid_json", "too_deep", "bad_request", "bad_host"),
    ),
    401: ("The API key is missing, or unknown.", ("unauthorized",)),
    408: ("The request came in too slowly.", ("request_timeout",)),
    413: ("The body holds too many bytes or rows.", ("too_large", "too_many_rows")),
    415: ("The body is not declared as plain JSON in UTF-8.", ("unsupported_media_type",)),
    422: (
        "The rows don't fit the signature, or their answer is infinite.",
        (
            "missing",
            "unknown_feature",
            "wrong_type",
            "wrong_shape",
            "null_not_allowed",
            "unknown_category",
            "non_finite",
            "out_of_range_integer",
            "duplicate_key",
            "invalid_string",
            "unanswerable",
            "non_finite_output",
        ),
    ),
    431: ("The headers are too many or too long.", ("headers_too_large",)),
    500: ("The server failed; its log knows the request id.", ("internal",)),
    503: ("The server has too much to do, or is about to end.", ("overloaded", "draining")),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as HTTP tells it."""

    status: int
    details: Sequence[Detail]
    headers: Mapping[str, str] = field(default_factory=dict)


def describe(err: Exception) -> Problem:
    """What the caller may know about an error."""
    if isinstance(err, HTTPException):
        return _of_http(err)
    status = next((status for kind, status in STATUSES if isinstance(err, kind)), 500)
    if isinstance(err, RequestError) and status < 500:
        root = "header" if isinstance(err, _IN_HEADERS) else "body"
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return Problem(status, [_below(root, detail) for detail in err.details], headers)
    if status == 503:
        code = "draining" if isinstance(err, Draining) else "overloaded"
        message = "the server can't take this request now; send it again after Retry-After seconds"
        return Problem(status, [Detail(code, (), message)], {"Retry-After": RETRY_AFTER})
    message = "the server failed; tell its operator the request id"
    return Problem(500, [Detail("internal", (), message)])


@dataclass(frozen=True, slots=True)
class Rendered:
    """The whole answer to an error; the names of headers in lower case."""

    status: int
    code: str
    headers: list[tuple[bytes, bytes]]
    content: bytes


def render(err: Exception, request_id: str) -> Rendered:
    """The answer to an error. One that is nobody's request's fault is logged with its traceback."""
    problem = describe(err)
    if problem.status == 500:
        log.error("request %s failed", request_id, exc_info=err, extra={"request_id": request_id})
    content = orjson.dumps(document(problem, request_id))
    headers = {
        "content-length": str(len(content)),
        "content-type": "application/json",
        **{name.lower(): value for name, value in problem.headers.items()},
        "x-request-id": request_id,
    }
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return Rendered(problem.status, problem.details[0].code, pairs, content)


def respond(err: Exception, request_id: str, scope: MutableMapping[str, Any]) -> Response:
    """The same as a response of Starlette's. Leaves its code in the ASGI scope, for whoever counts."""
    from starlette.responses import Response  # not needed where no application is

    rendered = render(err, request_id)
    scope[REFUSED] = rendered.code
    response = Response(rendered.content, status_code=rendered.status)
    response.raw_headers = rendered.headers
    return response


def document(problem: Problem, request_id: str) -> dict[str, Any]:
    """The one shape of every error."""
    return {"detail": [_plain(d) for d in problem.details], "request_id": request_id}


def _of_http(err: HTTPException) -> Problem:
    headers = dict(err.headers or {})
    if err.status_code == 404:
        message = "nothing is at this path; the API is POST /predict and GET /model, shown at /docs"
        return Problem(404, [Detail("not_found", ("path",), message)], headers)
    if err.status_code == 405:
        allowed = sorted(headers.get("Allow", "").split(", "))  # Starlette keeps a set
        headers["Allow"] = ", ".join(allowed)
        message = f"this path doesn't take this method; use {' or '.join(allowed)}"
        return Problem(405, [Detail("method_not_allowed", ("method",), message)], headers)
    if err.status_code == 413:
        message = "the body is larger than this application allows; send fewer rows at once"
        return Problem(413, [Detail("too_large", ("body",), message)], headers)
    if err.status_code == 408:
        message = "the request came in too slowly, and was given up; send it again, all at once"
        return Problem(408, [Detail("request_timeout", (), message)], headers)
    if err.status_code == 431:
        message = "the headers are too many or too long; send fewer, and fewer cookies"
        return Problem(431, [Detail("headers_too_large", ("header",), message)], headers)
    code = "internal" if err.status_code >= 500 else "bad_request"
    message = "the request can't be answered as it was sent; see /docs for what the API takes"
    return Problem(err.status_code, [Detail(code, (), message)], headers)


def _below(root: str, detail: Detail) -> Detail:
    return Detail(detail.code, (root, *detail.loc), detail.message, detail.hint)


def _plain(detail: Detail) -> dict[str, Any]:
    return {"type": detail.code, "loc": detail.loc, "msg": detail.message, **detail.hint}
