"""A request's body: what it is declared to be, and its bytes, never more of them than the limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxport.errors import Detail, TooLarge, shorten
from onnxport.server.problems import UnsupportedMediaType

if TYPE_CHECKING:
    from starlette.requests import Request

_JSON = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]+\+)?json")
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";]*)"?', re.IGNORECASE)


async def read_body(request: Request, *, limit: int) -> bytes:
    """The body of a JSON request. Raises UnsupportedMediaType before reading, TooLarge as soon as it is known."""
    refuse_media(request.headers.raw)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def refuse_media(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuses whatever isn't plain JSON in UTF-8; a body of no declared type is read as that.

    headers: their names in lower case. One that stands twice must be right both times.
    """
    for name, value in headers:
        if name == b"content-type":
            _refuse_type(value.decode("latin-1").strip())
    for name, value in headers:
        encoding = value.decode("latin-1").strip().lower()
        if name == b"content-encoding" and encoding not in ("", "identity"):
            raise _unsupported("content-encoding", encoding, "identity")


def _refuse_type(declared: str) -> None:
    media_type = declared.partition(";")[0].strip().lower()
    if media_type and not _JSON.fullmatch(media_type):
        raise _unsupported("content-type", media_type, "application/json")
    for charset in _CHARSET.findall(declared):
        if charset.strip().lower() not in ("utf-8", "utf8"):
            raise _unsupported("content-type", f"charset={charset.strip()}", "charset=utf-8")


def _unsupported(header: str, got: str, wanted: str) -> UnsupportedMediaType:
    message = f"the header {header} says {shorten(got)!r}; send plain JSON, and say {wanted!r} or leave it out"
    return UnsupportedMediaType([Detail("unsupported_media_type", (header,), message)])


def too_large(limit: int) -> TooLarge:
    """The error of a body over `limit` bytes."""
    message = f"the body is larger than {limit} bytes; send fewer rows at once"
    return TooLarge([Detail("too_large", (), message)])
