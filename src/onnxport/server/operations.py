"""What OpenAPI says about each route, typed for one model."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.routing import APIRoute

from onnxport import schema
from onnxport.errors import OnnxportError
from onnxport.predictor import Model
from onnxport.server.problems import CODES

Operation = dict[str, Any]


def predict_operation(model: Model, *, max_rows: int, max_body: int) -> Operation:
    """POST /predict, with this model's own names, types and a row that works."""
    row = example_row(model)
    answer = model.predict(row)
    ask = schema.request_schema(model.signature, max_rows=max_rows, example=row)
    return {
        "summary": "Predict one row, or many",
        "description": "Send one row object, or a list of them; the answers come in the same order. "
        f"At most {max_rows:,} rows and {max_body:,} bytes.",
        "requestBody": {
            "required": True,
            "content": _json(ask, {"one row": row, "several rows": [row, row]}),
        },
        "responses": {
            "200": _response(
                "The answer to the row, or a list of answers.",
                schema.response_schema(model.signature),
                {"one row": answer, "several rows": [answer, answer]},
            ),
            **{str(status): _error(status) for status in CODES},
        },
    }


def model_operation() -> Operation:
    """GET /model."""
    told = _response(
        "The signature, and what is known about the model.", schema.description_schema()
    )
    return {"summary": "Describe the model", "responses": {"200": told, "500": _error(500)}}


def health_operation(summary: str, *, can_refuse: bool) -> Operation:
    """The health routes."""
    told = _response("All is well.", schema.health_schema())
    refusal = {"503": _error(503)} if can_refuse else {}
    return {"summary": summary, "responses": {"200": told, **refusal}}


def example_row(model: Model) -> dict[str, Any]:
    """A stored row that is answered, without nulls if there is one."""
    names, stored = model.signature.names, model.file.selftest
    rows = [{name: stored.inputs[name][i] for name in names} for i in range(stored.rows)]
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


def _error(status: int) -> Operation:
    meaning, codes = CODES[status]
    listed = ", ".join(f"`{code}`" for code in codes)
    told = {"type": codes[0], "loc": ["body"], "msg": meaning}
    example = {"detail": [told], "request_id": "5bbf848c26a04957a42a0606a097252b"}
    return _response(f"{meaning} Codes: {listed}.", schema.error_schema(), {codes[0]: example})


def _json(told: schema.Schema, examples: Operation) -> Operation:
    media: Operation = {"schema": told}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": media}
