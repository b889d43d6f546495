"""Puts the application together: routes, pages, request ids, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from onnxport.predictor import Model
from onnxport.server import cors
from onnxport.server.access import Access
from onnxport.server.documentation import documentation
from onnxport.server.endpoints import metrics_routes, model_routes
from onnxport.server.guard import Guard
from onnxport.server.observed import Observed
from onnxport.server.operations import guard_operations, hoist_components, operation_id
from onnxport.server.readiness import Readiness
from onnxport.server.request_ids import RequestIds, respond
from onnxport.server.service import Service, open_service
from onnxport.settings import Settings, read_settings

_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


class ModelApp(FastAPI):
    """A FastAPI application whose OpenAPI document names each schema once; knows its readiness, and who may call."""

    readiness: Readiness
    access: Access
    prefix: str = ""  # what a proxy strips from the path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.prefix:
            scope["root_path"] = self.prefix
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            document = guard_operations(super().openapi(), self.access)
            self.openapi_schema = hoist_components(document)
        return self.openapi_schema


def create_app(model: str | Path | bytes | Model, *, settings: Settings | None = None) -> ModelApp:
    """The application that serves one model: `app = onnxport.create_app("iris.onnx")`, then `uvicorn module:app`.

    model: a model file (a path, or its bytes), or an open Model. settings: by default from the environment.
    API keys, hosts and CORS origins hold under any server that runs it; where it listens, and TLS, are that server's.
    Raises ModelFileError, SettingsError.
    """
    return assemble(open_service(model, settings or read_settings()))


def assemble(service: Service) -> ModelApp:
    """The application of an open service."""
    manifest, told = service.model.manifest, service.settings
    app = ModelApp(
        title=manifest.name,
        version=manifest.version,
        description=manifest["model"].get("description") or "",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": told.root_path}] if told.root_path else None,
        generate_unique_id_function=operation_id,
        telemetry=_NO_TELEMETRY,
    )
    app.readiness, app.access, app.prefix = service.readiness, service.access, told.root_path
    app.include_router(model_routes(service))
    app.include_router(metrics_routes(service.observer.metrics))
    app.include_router(documentation(title=manifest.name))
    app.add_middleware(Guard, access=service.access)  # what is added later is asked earlier
    cors.allow(app, told.cors_origins)
    app.add_middleware(RequestIds, readiness=service.readiness)
    app.add_middleware(Observed, observer=service.observer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(Exception, _answer)
    return app


async def _answer(request: Request, err: Exception) -> Response:
    return respond(err, request.scope)
