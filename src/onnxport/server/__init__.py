"""The HTTP edge: a FastAPI application around one model (`create_app`), or its routes alone (`router`)."""

from __future__ import annotations

from onnxport.server.app import create_app
from onnxport.server.endpoints import router

__all__ = ["create_app", "router"]
