"""What Elastic Beanstalk refuses, in its codes and words."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class Refusal(ServiceException):
    """An answer with an error: its code and its message."""


def invalid(message: str) -> Refusal:
    return Refusal("InvalidParameterValue", message)


def combination(message: str) -> Refusal:
    return Refusal("InvalidParameterCombination", message)


def configuration(message: str) -> Refusal:
    return Refusal(
        "ConfigurationValidationException", f"Configuration validation exception: {message}"
    )


def validation(message: str) -> Refusal:
    return Refusal("ValidationError", message)


def not_ready(name: str) -> Refusal:
    return invalid(
        f"Environment named {name} is in an invalid state for this operation. Must be Ready."
    )
