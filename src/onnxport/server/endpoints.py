"""The routes: predict, model and health, mountable in any FastAPI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from onnxport.codec import Limits
from onnxport.predictor import Model, load
from onnxport.server import problems
from onnxport.server.body import read_body
from onnxport.server.facts import model_facts
from onnxport.server.operations import (
    Operation,
    health_operation,
    model_operation,
    predict_operation,
)
from onnxport.server.readiness import Readiness
from onnxport.server.request_ids import HEADER, request_id
from onnxport.server.workers import Workers
from onnxport.settings import Settings, read_settings

Endpoint = Callable[[Request], Awaitable[Response]]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


def router(model: str | Path | bytes | Model, *, settings: Settings | None = None) -> APIRouter:
    """The routes of one model: POST /predict, GET /model, GET /health/live and /health/ready.

    For `app.include_router(onnxport.router(model), prefix="/iris")`: the application's own /docs then shows this
    model's types, and errors on these routes keep onnxport's shape, whatever the application does with its own.
    settings: by default from the environment; only the limits count here.
    Raises ModelFileError, SettingsError.
    """
    told = settings or read_settings()
    opened = model if isinstance(model, Model) else load(model)
    return model_routes(opened, told, Readiness())


def model_routes(model: Model, settings: Settings, readiness: Readiness) -> APIRouter:
    """The same for an open model and a readiness that somebody else withdraws."""
    routes, workers = APIRouter(), Workers(model, _limits(settings))
    _add(
        routes,
        "/predict",
        _predict(workers, max_body=settings.max_body),
        predict_operation(model, max_rows=settings.max_rows, max_body=settings.max_body),
        method="POST",
    )
    _add(routes, "/model", _fixed(orjson.dumps(model_facts(model))), model_operation())
    _add_health(routes, readiness)
    return routes


def _limits(settings: Settings) -> Limits:
    return Limits(settings.max_rows, settings.max_cells, settings.max_string)


def _add_health(routes: APIRouter, readiness: Readiness) -> None:
    live, ready = _fixed(b'{"status":"live"}'), _ready(readiness)
    _add(routes, "/health/live", live, health_operation("Is the server alive?", can_refuse=False))
    _add(routes, "/health/ready", ready, health_operation("Can it take traffic?", can_refuse=True))
    for alias in ("/healthz", "/ping"):
        _add(routes, alias, ready, None)


def _predict(workers: Workers, *, max_body: int) -> Endpoint:
    async def predict(request: Request) -> Response:
        answer = await workers.answer(await read_body(request, limit=max_body))
        return Response(answer, media_type="application/json")

    return predict


def _fixed(content: bytes) -> Endpoint:
    async def tell(_: Request) -> Response:
        return Response(content, media_type="application/json")

    return tell


def _ready(readiness: Readiness) -> Endpoint:
    async def ready(_: Request) -> Response:
        if readiness.draining:
            raise problems.Draining
        return Response(b'{"status":"ready"}', media_type="application/json")

    return ready


def _refuse(allow: str) -> Endpoint:
    async def refuse(_: Request) -> Response:
        raise HTTPException(405, headers={"Allow": allow})

    return refuse


def _add(
    routes: APIRouter,
    path: str,
    endpoint: Endpoint,
    operation: Operation | None,
    *,
    method: str = "GET",
) -> None:
    """One route; its HEAD and its 405 are routes of their own, so that OpenAPI shows what is meant to be called."""
    name = path.strip("/").replace("/", "_").removeprefix("health_")
    routes.add_api_route(
        path,
        _answered(endpoint),
        methods=[method],
        name=name,
        tags=["health"] if "health" in path else ["model"],
        include_in_schema=operation is not None,
        openapi_extra=operation,
        response_model=None,
    )
    taken = {method}
    if method == "GET":
        taken.add("HEAD")
        _add_hidden(routes, path, endpoint, {"HEAD"})
    _add_hidden(routes, path, _refuse(", ".join(sorted(taken))), METHODS - taken)


def _add_hidden(routes: APIRouter, path: str, endpoint: Endpoint, methods: Set[str]) -> None:
    routes.add_api_route(
        path,
        _answered(endpoint),
        methods=sorted(methods),
        include_in_schema=False,
        response_model=None,
    )


def _answered(endpoint: Endpoint) -> Endpoint:
    """The endpoint with its errors in our shape and the request id on its answer, in any application."""

    async def answered(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        except Exception as err:
            return problems.answer(err, request_id(request.scope))
        response.headers[HEADER] = request_id(request.scope)
        return response

    return answered
