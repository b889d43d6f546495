"""The table of prices, `prices.json`: dated, and read with care, so that no figure without a date leaves this room."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any

from onnxport.deploy.forms import near
from onnxport.errors import SettingsError

_PRICES = (
    *("gp3_gb_month", "balancer_hour", "balancer_capacity_unit_hour", "public_ipv4_hour"),
    *("logs_gb", "registry_gb_month"),
)


@dataclass(frozen=True, slots=True)
class Range:
    """The least, the expected and the most: of an amount or of a factor."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        by = other if isinstance(other, Range) else Range(other, other, other)
        return Range(self.low * by.low, self.expected * by.expected, self.high * by.high)


@dataclass(frozen=True, slots=True)
class Prices:
    """date: when the table was put together. each: the price of each unit in the reference region, in USD."""

    date: date
    source: str
    reference_region: str
    families: Mapping[str, float]
    sizes: Mapping[str, float]
    each: Mapping[str, float]
    regions: Mapping[str, float]
    other_regions: Range

    def machine_hour(self, instance_type: str) -> float | None:
        """Of a machine in the reference region, or None where the table has no price of its family or size."""
        family, _, size = instance_type.partition(".")
        if family not in self.families or size not in self.sizes:
            return None
        return self.families[family] * self.sizes[size]

    def nearest(self, instance_type: str) -> str | None:
        """A type with a price that was probably meant, or None: family and size each have one of nearly that name."""
        family, _, size = instance_type.partition(".")
        parts = near(family, [*self.families]), near(size, [*self.sizes])
        return f"{parts[0]}.{parts[1]}" if parts[0] and parts[1] else None

    def factor(self, region: str) -> Range:
        """By how much a region is dearer than the reference; outside of the table it is a guess, and a wide one."""
        known = self.regions.get(region)
        return self.other_regions if known is None else Range(known, known, known)


def load_prices() -> Prices:
    """The table that is shipped."""
    return parse_prices(files("onnxport.deploy").joinpath("prices.json").read_text("utf-8"))


def parse_prices(text: str) -> Prices:
    """A table of the form of `prices.json`. Raises SettingsError for one of another form, or without date or source."""
    try:
        told = json.loads(text)
        return Prices(
            date=_date(told),
            source=_source(told),
            reference_region=str(told["reference_region"]),
            families=_amounts(told["hourly_by_family_of_size_large"]),
            sizes=_amounts(told["sizes"]),
            each=_amounts({name: told[name] for name in _PRICES}),
            regions=_amounts(told["regions"]),
            other_regions=Range(*_amounts(dict(enumerate(told["other_regions"]))).values()),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise SettingsError(
            f"the table of prices isn't of its form ({err!r:.80}); install onnxport again"
        ) from err


def _date(told: Any) -> date:
    found = told.get("date")
    if not isinstance(found, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", found):
        raise SettingsError(
            "the table of prices has no date, and a cost without one is no estimate; add it"
        )
    return date.fromisoformat(found)


def _source(told: Any) -> str:
    found = told.get("source")
    if not isinstance(found, str) or not found:
        raise SettingsError("the table of prices doesn't say where it is from; add its source")
    return found


def _amounts(told: Mapping[Any, Any]) -> dict[Any, float]:
    for name, value in told.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= 0:
            raise ValueError(f"{name} is no price")
    return {name: float(value) for name, value in told.items()}
