"""Who may call what: the one judgement of hosts and API keys, for FastAPI's routes and for the fast path alike."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxport.errors import Detail, RequestError
from onnxport.server.hosts import Hosts, read_hosts
from onnxport.server.keyring import Keyring, open_keyring
from onnxport.server.problems import BadHost, Unauthorized
from onnxport.server.routes import Route
from onnxport.settings import Settings, listed

HeaderPairs = Sequence[tuple[bytes, bytes]]

KEY_ID = "onnxport.key_id"  # in an ASGI scope: the id of the caller's key, or None
REFRESH = 1.0  # seconds between two looks at the key file
_BEARER = re.compile(rb"bearer[ \t]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of a request: whose key it has, if it was asked for one; and why it is refused, if it is."""

    key_id: str | None = None
    refusal: Exception | None = None


_OPEN = Verdict()


class Access:
    """The rules of one process. A verdict holds for the same route and headers as long as `generation` stays."""

    def __init__(
        self, *, keyring: Keyring | None, hosts: Hosts | None, public: frozenset[str]
    ) -> None:
        self._keyring, self._hosts, self._public = keyring, hosts, public | {"health"}

    @property
    def generation(self) -> int:
        """Rises when the keys change."""
        return 0 if self._keyring is None else self._keyring.generation

    @property
    def asks_for_keys(self) -> bool:
        return self._keyring is not None

    def is_open(self, route: Route) -> bool:
        """Whether a route asks for no key."""
        return self._keyring is None or route in self._public

    def refusals(self, route: Route) -> list[RequestError]:
        """Errors as a request to a route may be refused with, one of each kind."""
        hosts = [] if self._hosts is None or route == "health" else [_bad_host()]
        return [*hosts, *([] if self.is_open(route) else [unauthorized(_MISSING)])]

    def judge(self, route: Route, headers: HeaderPairs) -> Verdict:
        """The verdict on a request with these headers, their names in lower case.

        Health is open to all: a load balancer has no key, and asks by address instead of name.
        """
        if route == "health":
            return _OPEN
        if self._hosts is not None and not self._hosts.take(headers):
            return Verdict(refusal=_bad_host())
        if self._keyring is None or route in self._public:
            return _OPEN
        try:
            key = presented(headers)
        except Unauthorized as err:
            return Verdict(refusal=err)
        known_as = self._keyring.keys.find(key)
        return Verdict(known_as) if known_as else Verdict(refusal=unauthorized(_UNKNOWN))

    def refresh(self) -> None:
        """Takes up a changed key file. For every second: it costs one look at the file."""
        if self._keyring is not None:
            self._keyring.refresh()


def open_access(settings: Settings, environment: Mapping[str, str] | None = None) -> Access:
    """The rules that the settings and the environment name. Raises SettingsError."""
    return Access(
        keyring=open_keyring(settings, os.environ if environment is None else environment),
        hosts=read_hosts(settings.hosts),
        public=frozenset(listed(settings.public)),
    )


def presented(headers: HeaderPairs) -> bytes:
    """The key that a request presents, as `Authorization: Bearer KEY`, `X-API-Key: KEY`, or both alike.

    Two that differ, or one header twice, are refused, right or wrong: whatever is in front of this server may have
    looked at the other one. Raises Unauthorized.
    """
    bearers = [value for name, value in headers if name == b"authorization"]
    plain = [value for name, value in headers if name == b"x-api-key"]
    if len(bearers) > 1 or len(plain) > 1:
        raise unauthorized(_TWICE)
    keys = [_BEARER.sub(b"", value, count=1) for value in bearers if _BEARER.match(value)]
    keys = [key.strip(b" \t") for key in keys + plain]
    if not any(keys):
        raise unauthorized(_MISSING)
    if not all(hmac.compare_digest(keys[0], key) for key in keys):
        raise unauthorized(_TWICE)
    return keys[0]


_HOW = "send it as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'"
_MISSING = f"this needs an API key; {_HOW}"
_TWICE = f"the API key stands in the headers twice; {_HOW}, once"
_UNKNOWN = "the API key is not one of this server's; ask its operator for a new one"
_NOT_LISTED = "the header Host names no host of this server; call it by a name that it is known by"


def unauthorized(message: str) -> Unauthorized:
    """The refusal of a request for its key."""
    return Unauthorized([Detail("unauthorized", ("authorization",), message)])


def _bad_host() -> BadHost:
    return BadHost([Detail("bad_host", ("host",), _NOT_LISTED)])
