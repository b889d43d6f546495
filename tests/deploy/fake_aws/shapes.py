"""Requests held to botocore's model of the service: also the limits, choices and patterns that botocore leaves out."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.model import ListShape, OperationModel, Shape, StructureShape

from tests.deploy.fake_aws.refusals import validation


@functools.cache
def operation(name: str, service: str = "elasticbeanstalk") -> OperationModel:
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def check(name: str, parameters: Mapping[str, Any]) -> None:
    """Raises ValidationError for parameters that the operation's model doesn't allow."""
    shape = operation(name).input_shape
    faults = list(_faults(shape, parameters, "")) if shape is not None else []
    if faults:
        count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: "
        raise validation(count + "; ".join(faults))


def _faults(shape: Shape, value: Any, where: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, where)
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, start=1):
            yield from _faults(shape.member, item, f"{where}.{number}.member")
    elif shape.type_name == "string":
        yield from _text(shape, str(value), where)
    elif shape.type_name in ("integer", "long"):
        yield from _number(shape, int(value), where)


def _structure(shape: StructureShape, value: Mapping[str, Any], where: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield _sentence("null", f"{where}.{name}", "Member must not be null")
    for name, inner in value.items():
        place = f"{where}.{name}".lstrip(".")
        if name in shape.members:
            yield from _faults(shape.members[name], inner, place)
        else:
            yield f"Unknown parameter at '{place}'"


def _text(shape: Shape, value: str, where: str) -> Iterator[str]:
    rules = shape.metadata
    if len(value) < rules.get("min", 0):
        least = f"Member must have length greater than or equal to {rules['min']}"
        yield _sentence(value, where, least)
    if len(value) > rules.get("max", len(value)):
        most = f"Member must have length less than or equal to {rules['max']}"
        yield _sentence(value, where, most)
    if "enum" in rules and value not in rules["enum"]:
        choices = ", ".join(rules["enum"])
        yield _sentence(value, where, f"Member must satisfy enum value set: [{choices}]")
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        pattern = f"Member must satisfy regular expression pattern: {rules['pattern']}"
        yield _sentence(value, where, pattern)


def _number(shape: Shape, value: int, where: str) -> Iterator[str]:
    rules = shape.metadata
    if value < rules.get("min", value):
        least = f"Member must have value greater than or equal to {rules['min']}"
        yield _sentence(str(value), where, least)
    if value > rules.get("max", value):
        yield _sentence(
            str(value), where, f"Member must have value less than or equal to {rules['max']}"
        )


def _sentence(value: str, where: str, rule: str) -> str:
    place = ".".join(part[:1].lower() + part[1:] for part in where.lstrip(".").split("."))
    return f"Value '{value}' at '{place}' failed to satisfy constraint: {rule}"
