"""A JSON document to rows that fit the signature, as typed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from onnxport.codec.documents import MAX_DEPTH, depth_of, is_unicode, too_deep
from onnxport.codec.faults import (
    all_known,
    column_faults,
    dimension_faults,
    in_order,
    is_null,
    row_index,
    shape_faults,
    type_name,
    value_faults,
    wrong_type,
)
from onnxport.codec.nested import Flaw, read_tensor
from onnxport.datatypes import FLOAT32_OVERFLOW, INT64_MAX, MAX_EXACT_INTEGER
from onnxport.errors import MAX_DETAILS, Detail, TooLarge, ValidationError, shorten
from onnxport.signature import NULL_TOKEN, Feature, Signature
from onnxport.tensors import Array, Arrays, column_array


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request may hold; None sets no limit.

    cells: rows times features. string: characters of one string.
    """

    rows: int | None = None
    cells: int | None = None
    string: int | None = None


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that fit the signature. `single`: it was one object.

    columns: by feature name, each of length `rows`; empty where the rows were read straight into
    `feeds`, the tensors that the graph takes.
    """

    columns: dict[str, Array]
    rows: int
    single: bool
    feeds: Arrays | None = None


def read_rows(
    signature: Signature, document: Any, *, wire: bool = True, limits: Limits = UNLIMITED
) -> Batch:
    """One row object, or a list of them, as columns.

    wire: the document came over the wire, where an integer feature takes no fraction and no
    infinity is legal; in Python a row may hold whatever the estimator answers. Raises
    ValidationError with every fault (at most 100), TooLarge over the limits, DecodingError for too
    deep a nesting.
    """
    single = isinstance(document, dict)
    if not single and not isinstance(document, list):
        raise ValidationError(
            [
                wrong_type(
                    (), f"the body is {type_name(document)}; send one row object, or a list of them"
                )
            ]
        )
    rows: list[Any] = [document] if single else document
    refuse_rows_over(signature, len(rows), limits)
    _refuse_long_strings(signature, rows, limits)
    faults = list(islice(shape_faults(signature, rows, single=single), MAX_DETAILS))
    if faults:
        if depth_of(document) > MAX_DEPTH:
            raise too_deep()
        told = rows if len(faults) < MAX_DETAILS else rows[: row_index(faults[-1]) + 1]
        faults += value_faults(signature.features, told, wire=wire, single=single)
        raise ValidationError(in_order(faults))
    columns = {feature.name: [row[feature.name] for row in rows] for feature in signature.features}
    try:
        return Batch(read_columns(signature, columns, wire=wire, single=single), len(rows), single)
    except ValidationError:
        if depth_of(document) > MAX_DEPTH:
            raise too_deep() from None
        raise


def refuse_rows_over(signature: Signature, rows: int, limits: Limits) -> None:
    """Raises TooLarge for more rows than the limits allow."""
    if limits.rows is not None and rows > limits.rows:
        message = f"{rows} rows in one request; send at most {limits.rows} at once"
        raise TooLarge([Detail("too_many_rows", (), message)])
    width = len(signature.features)
    if limits.cells is not None and rows * width > limits.cells:
        message = (
            f"{rows} rows of {width} features are more than {limits.cells} values in one request; "
            f"send at most {limits.cells // width} rows at once"
        )
        raise TooLarge([Detail("too_many_rows", (), message)])


def _refuse_long_strings(signature: Signature, rows: Sequence[Any], limits: Limits) -> None:
    names = [feature.name for feature in signature.features if feature.is_string]
    if limits.string is None:
        return
    for index, row in enumerate(rows):
        for name in names if isinstance(row, dict) else ():
            value = row.get(name)
            if isinstance(value, str) and len(value) > limits.string:
                at = f"row {index}, feature {shorten(name)!r}"
                message = f"{at}: the string is longer than {limits.string} characters; send less"
                raise TooLarge([Detail("too_large", (), message)])


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
            found = column_faults(feature, _listed(values), wire=wire, single=single)
            faults += found
            array = None if found else column_array(feature, _listed(values))
        if array is not None:
            arrays[feature.name] = array
    if not faults:
        faults = dimension_faults(signature, arrays, single=single)
    if faults:
        raise ValidationError(in_order(faults))
    return arrays


def _column(feature: Feature, values: Sequence[Any] | Array, *, wire: bool) -> Array | None:
    """The column, or None where a closer look is needed."""
    if feature.is_tensor:
        return _tensor_column(feature, values, wire=wire)
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
    if feature.limits and bool(((array < feature.limits[0]) | (array > feature.limits[1])).any()):
        return None
    if feature.refuses_unknown and not all_known(feature, array.tolist()):
        return None
    return array


def _tensor_column(feature: Feature, values: Sequence[Any] | Array, *, wire: bool) -> Array | None:
    rows = []
    for value in values:
        found = read_tensor(feature, value, wire=wire)
        if isinstance(found, Flaw):
            return None
        rows.append(found)
    return column_array(feature, rows)


def _all_int64(array: Array) -> bool:
    """Whether finite numbers, NaN aside, are whole and nearer to zero than 2^63."""
    return not bool(((array % 1 > 0) | (np.abs(array) >= INT64_MAX)).any())


def _string_column(feature: Feature, values: Sequence[Any] | Array) -> Array | None:
    kinds = set(map(type, values))
    if not kinds <= ({str, type(None)} if feature.nullable else {str}):
        return None
    distinct = set(values)
    for text in distinct - {None}:
        if text == NULL_TOKEN or "\0" in text or not is_unicode(text):
            return None
    if feature.refuses_unknown and not all_known(feature, distinct):
        return None
    return column_array(feature, values)


def _listed(values: Sequence[Any] | Array) -> Sequence[Any]:
    if not isinstance(values, np.ndarray):
        return values
    return [None if is_null(value) else value for value in values.tolist()]
