"""JSON bytes to typed columns, and outputs to answers: pure functions of the signature.

A request is judged in three steps: `parse_json` (is it one JSON document?), `read_rows` (does it
fit the signature?), `answer_rows` after the run. Whole columns are checked at once; only a column
that fails is looked at value by value, and that slow look, `_fault`, is the authority.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import orjson

from onnxport.compare import by_row
from onnxport.datatypes import (
    FLOAT32_OVERFLOW,
    INT64_MAX,
    INT64_MIN,
    MAX_EXACT_INTEGER,
    json_type,
)
from onnxport.errors import (
    MAX_DETAILS,
    DecodingError,
    Detail,
    NonFiniteOutput,
    TooLarge,
    ValidationError,
    shorten,
)
from onnxport.signature import NULL_TOKEN, Feature, Signature
from onnxport.tensors import Array, Arrays, column_array

Answer = dict[str, Any]

MAX_DEPTH = 16
MAX_NUMBER_LENGTH = 64
MAX_ALLOWED = 100
_MAX_GUESSES = 3  # unknown names in a row that are compared with every feature, which takes long


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that fit the signature: columns by feature name, each of length `rows`. `single`: it was
    one object.
    """

    columns: dict[str, Array]
    rows: int
    single: bool


@dataclass(frozen=True, slots=True)
class _NotANumber:
    """What stands in a JSON text where a number can't: NaN, Infinity, or an integer of absurd
    length.
    """

    text: str
    code: str


class _Duplicated(dict[str, Any]):
    """An object in which a key stands twice."""

    repeated: tuple[str, ...] = ()


# --------------------------------------------------------------------------------------------------
# -- bytes to document


def parse_json(body: bytes) -> Any:
    """One JSON document. Raises DecodingError: empty_body, invalid_encoding, invalid_json,
    too_deep.
    """
    if not body.strip():
        raise _undecodable(
            "empty_body", "the body is empty; send one row object, or a list of them"
        )
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        raise _undecodable(
            "invalid_encoding", "the body is not plain UTF-8 (a byte order mark, or UTF-16)"
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise _undecodable(
            "invalid_encoding", f"the body is not UTF-8 at byte {err.start}; encode it as UTF-8"
        ) from err
    try:
        return _loads(text)
    except RecursionError as err:
        raise _too_deep() from err
    except json.JSONDecodeError as err:
        raise _undecodable(
            "invalid_json",
            f"the body is not JSON: {err.msg} at line {err.lineno}, column {err.colno}",
        ) from err


def _loads(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python converts
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    counts = Counter(name for name, _ in pairs)
    duplicated = _Duplicated(document)
    duplicated.repeated = tuple(name for name, count in counts.items() if count > 1)
    return duplicated


def _constant(text: str) -> _NotANumber:
    return _NotANumber(text, "non_finite")


def _integer(text: str) -> int | _NotANumber:
    return (
        int(text) if len(text) <= MAX_NUMBER_LENGTH else _NotANumber(text, "out_of_range_integer")
    )


def _undecodable(code: str, message: str) -> DecodingError:
    return DecodingError([Detail(code, (), message)])


def _too_deep() -> DecodingError:
    return _undecodable("too_deep", f"the body nests deeper than {MAX_DEPTH} levels; rows are flat")


# --------------------------------------------------------------------------------------------------
# ---- document to rows


def read_rows(
    signature: Signature, document: Any, *, wire: bool = True, max_rows: int | None = None
) -> Batch:
    """One row object, or a list of them, as columns.

    wire: the document came over the wire, where an integer feature takes no fraction and no
    infinity is legal; in Python a row may hold whatever the estimator answers. Raises
    ValidationError with every fault (at most 100), TooLarge over `max_rows`, DecodingError for too
    deep a nesting.
    """
    single = isinstance(document, dict)
    if not single and not isinstance(document, list):
        raise ValidationError(
            [_wrong((), f"the body is {_type(document)}; send one row object, or a list of them")]
        )
    rows: list[Any] = [document] if single else document
    if max_rows is not None and len(rows) > max_rows:
        message = f"{len(rows)} rows in one request; send at most {max_rows} at once"
        raise TooLarge([Detail("too_many_rows", (), message)])
    faults = list(islice(_shape_faults(signature, rows, single=single), MAX_DETAILS))
    if faults:
        if any(_depth(row) >= MAX_DEPTH for row in rows):
            raise _too_deep()
        told = rows if len(faults) < MAX_DETAILS else rows[: _position(faults[-1]) + 1]
        faults += _value_faults(signature.features, told, wire=wire, single=single)
        raise ValidationError(_in_order(faults))
    columns = {feature.name: [row[feature.name] for row in rows] for feature in signature.features}
    try:
        return Batch(read_columns(signature, columns, wire=wire, single=single), len(rows), single)
    except ValidationError:
        if any(_depth(row) >= MAX_DEPTH for row in rows):
            raise _too_deep() from None
        raise


def read_columns(
    signature: Signature,
    columns: Mapping[str, Sequence[Any] | Array],
    *,
    wire: bool = False,
    single: bool = False,
) -> dict[str, Array]:
    """Typed columns from plain values (null as None) or numeric arrays (null as NaN), one a
    feature.

    Raises ValidationError naming each faulty value by row and feature.
    """
    arrays: dict[str, Array] = {}
    faults: list[Detail] = []
    for feature in signature.features:
        values = columns[feature.name]
        array = _column(feature, values, wire=wire)
        if array is None:
            found = _column_faults(feature, _listed(values), wire=wire, single=single)
            faults += found
            array = None if found else column_array(feature, _listed(values))
        if array is not None:
            arrays[feature.name] = array
    if faults:
        raise ValidationError(_in_order(faults))
    return arrays


def _column(feature: Feature, values: Sequence[Any] | Array, *, wire: bool) -> Array | None:
    """The column, or None where a closer look is needed."""
    if feature.is_string:
        return _string_column(feature, values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        array = values.astype(np.float64)
    else:
        kinds = set(map(type, values))
        usual = {bool} if feature.kind == "boolean" else {float, int}
        if not kinds <= (usual | {type(None)} if feature.nullable else usual):
            return None
        try:
            array = column_array(feature, values)
        except OverflowError:
            return None
        if int in kinds and bool((np.abs(array) >= MAX_EXACT_INTEGER).any()):
            return None
    finite = np.isfinite(array)
    if feature.nullable:
        finite |= np.isnan(array)
    if not finite.all() or (wire and feature.kind == "integer" and not _all_int64(array)):
        return None
    if feature.overflow and bool((np.abs(array) >= FLOAT32_OVERFLOW).any()):
        return None
    if feature.refuses_unknown and not _all_known(feature, array.tolist()):
        return None
    return array


def _all_int64(array: Array) -> bool:
    """Whether finite numbers, NaN aside, are whole and nearer to zero than 2^63."""
    return not bool(((array % 1 > 0) | (np.abs(array) >= INT64_MAX)).any())


def _string_column(feature: Feature, values: Sequence[Any] | Array) -> Array | None:
    kinds = set(map(type, values))
    if not kinds <= ({str, type(None)} if feature.nullable else {str}):
        return None
    distinct = set(values)
    for text in distinct - {None}:
        if text == NULL_TOKEN or "\0" in text or not _encodable(text):
            return None
    if feature.refuses_unknown and not _all_known(feature, distinct):
        return None
    return column_array(feature, values)


def _all_known(feature: Feature, values: Iterable[Any]) -> bool:
    known = set(feature.categories or ())
    return all(value in known or _is_null(value) for value in set(values))


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _listed(values: Sequence[Any] | Array) -> Sequence[Any]:
    if not isinstance(values, np.ndarray):
        return values
    return [None if _is_null(value) else value for value in values.tolist()]


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


# --------------------------------------------------------------------------------------------------
# -------------- faults


def _shape_faults(signature: Signature, rows: Sequence[Any], *, single: bool) -> Iterable[Detail]:
    """Rows that are no objects, keys that are missing, unknown, or stand twice."""
    expected = signature.by_name.keys()
    for index, row in enumerate(rows):
        at = () if single else (index,)
        if not isinstance(row, dict):
            yield _wrong(at, f"{_row(at)} is {_type(row)}; a row is an object of features by name")
            continue
        if isinstance(row, _Duplicated):
            for name in row.repeated:
                message = f"{_row(at)} holds {shorten(name)!r} more than once; send it once"
                yield Detail("duplicate_key", (*at, shorten(name)), message)
        if row.keys() == expected:
            continue
        missing = [name for name in signature.names if name not in row]
        for name in missing:
            yield Detail("missing", (*at, name), f"{_row(at)} lacks the feature {name!r}; send it")
        unknown = [name for name in row if name not in expected and name not in signature.ignored]
        for nth, name in enumerate(unknown):
            guesses = signature.names if nth < _MAX_GUESSES else ()
            yield _unknown_feature(at, name, missing or guesses)


def _unknown_feature(at: tuple[int, ...], name: str, candidates: Sequence[str]) -> Detail:
    near = difflib.get_close_matches(name[:128], candidates, n=1, cutoff=0.7)
    told = f"; did you mean {near[0]!r}?" if near else "; GET /model lists the features"
    message = f"{_row(at)} has no feature {shorten(name)!r}{told}"
    hint = {"did_you_mean": near[0]} if near else {}
    return Detail("unknown_feature", (*at, shorten(name)), message, hint)


def _value_faults(
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
                fault = _fault(feature, row[feature.name], at, wire=wire)
                faults += [fault] if fault else []
        if len(faults) >= MAX_DETAILS:
            break
    return faults


def _column_faults(
    feature: Feature, values: Sequence[Any], *, wire: bool, single: bool
) -> list[Detail]:
    faults: list[Detail] = []
    for index, value in enumerate(values):
        fault = _fault(feature, value, () if single else (index,), wire=wire)
        if fault:
            faults.append(fault)
            if len(faults) >= MAX_DETAILS:
                break
    return faults


def _fault(feature: Feature, value: Any, at: tuple[int, ...], *, wire: bool) -> Detail | None:
    """What is wrong with one value, or None."""
    loc: tuple[str | int, ...] = (*at, feature.name)
    where = f"{_row(at)}, feature {feature.name!r}"
    if value is None:
        if feature.nullable:
            return None
        return Detail(
            "null_not_allowed",
            loc,
            f"{where}: null, but the estimator takes no missing value here; fill it in",
        )
    if feature.is_string:
        return _string_fault(feature, value, loc, where)
    if isinstance(value, _NotANumber):
        return Detail(
            value.code,
            loc,
            f"{where}: {shorten(value.text)} is no number that can be used; send a finite one",
        )
    if feature.kind == "boolean" and wire:
        if isinstance(value, bool):
            return _unknown_category(feature, value, loc, where)
        return _wrong(loc, f"{where} takes true or false, and got {_type(value)}")
    if (isinstance(value, bool) and wire) or not isinstance(value, (int, float)):
        return _wrong(loc, f"{where} takes a number, and got {_type(value)}")
    return _number_fault(feature, value, loc, where, wire=wire) or _unknown_category(
        feature, value, loc, where
    )


def _string_fault(
    feature: Feature, value: Any, loc: tuple[str | int, ...], where: str
) -> Detail | None:
    if not isinstance(value, str):
        return _wrong(loc, f"{where} takes a string, and got {_type(value)}")
    if "\0" in value or value == NULL_TOKEN or not _encodable(value):
        message = f"{where}: the string holds a NUL, a lone surrogate, or the reserved null token"
        return Detail("invalid_string", loc, message)
    return _unknown_category(feature, value, loc, where)


def _number_fault(
    feature: Feature, value: float, loc: tuple[str | int, ...], where: str, *, wire: bool
) -> Detail | None:
    if isinstance(value, int):
        integer = feature.kind == "integer" or not wire
        low, high = (INT64_MIN, INT64_MAX) if integer else (-MAX_EXACT_INTEGER, MAX_EXACT_INTEGER)
        if not low <= value <= high:
            limit = "64 bits" if integer else "±2^53, where floating-point numbers turn inexact"
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
            return _wrong(loc, f"{where} takes an integer, and got {value!r}")
        if not INT64_MIN <= value <= INT64_MAX:
            return Detail("out_of_range_integer", loc, f"{where}: {value!r} is beyond 64 bits")
    return _overflow_fault(feature, value, loc, where)


def _overflow_fault(
    feature: Feature, value: float, loc: tuple[str | int, ...], where: str
) -> Detail | None:
    if feature.overflow and abs(value) >= FLOAT32_OVERFLOW:
        message = (
            f"{where}: {value!r} is beyond 3.4e38, the largest number that the estimator takes"
        )
        return Detail("non_finite", loc, message)
    return None


def _unknown_category(
    feature: Feature, value: Any, loc: tuple[str | int, ...], where: str
) -> Detail | None:
    if not feature.refuses_unknown or _all_known(feature, [value]):
        return None
    allowed = list(feature.categories or ())[:MAX_ALLOWED]
    told = ", ".join(repr(category) for category in allowed[:10])
    more = f", … ({len(feature.categories or ())} in all)" if len(allowed) > 10 else ""
    message = f"{where}: {shorten(repr(value))} is no known category; allowed are {told}{more}"
    return Detail("unknown_category", loc, message, {"allowed": allowed})


def _wrong(loc: tuple[str | int, ...], message: str) -> Detail:
    return Detail("wrong_type", loc, message)


def _row(at: tuple[int, ...]) -> str:
    return f"row {at[0]}" if at else "the row"


def _type(value: Any) -> str:
    return value.text[:16] if isinstance(value, _NotANumber) else json_type(value)


def _in_order(faults: list[Detail]) -> list[Detail]:
    """By row, then as found."""
    return sorted(faults, key=_position)


def _position(fault: Detail) -> int:
    """The index of the fault's row, 0 where there is only one."""
    return fault.loc[0] if fault.loc and isinstance(fault.loc[0], int) else 0


def _depth(value: Any) -> int:
    """How deep containers nest in a decoded value; a scalar is 0."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


# --------------------------------------------------------------------------------------------------
# ---- outputs to answer


def answer_rows(signature: Signature, outputs: Arrays) -> list[Answer]:
    """One answer a row, in order, as page "Answers" of the documentation says.

    outputs: by tensor name, codes [N], probabilities [N, classes], values [N, targets].
    """
    if code := signature.output("label_code"):
        labels = [signature.classes[i] for i in outputs[code.tensor].tolist()]
        proba = signature.output("probabilities")
        if proba is None:
            return [{"prediction": label} for label in labels]
        keys, matrix = signature.class_keys, outputs[proba.tensor].tolist()
        return [
            {"prediction": label, "probabilities": dict(zip(keys, row, strict=True))}
            for label, row in zip(labels, matrix, strict=True)
        ]
    value = signature.output("value")
    if value is None:
        raise ValueError("the signature has neither labels nor values")
    matrix = by_row(outputs[value.tensor]).tolist()
    if len(signature.targets) > 1:
        return [{"prediction": row} for row in matrix]
    return [{"prediction": row[0]} for row in matrix]


def refuse_rows(signature: Signature, outputs: Arrays, *, single: bool) -> None:
    """Raises ValidationError for rows that the graph itself marks as refused by the estimator."""
    refused = signature.output("refused")
    if refused is None or not outputs[refused.tensor].any():
        return
    rows = np.flatnonzero(outputs[refused.tensor].ravel()).tolist()
    message = "a number is too large for a step of the model, which refuses it"
    raise ValidationError(
        [
            Detail(
                "non_finite", () if single else (i,), f"{_row(() if single else (i,))}: {message}"
            )
            for i in rows
        ]
    )


def refuse_non_finite(signature: Signature, outputs: Arrays, *, single: bool) -> None:
    """Raises NonFiniteOutput for rows whose answer JSON can't carry."""
    for output in signature.outputs:
        if output.role not in ("probabilities", "value"):
            continue
        values = outputs[output.tensor]
        finite = by_row(np.isfinite(values)).all(axis=1)
        if not finite.all():
            message = "the model's answer is infinite or not a number"
            raise NonFiniteOutput(
                [
                    Detail(
                        "non_finite_output",
                        () if single else (i,),
                        f"{_row(() if single else (i,))}: {message}",
                    )
                    for i in np.flatnonzero(~finite).tolist()
                ]
            )


def encode_answers(answers: Answer | list[Answer]) -> bytes:
    """UTF-8 JSON, numbers as shortest repr. The answers must be finite (see refuse_non_finite)."""
    return orjson.dumps(answers)
