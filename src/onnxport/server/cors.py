"""CORS: which other origins' pages may call the API. None, and no header at all, unless the settings name some."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from onnxport.errors import SettingsError, shorten
from onnxport.server.request_ids import HEADER
from onnxport.settings import listed

if TYPE_CHECKING:
    from starlette.applications import Starlette

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s?#@*]+")


def origins(setting: str) -> list[str]:
    """The origins of a setting, as browsers write them. Raises SettingsError."""
    words = [word.lower() for word in listed(setting)]
    for word in words:
        if not _ORIGIN.fullmatch(word):
            raise SettingsError(
                f"--cors-origins has {shorten(word)!r}; give origins such as https://shop.example.com, "
                "with their scheme and without a path, or * for all"
            )
    return words


def always(setting: str) -> list[tuple[bytes, bytes]]:
    """The headers that all answers have, to requests without an Origin too: a cache must not mix them up."""
    return [(b"vary", b"Origin")] if origins(setting) else []


def allow(app: Starlette, setting: str) -> None:
    """Answers the pages of these origins, and their browsers' questions beforehand, which come without a key.

    No credentials: a key is sent by the page's own code, never by the browser of itself as a cookie is.
    """
    named = origins(setting)
    if named:
        from starlette.middleware.cors import CORSMiddleware

        app.add_middleware(
            CORSMiddleware,
            allow_origins=named,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "Authorization", "X-API-Key", HEADER],
            expose_headers=[HEADER],
        )
