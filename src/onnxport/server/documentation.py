"""The pages /docs and /redoc, which need nothing but this server: no other address stands in a page or is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="docs/assets/favicon.png">
{head}</head>
<body>
<div id="page"></div>
{scripts}</body>
</html>
"""
_STYLE = '<link rel="stylesheet" href="docs/assets/{}">\n'
_SCRIPT = '<script src="docs/assets/{}"></script>\n'

# No validator badge (it would send the API's address to swagger.io), and the models unfolded below the calls.
_SWAGGER_START = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""
_REDOC_START = b"""Redoc.init(
  "openapi.json",
  { disableSearch: true, hideDownloadButton: false, showExtensions: true, sanitize: true },
  document.getElementById("page"),
);
"""
# Swagger UI and ReDoc put style elements into the page.
_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFETY = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_EMPTY_IMAGE = b"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"
# What ReDoc would ask of, or link to on, other servers.
_REPLACED = {
    b"https://cdn.redoc.ly/redoc/logo-mini.svg": _EMPTY_IMAGE,
    b"https://redocly.com/redoc/": b"#",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    """A file of the docs pages: its media type, and where its bytes are from."""

    media_type: str
    file: str | None = None
    content: bytes = b""


_ASSETS = {
    "swagger-ui.css": _Asset("text/css", "swagger-ui.css"),
    "swagger-ui-bundle.js": _Asset("text/javascript", "swagger-ui-bundle.js"),
    "swagger-start.js": _Asset("text/javascript", content=_SWAGGER_START),
    "redoc.standalone.js": _Asset("text/javascript", "redoc.standalone.js"),
    "redoc-start.js": _Asset("text/javascript", content=_REDOC_START),
    "favicon.png": _Asset("image/png", "favicon.png"),
}


def documentation(*, title: str) -> APIRouter:
    """GET /docs (Swagger UI), GET /redoc, their assets, and / which leads to /docs."""
    routes = APIRouter(include_in_schema=False)
    swagger = _page(title, ["swagger-ui.css"], ["swagger-ui-bundle.js", "swagger-start.js"])
    redoc = _page(title, [], ["redoc.standalone.js", "redoc-start.js"])

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def root(request: Request) -> Response:
        prefix = request.scope.get("root_path", "").rstrip("/")
        return RedirectResponse(f"{prefix}/docs" if prefix else "docs")

    @routes.api_route("/docs", methods=["GET", "HEAD"])
    async def docs() -> Response:
        return _html(swagger)

    @routes.api_route("/redoc", methods=["GET", "HEAD"])
    async def redoc_page() -> Response:
        return _html(redoc)

    @routes.api_route("/docs/assets/{name}", methods=["GET", "HEAD"])
    async def asset(name: str, request: Request) -> Response:
        return _asset(name, known=request.headers.get("if-none-match", ""))

    return routes


def _page(title: str, styles: list[str], scripts: list[str]) -> str:
    return _PAGE.format(
        title=escape(title),
        head="".join(map(_STYLE.format, styles)),
        scripts="".join(map(_SCRIPT.format, scripts)),
    )


def _html(page: str) -> Response:
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, **_SAFETY})


def _asset(name: str, *, known: str) -> Response:
    if name not in _ASSETS:
        raise HTTPException(404)
    content, tag = _read(name)
    headers = {"ETag": tag, "Cache-Control": "public, max-age=3600", **_SAFETY}
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_ASSETS[name].media_type, headers=headers)


@cache
def _read(name: str) -> tuple[bytes, str]:
    """An asset's bytes and their ETag."""
    asset = _ASSETS[name]
    content = asset.content if asset.file is None else (_folder() / asset.file).read_bytes()
    for theirs, ours in _REPLACED.items():
        content = content.replace(theirs, ours)
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'


@cache
def _folder() -> Path:
    """The static files of the package fastapi-offline, found without running its code."""
    found = find_spec("fastapi_offline")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the package fastapi-offline, which holds the docs pages' files")
    return Path(found.submodule_search_locations[0]) / "static"
