"""The routes: predict, model and health, mountable in any FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from onnxport.predictor import Model
from onnxport.server import problems
from onnxport.server.body import read_body
from onnxport.server.facts import model_facts
from onnxport.server.metrics import Metrics
from onnxport.server.operations import (
    Operation,
    health_operation,
    metrics_operation,
    model_operation,
    predict_operation,
)
from onnxport.server.readiness import Readiness
from onnxport.server.request_ids import HEADER, request_id, respond
from onnxport.server.scheduler import Gone, Scheduler
from onnxport.server.service import Service, open_service
from onnxport.settings import Settings, read_settings

Endpoint = Callable[[Request], Awaitable[Response]]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


def router(model: str | Path | bytes | Model, *, settings: Settings | None = None) -> APIRouter:
    """The routes of one model: POST /predict, GET /model, GET /health/live and /health/ready.

    For `app.include_router(onnxport.router(model), prefix="/iris")`: the application's own /docs then shows this
    model's types, and errors on these routes keep onnxport's shape, whatever the application does with its own.
    settings: by default from the environment; only the limits count here. Neither API keys nor hosts do: who may call
    is the application's to decide, by `dependencies=` of `include_router` or its own middleware.
    Raises ModelFileError, SettingsError.
    """
    return model_routes(open_service(model, settings or read_settings()))


def model_routes(service: Service) -> APIRouter:
    """The routes of an open service."""
    routes, told, model = APIRouter(), service.settings, service.model
    _add(
        routes,
        "/predict",
        _predict(service.scheduler, max_body=told.max_body),
        predict_operation(model, max_rows=told.max_rows, max_body=told.max_body),
        method="POST",
    )
    _add(routes, "/model", _fixed(orjson.dumps(model_facts(model))), model_operation())
    _add_health(routes, service.readiness)
    return routes


def _add_health(routes: APIRouter, readiness: Readiness) -> None:
    live, ready = _fixed(b'{"status":"live"}'), _ready(readiness)
    _add(routes, "/health/live", live, health_operation("Is the server alive?", can_refuse=False))
    _add(routes, "/health/ready", ready, health_operation("Can it take traffic?", can_refuse=True))
    for alias in ("/healthz", "/ping"):
        _add(routes, alias, ready, None)


def metrics_routes(metrics: Metrics) -> APIRouter:
    """GET /metrics, for Prometheus."""
    routes = APIRouter()

    async def tell(request: Request) -> Response:
        content, media_type = metrics.render(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": media_type})

    _add(routes, "/metrics", tell, metrics_operation())
    return routes


def _predict(scheduler: Scheduler, *, max_body: int) -> Endpoint:
    async def predict(request: Request) -> Response:
        body = await read_body(request, limit=max_body)
        if scheduler.is_short(body):
            return _json(scheduler.answer_short(body))
        gone = asyncio.create_task(_until_gone(request))
        try:
            return _json(await scheduler.answer(body, gone.done))
        finally:
            gone.cancel()

    return predict


async def _until_gone(request: Request) -> None:
    """Ends when the caller closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _fixed(content: bytes) -> Endpoint:
    async def tell(_: Request) -> Response:
        return _json(content)

    return tell


def _ready(readiness: Readiness) -> Endpoint:
    async def ready(_: Request) -> Response:
        if readiness.draining:
            raise problems.Draining
        return _json(b'{"status":"ready"}')

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
        except (ClientDisconnect, Gone):
            return Response(status_code=400)  # nobody is left to read it
        except Exception as err:
            return respond(err, request.scope)
        response.headers[HEADER] = request_id(request.scope)
        return response

    return answered
