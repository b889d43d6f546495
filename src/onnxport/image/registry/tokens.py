"""What a registry wants to see before it answers: basic authentication, or a bearer token from a token server.

The flow is that of https://distribution.github.io/distribution/spec/auth/token/: a 401 names the token server, the
server gets the credentials and gives a token for one repository, and the token goes to the registry.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from onnxport.errors import BuildError
from onnxport.image.credentials import Credentials
from onnxport.image.registry.answers import Answer

PULL, PUSH = "pull", "pull,push"

_MAX_HEADER = 8192
_MAX_TOKEN = 65536
_LIFETIME = 60.0  # seconds of a token that doesn't say, by the specification
_PART = re.compile(
    r"""([\w!#$%&'*+.^`|~-]+)              # a parameter's name or a scheme
        (?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?  # the parameter's value""",
    re.VERBOSE | re.ASCII,
)

Ask = Callable[[str, Mapping[str, str], Mapping[str, str] | None], Answer]


@dataclass(frozen=True, slots=True)
class Challenge:
    """A `WWW-Authenticate` header's demand (RFC 9110, section 11.3). scheme: in small letters."""

    scheme: str
    parameters: Mapping[str, str]


class Authorization:
    """Our standing at one repository of a registry. ask: fetches a URL with headers, as a form where one is given."""

    def __init__(
        self, registry: str, repository: str, credentials: Credentials | None, ask: Ask
    ) -> None:
        self._registry, self._repository = registry, repository
        self._credentials, self._ask = credentials, ask
        self._challenge: Challenge | None = None
        self._tokens: dict[str, tuple[str, float]] = {}

    def header(self, actions: str) -> str | None:
        """What to send along, or None as long as nothing was asked for. A token that is about to end is renewed."""
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            return self._credentials.basic if self._credentials else None
        token, end = self._tokens.get(actions, ("", 0.0))
        if time.monotonic() >= end:
            token, lifetime = self._fetch(self._challenge, actions)
            self._tokens[actions] = token, time.monotonic() + lifetime
        return f"Bearer {token}"

    def accept(self, demands: Sequence[str], actions: str) -> bool:
        """Learns from the headers of a 401. False where we have nothing to answer it with."""
        found = {demand.scheme: demand for demand in parse_challenges(demands)}
        bearer, basic = found.get("bearer"), found.get("basic")
        if bearer is not None and bearer.parameters.get("realm"):
            challenge = bearer
        elif basic is not None and self._credentials is not None and self._credentials.password:
            challenge = basic
        else:
            return False
        self._challenge = challenge
        self._tokens.pop(actions, None)
        return True

    def _fetch(self, challenge: Challenge, actions: str) -> tuple[str, float]:
        realm = challenge.parameters["realm"]
        asked = {"scope": f"repository:{self._repository}:{actions}"}
        if challenge.parameters.get("service"):
            asked["service"] = challenge.parameters["service"]
        known = self._credentials
        if known and known.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": known.identity_token}
            answer = self._ask(realm, {}, {**asked, **form, "client_id": "onnxport"})
        else:
            headers = {"Authorization": known.basic} if known else {}
            joint = "&" if "?" in realm else "?"
            answer = self._ask(realm + joint + urlencode(asked), headers, None)
        return self._read(answer)

    def _read(self, answer: Answer) -> tuple[str, float]:
        if answer.status in (400, 401, 403):
            raise self._refused()
        try:
            document: Any = json.loads(answer.content)
            token = document.get("token") or document.get("access_token")
            lifetime = document.get("expires_in")
        except (ValueError, RecursionError, AttributeError):
            token, lifetime = None, None
        if not isinstance(token, str) or not _is_token(token):
            raise BuildError(
                f"the token server of {self._registry} answered {answer.status} and gave no token; try again later"
            )
        is_known = isinstance(lifetime, (int, float)) and 0 < lifetime < 1e9
        return token, 0.8 * float(lifetime if is_known else _LIFETIME)

    def _refused(self) -> BuildError:
        if self._credentials is None:
            return BuildError(
                f"{self._registry} gives nobody without credentials a token for {self._repository}; "
                f"run docker login {self._registry}, or give --registry-user"
            )
        return BuildError(
            f"the token server of {self._registry} refuses the credentials from {self._credentials.source}; "
            f"correct them, or run docker login {self._registry} again"
        )


def parse_challenges(values: Sequence[str]) -> list[Challenge]:
    """The demands of one or several headers; what is no demand is passed over."""
    found: list[Challenge] = []
    for value in values:
        parameters: dict[str, str] = {}
        for name, quoted, plain in _PART.findall(value[:_MAX_HEADER]):
            if quoted or plain:
                parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) or plain
            elif name.lower() in ("basic", "bearer"):
                parameters = {}
                found.append(Challenge(name.lower(), parameters))
    return found


def _is_token(text: str) -> bool:
    return 0 < len(text) <= _MAX_TOKEN and text.isascii() and text.isprintable() and " " not in text
