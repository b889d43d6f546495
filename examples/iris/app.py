"""The API inside your own program: `uvicorn app:app` serves the model alone, `uvicorn app:shop` beside other routes."""

from fastapi import FastAPI

import onnxport

model = onnxport.load("iris.onnx")

app = onnxport.create_app(model)

shop = FastAPI(title="shop")
shop.include_router(onnxport.router(model), prefix="/models/iris")


@shop.get("/hello")
def hello() -> str:
    return "world"
