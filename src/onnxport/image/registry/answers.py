"""A registry's answers, and in which words its refusals reach the user."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from onnxport.errors import BuildError, shorten
from onnxport.image.credentials import Credentials
from onnxport.image.registry.patience import PassingError, seconds_of

_AGAIN = "run the command again, it goes on where it ended"
_MAX_WORDS = 2000
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_IMMUTABLE = re.compile(
    r"immutab|TAG_INVALID|already.?exists?|cannot be overwritten", re.IGNORECASE
)
REFUSALS = frozenset({400, 403, 405, 409, 412, 422})  # among which a registry says that a tag stays


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body was read, to its end or to the limit. `headers` finds names whatever their case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)  # it may be a token

    @property
    def said(self) -> str:
        """The registry's own words: code and message of its first error, or the start of its text."""
        try:
            first = json.loads(self.content)["errors"][0]
            words = [first.get("code"), first.get("message")]
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            text = self.content[:_MAX_WORDS].decode("utf-8", "replace").strip()
            words = [] if text.startswith("<") else [text]
        return ": ".join(str(word) for word in words if word)

    @property
    def is_lost_upload(self) -> bool:
        """Whether a registry has forgotten an upload, or not got the bytes that were sent: a new one may go well."""
        if self.status == HTTPStatus.BAD_REQUEST:
            return re.match("DIGEST_INVALID|SIZE_INVALID|BLOB_UPLOAD", self.said) is not None
        return self.status in (HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)

    @property
    def is_immutable(self) -> bool:
        """Whether this refuses to move a tag. ECR says TAG_INVALID, Harbor 412, others an own sentence."""
        text = self.content[:4096].decode("utf-8", "replace")
        return _IMMUTABLE.search(text) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """What is being done where, in the words of a message.

    doing: such as "push team/iris". missing: what isn't there if the answer is 404.
    """

    registry: str
    doing: str
    missing: str
    credentials: Credentials | None

    def refuse(self, answer: Answer) -> Exception:
        """The error for an answer that isn't what was asked for; a PassingError where it may be another next time."""
        said = self.credentials.redact(answer.said) if self.credentials else answer.said
        said = shorten(said, 200)  # not before: what is left of half a secret would stay
        words = f" ({said})" if said else ""
        if answer.status not in _PASSING:
            return BuildError(self._sentence(answer.status, words))
        wait = seconds_of(answer.headers.get("Retry-After", ""))
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            remedy = f"try again in {wait:.0f} s" if wait else "try again later"
            return PassingError(f"{self.registry} wants fewer requests{words}", remedy, wait)
        return PassingError(f"{self.registry} failed with {answer.status}{words}", _AGAIN, wait)

    def failed(self, what: str, remedy: str = _AGAIN) -> PassingError:
        """The error where no answer came."""
        return PassingError(what, remedy)

    def _sentence(self, status: int, words: str) -> str:
        where = self.registry
        if status == HTTPStatus.UNAUTHORIZED:
            return self._unauthorized()
        if status == HTTPStatus.FORBIDDEN:
            return f"{where} doesn't let us {self.doing}{words}; ask its owner for the right"
        if status == HTTPStatus.NOT_FOUND:
            return f"{where} has no {self.missing}{words}; correct the name, or create it there"
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return f"{where}, or a proxy before it, takes no layer of this size; raise its limit"
        if 300 <= status < 400:
            return f"{where} redirects without end or aim; name the registry that answers itself"
        return f"{where} refused to {self.doing}: {status}{words}; is it a registry, and is the name right?"

    def _unauthorized(self) -> str:
        login = f"run docker login {self.registry}"
        if self.credentials is None:
            return f"{self.registry} wants credentials to {self.doing}; {login}, or give --registry-user"
        source = self.credentials.source
        return (
            f"{self.registry} refuses to {self.doing} with the credentials from {source}; "
            f"correct them, or {login} again"
        )
