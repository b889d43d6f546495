"""The HTTP edge: a FastAPI application around one model (`app`), its routes alone (`endpoints`), and `onnxport serve`
(`run`), which answers most requests before FastAPI is even imported.
"""
