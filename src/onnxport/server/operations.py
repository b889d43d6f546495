"""What OpenAPI says about each route, typed for one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from onnxport import schema
from onnxport.errors import OnnxportError, OverloadedError, RequestError
from onnxport.predictor import Model
from onnxport.server.access import Access
from onnxport.server.body import refuse_media, too_large
from onnxport.server.problems import CODES, Draining, describe, document
from onnxport.server.routes import Route, route_of

Operation = dict[str, Any]

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def predict_operation(model: Model, *, max_rows: int, max_body: int) -> Operation:
    """POST /predict, with this model's own names, types and a row that works."""
    row = example_row(model)
    answer = model.predict(row)
    refusals = _refusals(model, row, max_body=max_body)
    ask = schema.request_schema(model.signature, max_rows=max_rows, example=row)
    return {
        "summary": "Predict one row, or many",
        "description": "Send one row object, or a list of them; the answers come in the same order. "
        f"At most {max_rows:,} rows and {max_body:,} bytes.",
        "requestBody": {
            "required": True,
            "content": _json(ask, _examples(row)),
        },
        "responses": {
            "200": _response(
                "The answer to the row, or a list of answers.",
                schema.response_schema(model.signature),
                _examples(answer),
            ),
            **{str(status): _error(status, err) for status, err in refusals.items()},
        },
    }


def _examples(value: dict[str, Any]) -> Operation:
    """Of one row and of several, unless they would fill the page."""
    if not schema.is_shown(value):
        return {}
    return {"one row": value, "several rows": [value, value]}


def model_operation() -> Operation:
    """GET /model."""
    told = _response(
        "The signature, and what is known about the model.", schema.description_schema()
    )
    return {
        "summary": "Describe the model",
        "responses": {"200": told, "500": _error(500, RuntimeError())},
    }


def metrics_operation() -> Operation:
    """GET /metrics."""
    told = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": "Figures for Prometheus",
        "responses": {
            "200": {"description": "All figures, of all workers.", "content": told},
            "500": _error(500, RuntimeError()),
        },
    }


def health_operation(summary: str, *, can_refuse: bool) -> Operation:
    """The health routes."""
    told = _response("All is well.", schema.health_schema())
    refusal = {"503": _error(503, Draining())} if can_refuse else {}
    return {"summary": summary, "responses": {"200": told, **refusal}}


def example_row(model: Model) -> dict[str, Any]:
    """A stored row that is answered, without nulls if there is one."""
    rows = [model.example(i) for i in range(model.file.selftest.rows)]
    rows.sort(key=lambda row: sum(value is None for value in row.values()))
    return next((row for row in rows if _is_answered(model, row)), rows[0])


def hoist_components(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with its titled schemas named once, under `components`."""
    components: dict[str, schema.Schema] = {}
    for operation in (o for path in document["paths"].values() for o in path.values()):
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media in part.get("content", {}).values():
                media["schema"] = schema.hoist(media["schema"], components)
    known = document.get("components", {})
    named = {**known.get("schemas", {}), **dict(sorted(components.items()))}
    return {**document, "components": {**known, "schemas": named}}


def guard_operations(document: dict[str, Any], access: Access) -> dict[str, Any]:
    """An OpenAPI document that tells how keys are sent, which calls need one, and what refusing one answers."""
    paths = {
        path: {method: _guarded(o, access, route_of(path)) for method, o in operations.items()}
        for path, operations in document["paths"].items()
    }
    components = dict(document.get("components", {}))
    if access.asks_for_keys:
        components["securitySchemes"] = _SCHEMES
    return {**document, "paths": paths, "components": components}


def _guarded(operation: Operation, access: Access, route: Route) -> Operation:
    refusals = {str(describe(err).status): err for err in access.refusals(route)}
    told = {status: _error(int(status), err) for status, err in refusals.items()}
    responses = dict(sorted({**told, **operation["responses"]}.items()))
    needs: Operation = {"security": [{name: []} for name in _SCHEMES]}
    return {**operation, **({} if access.is_open(route) else needs), "responses": responses}


def operation_id(route: APIRoute) -> str:
    """The short name that generated clients give the call."""
    return route.name


def _is_answered(model: Model, row: dict[str, Any]) -> bool:
    try:
        model.predict_json(orjson.dumps(row))
    except OnnxportError:
        return False
    return True


def _response(
    description: str, told: schema.Schema, examples: Operation | None = None
) -> Operation:
    return {"description": description, "content": _json(told, examples or {})}


def _error(status: int, err: Exception) -> Operation:
    """One status, its codes, and the answer to a real error as the example."""
    meaning, codes = CODES[status]
    listed = ", ".join(f"`{code}`" for code in codes)
    problem = describe(err)
    example = document(problem, "5bbf848c26a04957a42a0606a097252b")
    return _response(
        f"{meaning} Codes: {listed}.", schema.error_schema(), {problem.details[0].code: example}
    )


def _refusals(model: Model, row: dict[str, Any], *, max_body: int) -> dict[int, Exception]:
    """A real error of POST /predict for each status."""
    lacking = dict(list(row.items())[1:])
    return {
        400: _raised(model.predict_json, b'{"truncated": '),
        408: HTTPException(408),
        413: too_large(max_body),
        415: _raised(refuse_media, [(b"content-type", b"text/csv")]),
        422: _raised(model.predict_json, orjson.dumps(lacking)),
        431: HTTPException(431),
        500: RuntimeError(),
        503: OverloadedError(),
    }


def _raised(refuse: Callable[[Any], object], sent: Any) -> Exception:
    """The error that `refuse` has for what was sent."""
    try:
        refuse(sent)
    except RequestError as err:
        return err
    raise AssertionError(f"{sent!r} was not refused")


def _json(told: schema.Schema, examples: Operation) -> Operation:
    media: Operation = {"schema": told}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": media}
