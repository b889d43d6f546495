"""What is wrong with rows: each fault by its code, its place, and what to do.

The slow look at single values in `find_fault` is the authority; the quick look at whole columns in `rows` may only be
stricter in asking for it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onnxport.codec.documents import Duplicated, NotANumber, is_unicode
from onnxport.codec.nested import Flaw, read_tensor
from onnxport.datatypes import (
    FLOAT32_OVERFLOW,
    INT64_MAX,
    INT64_MIN,
    MAX_EXACT_INTEGER,
    json_type,
)
from onnxport.errors import MAX_DETAILS, Detail, shorten
from onnxport.signature import NULL_TOKEN, Feature, Signature

MAX_ALLOWED = 100
_MAX_GUESSES = 5  # unknown names in a request that are compared with others, which takes long
_MOST_GUESSED = 500  # features among which a guess is made

Loc = tuple[str | int, ...]


def shape_faults(signature: Signature, rows: Sequence[Any], *, single: bool) -> Iterable[Detail]:
    """Rows that are no objects, keys that are missing, unknown, or stand twice."""
    expected = signature.by_name.keys()
    guesses = _MAX_GUESSES if len(expected) <= _MOST_GUESSED else 0
    for index, row in enumerate(rows):
        at = () if single else (index,)
        if not isinstance(row, dict):
            yield wrong_type(
                at, f"{row_name(at)} is {type_name(row)}; a row is an object of features by name"
            )
            continue
        if isinstance(row, Duplicated):
            for name in row.repeated:
                message = f"{row_name(at)} holds {shorten(name)!r} more than once; send it once"
                yield Detail("duplicate_key", (*at, shorten(name)), message)
        if row.keys() == expected:
            continue
        missing = [name for name in signature.names if name not in row]
        for name in missing:
            yield Detail(
                "missing", (*at, name), f"{row_name(at)} lacks the feature {name!r}; send it"
            )
        unknown = [name for name in row if name not in expected and name not in signature.ignored]
        for name in unknown:
            yield _unknown_feature(at, name, (missing or signature.names) if guesses > 0 else ())
            guesses -= 1


def _unknown_feature(at: tuple[int, ...], name: str, candidates: Sequence[str]) -> Detail:
    near = difflib.get_close_matches(name[:128], candidates, n=1, cutoff=0.7)
    told = f"; did you mean {near[0]!r}?" if near else "; GET /model lists the features"
    message = f"{row_name(at)} has no feature {shorten(name)!r}{told}"
    hint = {"did_you_mean": near[0]} if near else {}
    return Detail("unknown_feature", (*at, shorten(name)), message, hint)


def value_faults(
    features: Sequence[Feature], rows: Sequence[Any], *, wire: bool, single: bool
) -> list[Detail]:
    """Faulty values in rows that also have other faults, so that a caller sees all at once."""
    faults: list[Detail] = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            continue
        at = () if single else (index,)
        for feature in features:
            if feature.name in row:
                fault = find_fault(feature, row[feature.name], at, wire=wire)
                faults += [fault] if fault else []
        if len(faults) >= MAX_DETAILS:
            break
    return faults


def column_faults(
    feature: Feature, values: Sequence[Any], *, wire: bool, single: bool
) -> list[Detail]:
    faults: list[Detail] = []
    for index, value in enumerate(values):
        fault = find_fault(feature, value, () if single else (index,), wire=wire)
        if fault:
            faults.append(fault)
            if len(faults) >= MAX_DETAILS:
                break
    return faults


def dimension_faults(
    signature: Signature, columns: Mapping[str, Any], *, single: bool
) -> list[Detail]:
    """Rows in which a dynamic dimension that several tensors share has several sizes."""
    faults: list[Detail] = []
    for name, places in signature.shared_dimensions.items():
        (first, axis), *others = places
        for row, array in enumerate(columns[first]):
            size = array.shape[axis]
            for other, place in others:
                got = columns[other][row].shape[place]
                if got != size and len(faults) < MAX_DETAILS:
                    at = () if single else (row,)
                    message = (
                        f"{row_name(at)}: {name} is {size} in {first!r} and {got} in {other!r}; "
                        "send equal sizes"
                    )
                    faults.append(Detail("wrong_shape", (*at, other), message))
    return faults


def find_fault(feature: Feature, value: Any, at: tuple[int, ...], *, wire: bool) -> Detail | None:
    """What is wrong with one value, or None."""
    loc: Loc = (*at, feature.name)
    where = f"row {at[0]}, feature {feature.name!r}" if at else f"the feature {feature.name!r}"
    if value is None:
        if feature.nullable:
            return None
        told = "null, but the estimator takes no missing value here; fill it in"
        if feature.is_tensor:
            told = "null, and a tensor takes no missing value; send it"
        return Detail("null_not_allowed", loc, f"{where}: {told}")
    if feature.is_tensor:
        flaw = read_tensor(feature, value, wire=wire)
        if not isinstance(flaw, Flaw):
            return None
        place = " at " + "".join(f"[{i}]" for i in flaw.at) if flaw.at else ""
        return Detail(flaw.code, (*loc, *flaw.at), f"{where}{place} {flaw.told}")
    if feature.is_string:
        return _string_fault(feature, value, loc, where)
    if isinstance(value, NotANumber):
        instead = "a finite one, or null" if feature.nullable else "a finite one"
        message = f"{where}: {shorten(value.text)} is no number that can be used; send {instead}"
        return Detail(value.code, loc, message)
    if feature.kind == "boolean" and wire:
        if isinstance(value, bool):
            return _unknown_category(feature, value, loc, where)
        return wrong_type(loc, f"{where} takes true or false, and got {type_name(value)}")
    if (isinstance(value, bool) and wire) or not isinstance(value, (int, float)):
        return wrong_type(loc, f"{where} takes a number, and got {type_name(value)}")
    return _number_fault(feature, value, loc, where, wire=wire) or _unknown_category(
        feature, value, loc, where
    )


def _string_fault(feature: Feature, value: Any, loc: Loc, where: str) -> Detail | None:
    if not isinstance(value, str):
        return wrong_type(loc, f"{where} takes a string, and got {type_name(value)}")
    if "\0" in value or value == NULL_TOKEN or not is_unicode(value):
        message = f"{where}: the string holds a NUL, a lone surrogate, or the reserved null token"
        return Detail("invalid_string", loc, message)
    return _unknown_category(feature, value, loc, where)


def _number_fault(
    feature: Feature, value: float, loc: Loc, where: str, *, wire: bool
) -> Detail | None:
    if isinstance(value, int):
        integer = feature.kind == "integer" or not wire
        low, high = (INT64_MIN, INT64_MAX) if integer else (-MAX_EXACT_INTEGER, MAX_EXACT_INTEGER)
        if feature.limits:
            low, high = feature.limits
        if not low <= value <= high:
            limit = "64 bits" if integer else "±2^53, where floating-point numbers turn inexact"
            limit = f"{low} to {high}" if feature.limits else limit
            message = f"{where}: {shorten(str(value))} is beyond {limit}"
            return Detail("out_of_range_integer", loc, message)
        return _overflow_fault(feature, value, loc, where)
    if math.isnan(value):
        return (
            None if feature.nullable else Detail("null_not_allowed", loc, f"{where}: not a number")
        )
    if math.isinf(value):
        if feature.infinite and not wire:
            return None
        return Detail("non_finite", loc, f"{where}: the number is infinite; send a finite one")
    if feature.kind == "integer" and wire:
        if not value.is_integer():
            return wrong_type(loc, f"{where} takes an integer, and got {value!r}")
        low, high = feature.limits or (INT64_MIN, INT64_MAX)
        if not low <= value <= high:
            limit = f"{low} to {high}" if feature.limits else "64 bits"
            return Detail("out_of_range_integer", loc, f"{where}: {value!r} is beyond {limit}")
    return _overflow_fault(feature, value, loc, where)


def _overflow_fault(feature: Feature, value: float, loc: Loc, where: str) -> Detail | None:
    if feature.overflow and abs(value) >= FLOAT32_OVERFLOW:
        message = (
            f"{where}: {value!r} is beyond 3.4e38, the largest number that the estimator takes"
        )
        return Detail("non_finite", loc, message)
    return None


def _unknown_category(feature: Feature, value: Any, loc: Loc, where: str) -> Detail | None:
    if not feature.refuses_unknown or all_known(feature, [value]):
        return None
    allowed = list(feature.categories or ())[:MAX_ALLOWED]
    told = ", ".join(repr(category) for category in allowed[:10])
    more = f", … ({len(feature.categories or ())} in all)" if len(allowed) > 10 else ""
    message = f"{where}: {shorten(repr(value))} is no known category; allowed are {told}{more}"
    return Detail("unknown_category", loc, message, {"allowed": allowed})


def wrong_type(loc: Loc, message: str) -> Detail:
    return Detail("wrong_type", loc, message)


def row_name(at: tuple[int, ...]) -> str:
    return f"row {at[0]}" if at else "the row"


def type_name(value: Any) -> str:
    return value.text[:16] if isinstance(value, NotANumber) else json_type(value)


def in_order(faults: list[Detail]) -> list[Detail]:
    """By row, then as found."""
    return sorted(faults, key=row_index)


def row_index(fault: Detail) -> int:
    """The index of the fault's row, 0 where there is only one."""
    return fault.loc[0] if fault.loc and isinstance(fault.loc[0], int) else 0


def all_known(feature: Feature, values: Iterable[Any]) -> bool:
    known = set(feature.categories or ())
    return all(value in known or is_null(value) for value in set(values))


def is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
