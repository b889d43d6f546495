"""The fixed table from paths to route names, which keys, metrics and logs share."""

from __future__ import annotations

from typing import Literal

Route = Literal["predict", "model", "health", "metrics", "docs", "other"]

_ROUTES: dict[str, Route] = {
    "/predict": "predict",
    "/model": "model",
    "/health/live": "health",
    "/health/ready": "health",
    "/healthz": "health",
    "/ping": "health",
    "/metrics": "metrics",
    "/": "docs",
    "/docs": "docs",
    "/redoc": "docs",
    "/openapi.json": "docs",
}
_ASSETS = "/docs/assets/"


def route_of(path: str) -> Route:
    """The route that answers a path, below any prefix; "other" for what no route answers.

    path: decoded and as the router compares it, so a path that only looks alike (`/predict/`, `//predict`,
    `/docs/../predict`) is "other".
    """
    if path.startswith(_ASSETS) and "/" not in path[len(_ASSETS) :]:
        return "docs"
    return _ROUTES.get(path, "other")
