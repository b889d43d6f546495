"""Whole requests to tensors at once: the quick reader, which knows when it can't be sure.

msgspec decodes typed rows several times faster than the strict reader of `documents`, and tells less. What it passes
over is found here by what it leaves behind:

- Of a key that stands twice it keeps the last. Every key of a JSON text has a colon behind it, and a text has no other
  colons than those in strings. So it has at least as many as the rows have keys, and exactly so many only if no key
  stands twice (and no string holds a colon). Where the names have colons themselves, or there are more of them, quote
  characters are counted in the same way: two for each key and each string, and more for whatever is escaped.
- An integer may become a float that it isn't equal to, which is then 2^53 or more. Numbers that float32 can't hold,
  and some estimators refuse, are beyond that too.

Whatever isn't certain is left to the strict reader, which is the authority on errors as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import orjson

from onnxport.analysis import joined_ngrams
from onnxport.codec.documents import LARGE, is_unicode
from onnxport.codec.rows import Batch, Limits, read_rows, refuse_rows_over
from onnxport.datatypes import BY_NAME, MAX_EXACT_INTEGER
from onnxport.errors import Detail, RequestError, TooLarge
from onnxport.signature import NULL_TOKEN, Feature, Signature, Text
from onnxport.tensors import Array, Arrays

FEW = 128  # numbers
MAX_MORE_KEYS = 2000  # that a row may have beside those that the model knows
MAX_FIELDS = 128  # msgspec looks for a key among all that follow: the square of their number, if they come reversed

Values = Sequence[Any]
Decode = Callable[[Any], Any]
_NOT_READ = (
    ValueError,
    KeyError,
    RecursionError,
)  # of msgspec, orjson and Unicode; a name; nested too deep
_astuple, _count = msgspec.structs.astuple, bytes.count


class Unsure(Exception):
    """The strict reader must look at this."""


class TableReader:
    """Reads rows of one model's table straight into the tensors that its graph takes: [rows, width] each."""

    def __init__(self, signature: Signature) -> None:
        self._one, self._many = _decoders(signature)
        self._width, self._ignored = len(signature.features), len(signature.ignored)
        self._has_colons = any(":" in name for name in (*signature.names, *signature.ignored))
        self._strings = [i for i, f in enumerate(signature.features) if f.is_string]
        self._parts: list[_Numbers | _Texts] = [*_numbers(signature), *_texts(signature)]
        self._is_matrix = len(self._parts) == 1 and not (self._strings or self._ignored)

    def read(self, bodies: Sequence[bytes]) -> Arrays:
        """Bodies of one row object each. Raises Unsure."""
        try:
            rows = list(map(self._one, bodies))
        except _NOT_READ as err:
            raise Unsure from err
        return self._feeds(rows, bodies)

    def read_batch(self, body: bytes, *, limits: Limits) -> Batch:
        """One body: one row object, or a list of them. Raises Unsure, over the limits too."""
        single = body.startswith(b"{")
        try:
            rows = [self._one(body)] if single else self._many(body)
        except _NOT_READ as err:
            raise Unsure from err
        if not rows or not self._is_within(rows, limits):
            raise Unsure
        return Batch({}, len(rows), single, self._feeds(rows, (body,)))

    def _feeds(self, rows: list[tuple[Any, ...]], bodies: Sequence[bytes]) -> Arrays:
        feeds: Arrays = {}
        if self._is_matrix:
            self._check_keys(self._width * len(rows), 0, bodies)
            self._parts[0].read_rows(rows, feeds)
            return feeds
        columns = list(zip(*rows, strict=True))
        given = sum(len(rows) - column.count(msgspec.UNSET) for column in columns[self._width :])
        strings = sum(len(rows) - columns[place].count(None) for place in self._strings)
        self._check_keys(self._width * len(rows) + given, strings, bodies)
        for part in self._parts:
            part.read(columns, feeds)
        return feeds

    def _check_keys(self, keys: int, strings: int, bodies: Sequence[bytes]) -> None:
        """No key stands twice."""
        if not self._has_colons and sum(map(_count, bodies, repeat(b":"))) == keys:
            return
        if sum(map(_count, bodies, repeat(b'"'))) != 2 * (keys + strings):
            raise Unsure

    def _is_within(self, rows: list[tuple[Any, ...]], limits: Limits) -> bool:
        if limits.rows is not None and len(rows) > limits.rows:
            return False
        if limits.cells is not None and len(rows) * self._width > limits.cells:
            return False
        texts = (row[place] or "" for row in rows for place in self._strings)
        return limits.string is None or max(map(len, texts), default=0) <= limits.string


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A matrix of numbers.

    places: where each of its columns stands among the features. is_special: there is more to check than exactness.
    """

    tensor: str
    dtype: np.dtype[Any]
    places: list[int]
    is_special: bool
    integers: list[int]
    limits: tuple[Array, Array] | None
    known: list[tuple[int, frozenset[Any]]]

    def read_rows(self, rows: list[tuple[Any, ...]], feeds: Arrays) -> None:
        """Rows that hold this matrix and nothing else."""
        flat = list(chain.from_iterable(rows))
        matrix = np.array(flat, dtype=np.float64).reshape(len(rows), len(self.places))
        if len(flat) <= FEW and not self.is_special:
            _check_few(flat)
            feeds[self.tensor] = matrix if matrix.dtype == self.dtype else matrix.astype(self.dtype)
        else:
            feeds[self.tensor] = self._checked(matrix)

    def read(self, columns: Sequence[Values], feeds: Arrays) -> None:
        matrix = np.array([columns[place] for place in self.places], dtype=np.float64)
        feeds[self.tensor] = self._checked(np.ascontiguousarray(matrix.T))

    def _checked(self, matrix: Array) -> Array:
        if (np.abs(matrix) >= MAX_EXACT_INTEGER).any():
            raise Unsure
        if self.integers and (matrix[:, self.integers] % 1 > 0).any():
            raise Unsure
        if self.limits and ((matrix < self.limits[0]) | (matrix > self.limits[1])).any():
            raise Unsure
        for column, known in self.known:
            values = matrix[:, column]
            if not known.issuperset(values[~np.isnan(values)].tolist()):
                raise Unsure
        return matrix if matrix.dtype == self.dtype else matrix.astype(self.dtype)


@dataclass(frozen=True, slots=True)
class _Texts:
    """A string feature, and where its values go: its own tensor, and those of its n-grams."""

    place: int
    known: frozenset[Any]
    is_open: bool
    tensor: str
    column: int
    width: int
    texts: list[Text]

    def read_rows(self, rows: list[tuple[Any, ...]], feeds: Arrays) -> None:
        self.read(list(zip(*rows, strict=True)), feeds)

    def read(self, columns: Sequence[Values], feeds: Arrays) -> None:
        values = columns[self.place]
        new = set(values) - self.known
        if new and not (self.is_open and all(map(_is_plain, new))):
            raise Unsure
        if self.tensor:
            matrix = feeds.setdefault(
                self.tensor, np.empty((len(values), self.width), dtype=object)
            )
            matrix[:, self.column] = [NULL_TOKEN if value is None else value for value in values]
        for text in self.texts:
            joined = [[joined_ngrams(text.analysis, value)] for value in values]
            feeds[text.tensor] = np.array(joined, dtype=object)


def _check_few(values: list[float | None]) -> None:
    """As `_Numbers._checked`, without the time that numpy takes for its first number."""
    known = [value for value in values if value is not None]
    if known and not -MAX_EXACT_INTEGER < min(known) <= max(known) < MAX_EXACT_INTEGER:
        raise Unsure


def _is_plain(text: str) -> bool:
    return text != NULL_TOKEN and "\0" not in text and is_unicode(text)


def _decoders(signature: Signature) -> tuple[Decode, Decode]:
    """What decodes a body of one row as a tuple, in the order of the signature and with what was given of the ignored
    columns behind; and what decodes a list of rows.
    """
    row = _row_type(signature)
    if row is not None:
        one, many = msgspec.json.Decoder(row).decode, msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]
        return (lambda body: _astuple(one(body))), (lambda body: list(map(_astuple, many(body))))
    if signature.takes_tensors or not signature.features:
        return _never, _never
    pick = _picker(signature)
    return (lambda body: pick(orjson.loads(body))), (lambda body: _each(pick, orjson.loads(body)))


def _never(_: bytes) -> Any:
    raise Unsure


def _picker(signature: Signature) -> Decode:
    """The values of a decoded row by name, of the right types. Raises KeyError, ValueError."""
    get = itemgetter(*signature.names, signature.names[0])  # two at least, so that it gives a tuple
    allowed = [_types(feature) for feature in signature.features]
    alike = len(set(allowed)) == 1

    def pick(row: Any) -> tuple[Any, ...]:
        if type(row) is not dict or len(row) != len(allowed):
            raise ValueError
        values: tuple[Any, ...] = get(row)[:-1]
        if alike and allowed[0].issuperset(map(type, values)):
            return values
        if not all(type(value) in types for value, types in zip(values, allowed, strict=True)):
            raise ValueError
        return values

    return pick


def _each(pick: Decode, rows: Any) -> list[tuple[Any, ...]]:
    if type(rows) is not list:
        raise ValueError
    return list(map(pick, rows))


def _types(feature: Feature) -> frozenset[type]:
    kinds = {str} if feature.is_string else {bool} if feature.kind == "boolean" else {float, int}
    return frozenset(kinds | {type(None)} if feature.nullable else kinds)


def _row_type(signature: Signature) -> Any:
    """The row as msgspec decodes it, or None where it can't hold the names, or would take long to look for them."""
    if signature.takes_tensors or not 0 < len(signature.features) <= MAX_FIELDS:
        return None
    fields = [
        (f"f{i}", _type(feature), msgspec.field(name=feature.name))
        for i, feature in enumerate(signature.features)
    ]
    may = [
        (f"i{i}", Any, msgspec.field(name=name, default=msgspec.UNSET))
        for i, name in enumerate(signature.ignored)
    ]
    try:
        return msgspec.defstruct("Row", [*fields, *may], forbid_unknown_fields=True, gc=False)
    except ValueError:  # a name with a quote, a backslash or a control character
        return None


def _type(feature: Feature) -> Any:
    kind: Any = str if feature.is_string else bool if feature.kind == "boolean" else float
    return kind | None if feature.nullable else kind


def _numbers(signature: Signature) -> Iterator[_Numbers]:
    places = {feature.name: place for place, feature in enumerate(signature.features)}
    for tensor in signature.tensors:
        found = [f for f in signature.features if f.tensor == tensor.name and not f.is_string]
        if not found or found[0].is_tensor:
            continue
        features = sorted(found, key=lambda feature: feature.column)
        yield _Numbers(
            tensor=tensor.name,
            dtype=np.dtype(BY_NAME[tensor.datatype].numpy),
            places=[places[feature.name] for feature in features],
            is_special=any(f.kind == "integer" or f.limits or f.refuses_unknown for f in features),
            integers=[f.column for f in features if f.kind == "integer"],
            limits=_limits(features),
            known=[
                (f.column, frozenset(f.categories or ())) for f in features if f.refuses_unknown
            ],
        )


def _limits(features: list[Feature]) -> tuple[Array, Array] | None:
    """Lowest and highest by column, where any is set."""
    if not any(feature.limits for feature in features):
        return None
    most = (-np.inf, np.inf)
    low, high = zip(*(feature.limits or most for feature in features), strict=True)
    return np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)


def _texts(signature: Signature) -> Iterator[_Texts]:
    widths = {tensor.name: tensor.width for tensor in signature.tensors}
    for place, feature in enumerate(signature.features):
        if feature.is_string and not feature.is_tensor:
            known = {c for c in feature.categories or () if isinstance(c, str)}
            yield _Texts(
                place=place,
                known=frozenset(known | {None}),  # null comes only where the type lets it
                is_open=not feature.refuses_unknown,
                tensor=feature.tensor,
                column=feature.column,
                width=widths.get(feature.tensor, 0),
                texts=[text for text in signature.texts if text.feature == feature.name],
            )


def read_tensors(signature: Signature, body: bytes, *, limits: Limits) -> Batch:
    """The same for rows that hold whole tensors. Raises Unsure."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise Unsure from err
    rows = document if type(document) is list else [document]
    if not rows or set(map(type, rows)) != {dict}:
        raise Unsure
    if body.count(b'"') != 2 * sum(map(len, rows)):  # strings inside of lists aren't counted
        raise Unsure
    try:
        batch = read_rows(signature, document, limits=limits)
    except RequestError as err:
        raise Unsure from err
    for column in batch.columns.values():
        for array in column if column.dtype == object else [column]:
            if (np.abs(np.asarray(array, dtype=np.float64)) >= MAX_EXACT_INTEGER).any():
                raise Unsure
    return batch


def refuse_large(signature: Signature, body: bytes, limits: Limits) -> None:
    """Refuses what is too large before the strict reader takes its time for it: a list of too many rows, an object of
    far too many keys. Raises TooLarge; says nothing of what isn't certain.
    """
    if len(body) < LARGE:
        return
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    if type(document) is list:
        refuse_rows_over(signature, len(document), limits)
    most = len(signature.features) + len(signature.ignored) + MAX_MORE_KEYS
    if type(document) is dict and limits.rows is not None and len(document) > most:
        message = (
            f"the row has {len(document)} keys; the model takes {len(signature.features)} features"
        )
        raise TooLarge([Detail("too_large", (), message)])
