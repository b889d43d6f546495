"""Writes metrics as text: the Prometheus format 0.0.4, or OpenMetrics 1.0 for whoever asks for it.

https://prometheus.io/docs/instrumenting/exposition_formats and
https://prometheus.io/docs/specs/om/open_metrics_spec.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ASKED = re.compile(r"application/openmetrics-text\s*(?:;([^,]*))?", re.IGNORECASE)
_UNWANTED = re.compile(r";\s*q=0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})

Labels = Mapping[str, str]
Kind = Literal["counter", "gauge", "histogram", "info"]
_SUFFIXES = {"counter": "_total", "info": "_info"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a family. suffix: what follows the family's name, such as `_bucket`."""

    value: float
    labels: Labels
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its samples. name: without the `_total` of counters and the `_info` of infos."""

    name: str
    kind: Kind
    help: str
    samples: Iterable[Sample]


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header names OpenMetrics. Scrapers that understand it prefer it."""
    return any(not _UNWANTED.search(f";{found[1] or ''}") for found in _ASKED.finditer(accept))


def write(families: Iterable[Family], *, openmetrics: bool = False) -> bytes:
    """The families as text in UTF-8."""
    lines: list[str] = []
    for family in families:
        lines += _openmetrics(family) if openmetrics else _plain(family)
    if openmetrics:
        lines.append("# EOF")
    # A lone surrogate has no UTF-8.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def histogram(
    labels: Labels, bounds: Iterable[float], counts: Iterable[float], total: float
) -> Iterator[Sample]:
    """The samples of one histogram.

    counts: how many values fell into each bucket alone, the last above all bounds. total: the sum of all values.
    """
    reached = 0.0
    for bound, count in zip((*bounds, math.inf), counts, strict=True):
        reached += count
        yield Sample(reached, {**labels, "le": _number(bound)}, "_bucket")
    yield Sample(reached, labels, "_count")
    yield Sample(total, labels, "_sum")


def _plain(family: Family) -> Iterator[str]:
    name = family.name + _SUFFIXES.get(family.kind, "")
    kind = "gauge" if family.kind == "info" else family.kind
    yield f"# HELP {name} {family.help.translate(_HELP_ESCAPES)}"
    yield f"# TYPE {name} {kind}"
    yield from _samples(name, family.samples)


def _openmetrics(family: Family) -> Iterator[str]:
    suffix = _SUFFIXES.get(family.kind, "")
    yield f"# HELP {family.name} {family.help.translate(_ESCAPES)}"
    yield f"# TYPE {family.name} {family.kind}"
    yield from _samples(family.name + suffix, family.samples)


def _samples(name: str, samples: Iterable[Sample]) -> Iterator[str]:
    for sample in samples:
        told = ",".join(f'{key}="{v.translate(_ESCAPES)}"' for key, v in sample.labels.items())
        labels = f"{{{told}}}" if told else ""
        yield f"{name}{sample.suffix}{labels} {_value(sample.value)}"


def _value(value: float) -> str:
    """A count as a whole number, which readers like; anything else as the shortest decimal that is exact."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else _number(value)


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)
