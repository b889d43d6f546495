"""The inputs of a graph as the features of a signature: columns with names, or whole tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnxport.datatypes import MAX_EXACT_INTEGER
from onnxport.errors import shorten
from onnxport.export.adopting.drawing import Slot
from onnxport.export.adopting.findings import Finding, counted, cure, listed, named, refusal
from onnxport.export.adopting.knowledge import Knowledge
from onnxport.export.adopting.repairs import Repaired
from onnxport.export.adopting.slots import datatype, vocabulary
from onnxport.export.adopting.sources import Found
from onnxport.export.adopting.structure import Port, inputs
from onnxport.signature import Feature, Kind, Shape, Tensor

_MOST_COLUMNS = 5000
_MOST_CATEGORIES = 1000


@dataclass(frozen=True)
class Inputs:
    """features and the tensors that they fill; notes on names that were found and didn't fit."""

    features: tuple[Feature, ...]
    tensors: tuple[Tensor, ...]
    findings: tuple[Finding, ...] = ()


def read_inputs(
    repaired: Repaired,
    slots: Sequence[Slot],
    knowledge: Knowledge,
    wanted: Sequence[str] | Mapping[str, Mapping[str, str]] | None,
    found: Found,
) -> Inputs:
    """wanted: the caller's names, or notes by name. Raises NotAdoptable where they don't fit."""
    ports = inputs(repaired.model)
    names = list(wanted) if wanted is not None and not isinstance(wanted, Mapping) else []
    notes = wanted if isinstance(wanted, Mapping) else {}
    widths = {p.name: _width(slot) for p, slot in zip(ports, slots, strict=True)}
    total = sum(width for width in widths.values() if width)
    columns = {name for name, width in widths.items() if width == 1}
    renames = len(names) == len(ports) and len(names) != total and not knowledge.classical
    if (names and not renames) or len(found.features) == total or knowledge.classical:
        columns |= {name for name, width in widths.items() if width}
    findings: list[Finding] = []
    if names:
        _check_names(names, widths, columns)
    elif found.features and columns and len(found.features) == total:
        names = list(found.features)
    elif found.features:
        what = f"{len(found.features)} names of features were found ({found.where}) for {total} columns"
        findings.append(cure("feature_names", "", what, "they are left out"))
    told = _named(ports, repaired, widths, columns, names)
    features, tensors = [], []
    for port, slot in zip(ports, slots, strict=True):
        tensors.append(_tensor(port, slot))
        if port.name in columns:
            features += _columns(port, slot, repaired, knowledge, told[port.name])
        else:
            features.append(_whole(port, slot, repaired, knowledge, told[port.name][0]))
    return Inputs(_noted(features, notes), tuple(tensors), tuple(findings))


def _width(slot: Slot) -> int:
    """How many columns an input has as a matrix, 0 where it is none."""
    if len(slot.shape) != 1 or not isinstance(slot.shape[0], int):
        return 0
    return slot.shape[0] if slot.shape[0] <= _MOST_COLUMNS else 0


def _check_names(names: Sequence[str], widths: Mapping[str, int], columns: set[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        what = f"the name {shorten(repr(twice))} was given twice"
        raise refusal("feature_names", "", what, "features have names of their own")
    empty = [name for name in names if not name.strip()]
    if empty:
        raise refusal("feature_names", "", "an empty name was given", "give every feature a name")
    total = sum(widths[name] for name in columns) + len(widths.keys() - columns)
    if len(names) != total:
        told = ", ".join(f"{shorten(name)} ({widths[name] or 1})" for name in list(widths)[:5])
        raise refusal(
            "feature_names",
            "",
            f"{counted(len(names), 'name')} given, and the inputs have {total} columns",
            f"give one for each, in the order of the inputs: {told}",
        )


def _named(
    ports: Sequence[Port],
    repaired: Repaired,
    widths: Mapping[str, int],
    columns: set[str],
    names: Sequence[str],
) -> dict[str, list[str]]:
    """The names of each input's columns."""
    told: dict[str, list[str]] = {}
    wide = [name for name in columns if widths[name] > 1]
    start = 0
    for port in ports:
        own = repaired.feeds[port.name].input
        count = widths[port.name] if port.name in columns else 1
        if names:
            told[port.name] = list(names[start : start + count])
        elif count == 1:
            told[port.name] = [own]
        else:
            prefix = "x" if len(wide) == 1 else f"{own}_"
            told[port.name] = [f"{prefix}{i}" for i in range(count)]
        start += count
    every = [name for group in told.values() for name in group]
    if len(set(every)) < len(every):  # an input may be called like a column of another
        told = {
            port.name: [f"{port.name}.{i}" for i in range(len(told[port.name]))] for port in ports
        }
    return told


def _tensor(port: Port, slot: Slot) -> Tensor:
    shape: Shape = tuple(d if isinstance(d, int) else None for d in slot.shape)
    return Tensor(port.name, datatype(port).name, shape)


def _columns(
    port: Port, slot: Slot, repaired: Repaired, knowledge: Knowledge, names: Sequence[str]
) -> list[Feature]:
    kind, dtype = _kind(slot.dtype)
    words = tuple(slot.words) if slot.closed and len(slot.words) <= _MOST_CATEGORIES else None
    return [
        Feature(
            name=name,
            kind=kind,
            dtype=dtype,
            tensor=port.name,
            column=column,
            overflow="float32" if slot.dtype == "float32" else None,
            categories=words if slot.is_text else None,
            refuses_unknown=slot.is_text and slot.closed and words is not None,
            limits=_limits(port, slot, repaired, knowledge, matrix=True),
        )
        for column, name in enumerate(names)
    ]


def _kind(dtype: str) -> tuple[Kind, str]:
    if dtype == "object":
        return "categorical", "string"
    kinds: dict[str, Kind] = {"f": "numeric", "i": "integer", "u": "integer", "b": "boolean"}
    return kinds[np.dtype(dtype).kind], dtype


def _whole(port: Port, slot: Slot, repaired: Repaired, knowledge: Knowledge, name: str) -> Feature:
    return Feature(
        name=name,
        kind="tensor",
        dtype=datatype(port).name,
        tensor=port.name,
        shape=tuple(d if isinstance(d, int) else None for d in slot.shape),
        limits=_limits(port, slot, repaired, knowledge, matrix=False),
    )


def _limits(
    port: Port, slot: Slot, repaired: Repaired, knowledge: Knowledge, *, matrix: bool
) -> tuple[int, int] | None:
    """The integers that the original answers: of a table's places from the end too (Gather-13), else
    those of the datatype; in columns those that a double holds exactly.
    """
    if not slot.is_integer:
        return None
    size = vocabulary(port, repaired, knowledge)
    low, high = datatype(port).integers or (0, 0)
    if size is not None:
        low, high = max(low, -size), min(high, size - 1)
    if slot.least is not None:
        low = max(low, slot.least)
    if slot.most is not None:
        high = min(high, slot.most)
    if matrix:
        low, high = max(low, -MAX_EXACT_INTEGER), min(high, MAX_EXACT_INTEGER)
    return low, high


def _noted(
    features: Sequence[Feature], notes: Mapping[str, Mapping[str, str]]
) -> tuple[Feature, ...]:
    known = {feature.name for feature in features}
    for name in notes:
        if name not in known:
            what = f"there is no feature {shorten(repr(name))}"
            raise refusal("feature_names", "", what, f"the features are {listed(known, 10)}")
    return tuple(
        replace(
            feature,
            unit=notes.get(feature.name, {}).get("unit"),
            description=notes.get(feature.name, {}).get("description"),
        )
        for feature in features
    )


def with_nulls(
    features: Sequence[Feature], nullable: Sequence[str], able: frozenset[str]
) -> tuple[Feature, ...]:
    """The features that take null: those named, or all that can. able: those whose NaN the original
    answers with finite numbers.
    """
    known = {feature.name: feature for feature in features}
    for name in nullable:
        if name == "*":
            continue
        if name not in known:
            what = f"there is no feature {shorten(repr(name))} to be nullable"
            raise refusal("nullable", "", what, f"the features are {listed(known, 10)}")
        if known[name].kind != "numeric":
            what = "only a column of floating-point numbers has a value for null, NaN"
            raise refusal("nullable", named("feature", name), what, "leave it out of --nullable")
        if name not in able:
            what = "with NaN the original answers no finite numbers"
            raise refusal("nullable", named("feature", name), what, "leave it out of --nullable")
    chosen = set(nullable) if "*" not in nullable else {n for n, f in known.items() if n in able}
    return tuple(replace(f, nullable=f.name in chosen) for f in features)


def product_of(shape: Shape) -> int:
    return math.prod(size or 1 for size in shape)
