"""How methods of ours come into moto's classes."""

from __future__ import annotations


def put(kind: type, name: str, method: object) -> None:
    """Replaces a method, or adds it."""
    setattr(kind, name, method)
