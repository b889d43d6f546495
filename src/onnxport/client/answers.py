"""An HTTP answer: its JSON where all is well, else the typed error that it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from onnxport.errors import Detail, RejectedRows, ServerBusy, ServerError, shorten

_MAX_MESSAGE = 500

_REJECTED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end. `headers` finds names whatever their case."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before the next try, where a 503 names them as a number (RFC 9110, section 10.2.3)."""
        text = self.headers.get("Retry-After", "").strip()
        if self.status != HTTPStatus.SERVICE_UNAVAILABLE or not (text.isascii() and text.isdigit()):
            return None
        return float(text[:9])

    def document(self) -> Any:
        """The JSON of an answer with status 200. Raises ServerError or a subclass for everything else."""
        if 300 <= self.status < 400:
            where = shorten(self.headers.get("Location", "nowhere"), 200)
            message = f"{self.url} redirects to {where}; give the address that answers itself"
            raise ServerError(self.status, [Detail("redirected", (), message)])
        try:
            document = json.loads(self.content)
        except (ValueError, RecursionError):
            kind = self.headers.get("Content-Type", "").partition(";")[0] or "no type"
            raise foreign(self.status, f"{self.url} answered {shorten(kind)}, not JSON") from None
        if self.status == HTTPStatus.OK:
            return document
        raise self._error(document)

    def _error(self, document: Any) -> ServerError:
        details = _details(document)
        if not details:
            return foreign(self.status, f"{self.url} answered an error in a form of its own")
        said = document.get("request_id")
        request_id = said if isinstance(said, str) else None
        if self.status in _REJECTED:
            return RejectedRows(self.status, details, request_id)
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return ServerBusy(self.status, details, request_id, retry_after=self.retry_after)
        return ServerError(self.status, details, request_id)


def foreign(status: int, what: str) -> ServerError:
    """The error for an answer that onnxport doesn't give."""
    if status >= 500:
        message = f"{what}; perhaps a gateway in front of the server, which is down or slow"
    else:
        message = f"{what}; is it an onnxport server, and its base URL complete?"
    return ServerError(status, [Detail("not_onnxport", (), message)])


def _details(document: Any) -> list[Detail]:
    """The faults that an error body of onnxport names, none where it is another server's."""
    listed = document.get("detail") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return []
    return [_detail(entry) for entry in listed if isinstance(entry, dict) and "msg" in entry]


def _detail(entry: dict[str, Any]) -> Detail:
    given = entry.get("loc")
    loc = tuple(given) if isinstance(given, list) else ()
    hint = {key: value for key, value in entry.items() if key not in ("type", "loc", "msg")}
    code = shorten(str(entry.get("type", "unknown")))
    message = shorten(str(entry["msg"]), _MAX_MESSAGE)
    return Detail(code, loc[1:] if loc[:1] == ("body",) else loc, message, hint)
