"""The routes in an application that already exists: its own pages, its own error handlers, our answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse

import onnxport
from tests.server import models

ModelFile = Callable[[models.Made], Path]
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def call(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
def existing(model_file: ModelFile) -> FastAPI:
    """An application with a taste of its own in errors."""
    app = FastAPI(title="Shop")

    @app.exception_handler(HTTPException)
    @app.exception_handler(Exception)
    async def plainly(_: Request, err: Exception) -> PlainTextResponse:
        return PlainTextResponse(f"shop: {err}", status_code=getattr(err, "status_code", 500))

    app.include_router(onnxport.router(onnxport.load(model_file(models.iris()))), prefix="/iris")
    app.include_router(
        onnxport.router(onnxport.load(model_file(models.odd_names()))), prefix="/odd"
    )
    return app


@pytest.mark.anyio
async def test_answers_under_the_prefix(existing: FastAPI) -> None:
    async with call(existing) as client:
        assert (await client.post("/iris/predict", json=ROW)).json()["prediction"] in (
            "setosa",
            "versicolor",
            "virginica",
        )
        assert (await client.get("/iris/model")).json()["name"] == "iris"
        assert (await client.get("/odd/model")).json()["name"] == "odd names"
        assert (await client.get("/iris/health/ready")).json() == {"status": "ready"}
        assert (await client.head("/iris/ping")).status_code == 200


@pytest.mark.anyio
async def test_errors_on_our_routes_keep_our_shape(existing: FastAPI) -> None:
    async with call(existing) as client:
        wrong = await client.post("/iris/predict", json={}, headers={"X-Request-ID": "abc"})
        assert (wrong.status_code, wrong.json()["detail"][0]["type"]) == (422, "missing")
        assert wrong.json()["request_id"] == wrong.headers["X-Request-ID"] == "abc"
        method = await client.get("/iris/predict")
        assert (method.status_code, method.json()["detail"][0]["type"]) == (
            405,
            "method_not_allowed",
        )
        assert method.headers["Allow"] == "POST"
        assert (await client.get("/elsewhere")).status_code == 404


@pytest.mark.anyio
async def test_its_openapi_has_the_right_types_for_each_model(existing: FastAPI) -> None:
    async with call(existing) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    asked = paths["/odd/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = asked["schema"]["oneOf"][0]
    assert row["required"] == [
        "sepal length (cm)",
        "class",
        "a.b",
        "Größe",
        "2nd",
        "title",
        "$ref",
        'say "hi"',
    ]
    assert asked["examples"]["one row"]["value"] == dict.fromkeys(row["required"], 0.5)
    answered = paths["/odd/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    assert answered["schema"]["oneOf"][0]["properties"]["prediction"]["enum"] == [3, 5, 8]
    assert set(paths["/iris/predict"]) == {"post"}
    assert set(paths["/iris/model"]) == {"get"}
    assert "/iris/healthz" not in paths


@pytest.mark.anyio
async def test_its_dependencies_decide_first(model_file: ModelFile) -> None:
    async def keep_out() -> None:
        raise HTTPException(401, "who are you?")

    app = FastAPI()
    app.include_router(onnxport.router(model_file(models.iris())), dependencies=[Depends(keep_out)])
    async with call(app) as client:
        answer = await client.post("/predict", json=ROW)
    assert (answer.status_code, answer.json()) == (401, {"detail": "who are you?"})


@pytest.mark.anyio
async def test_a_mounted_application_and_a_proxy_that_strips_a_prefix(
    model_file: ModelFile,
) -> None:
    inner = onnxport.create_app(model_file(models.iris()))
    outer = FastAPI()
    outer.mount("/iris", inner)
    async with call(outer) as client:
        assert (await client.post("/iris/predict", json=ROW)).status_code == 200
        assert (await client.get("/iris/")).headers["Location"] == "/iris/docs"
        assert (await client.get("/iris/openapi.json")).json()["servers"] == [{"url": "/iris"}]
