"""Stands before moto: writes down each call, lets scripted failures strike, and answers `/onnxport-fake/`."""

from __future__ import annotations

import io
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import botocore.session

from tests.deploy.fake_aws.control import Control
from tests.deploy.fake_aws.state import World

CONTROL = "/onnxport-fake/"
_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]*)/([^/]*)/aws4_request")
_ERRORS = {  # failure: code, status, message
    "throttling": ("Throttling", 400, "Rate exceeded"),
    "expired_credentials": (
        "ExpiredToken",
        403,
        "The security token included in the request is expired",
    ),
    "access_denied": ("AccessDenied", 403, "User: {arn} is not authorized to perform: {action}"),
    "internal_error": ("InternalFailure", 500, "An internal error occurred."),
}


@dataclass
class Seen:
    """A call that came. error: the code of a failure that struck it, or what went wrong in the fake itself."""

    service: str
    operation: str
    region: str
    parameters: dict[str, Any]
    status: int = 0
    error: str = ""


@dataclass
class Front:
    """app: moto's."""

    app: WSGIApplication
    world: World
    control: Control
    seen: list[Seen] = field(default_factory=list)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        body = _body(environ)
        if path.startswith(CONTROL):
            return self.control.answer(path.removeprefix(CONTROL), environ, body, start)
        self.world.settle()
        seen = _identify(environ, body)
        self.seen.append(seen)
        struck = self._strike(seen, environ)
        if struck == "connection_lost":
            return self._hang_up(seen, struck)
        if struck:
            return _refuse(seen, struck, start)
        answer = self._answer(seen, environ, start)
        if self._strikes("answer_lost", seen):
            return self._hang_up(seen, "answer_lost")
        return answer

    def _strikes(self, fail: str, seen: Seen) -> bool:
        return self.world.scripts.strikes(
            fail,
            operation=seen.operation,
            service=seen.service,
            environment=str(seen.parameters.get("EnvironmentName", "")),
        )

    def _strike(self, seen: Seen, environ: WSGIEnvironment) -> str:
        if not environ.get("HTTP_AUTHORIZATION"):
            return ""  # a link that was signed before
        for fail in (*_ERRORS, "connection_lost"):
            if self._strikes(fail, seen):
                return fail
        return ""

    @staticmethod
    def _hang_up(seen: Seen, fail: str) -> Iterable[bytes]:
        seen.error = fail
        raise ConnectionAbortedError(fail)

    def _answer(
        self, seen: Seen, environ: WSGIEnvironment, start: StartResponse
    ) -> Iterable[bytes]:
        """What moto says; what it can't do is told loudly, and with a status after which nobody tries again."""
        held: list[Any] = []

        def hold(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[..., Any]:
            held[:] = [status, headers]
            return lambda _: None

        try:
            chunks = list(self.app(environ, hold))
        except Exception as err:
            traceback.print_exc(file=sys.stderr)
            chunks, held[:] = [], ["500", []]
            seen.error = f"{type(err).__name__}: {err}"
        seen.status = int(held[0].split(" ")[0])
        if seen.status in (500, 501):
            seen.status, seen.error = 501, seen.error or "not implemented"
            print(f"fake AWS can't {seen.service} {seen.operation}: {seen.error}", file=sys.stderr)
            return _error(seen, "NotImplemented", 501, f"fake AWS: {seen.error}", start)
        start(*held)
        return chunks


def _body(environ: WSGIEnvironment) -> bytes:
    """The request's body, which moto reads again. Bodies in pieces are left to it."""
    length = environ.get("CONTENT_LENGTH")
    if not length:
        return b""
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _identify(environ: WSGIEnvironment, body: bytes) -> Seen:
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    region, service = (scope[2], scope[3]) if scope else ("", "s3")
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return Seen(service, target.rpartition(".")[2], region, _json(body))
    form = dict(parse_qsl(body.decode("utf-8", "replace"))) if len(body) < 1_000_000 else {}
    if "Action" in form:
        operation = form.pop("Action")
        form.pop("Version", None)
        return Seen(service, operation, region, dict(form))
    place = f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '')}"
    query = environ.get("QUERY_STRING", "")
    return Seen(service, place, region, dict(parse_qsl(query, keep_blank_values=True)))


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refuse(seen: Seen, fail: str, start: StartResponse) -> Iterable[bytes]:
    code, status, message = _ERRORS[fail]
    arn = "arn:aws:iam::123456789012:user/tester"
    action = f"{seen.service}:{seen.operation}"
    seen.status, seen.error = status, code
    return _error(seen, code, status, message.format(arn=arn, action=action), start)


def _error(
    seen: Seen, code: str, status: int, message: str, start: StartResponse
) -> Iterable[bytes]:
    """In the form of the service's protocol."""
    protocol = _protocol(seen.service)
    if "json" in protocol:
        names = {"ExpiredToken": "ExpiredTokenException", "Throttling": "ThrottlingException"}
        names["AccessDenied"] = "AccessDeniedException"
        document = {"__type": names.get(code, code), "message": message}
        kind, text = "application/x-amz-json-1.1", json.dumps(document)
    else:
        kind = "text/xml"
        detail = f"<Code>{code}</Code><Message>{message}</Message>"
        text = {
            "rest-xml": f"<Error>{detail}</Error>",
            "ec2": f"<Response><Errors><Error>{detail}</Error></Errors></Response>",
        }.get(
            protocol, f"<ErrorResponse><Error><Type>Sender</Type>{detail}</Error></ErrorResponse>"
        )
    content = text.encode()
    start(f"{status} Refused", [("Content-Type", kind), ("Content-Length", str(len(content)))])
    return [content]


def _protocol(service: str) -> str:
    names = {
        "elasticloadbalancing": "elbv2",
        "monitoring": "cloudwatch",
        "tagging": "resourcegroupstaggingapi",
    }
    try:
        model = botocore.session.get_session().get_service_model(names.get(service, service))
    except botocore.exceptions.UnknownServiceError:
        return "query"
    return str(model.protocol)
