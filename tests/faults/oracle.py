"""What the documentation promises for a body, worked out with Python's own JSON reader and arithmetic: no code of ours.

docs/6-http-api.md is the text: which rows are taken, and the code of each fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Fault = str  # a code, "" for none
Check = Callable[[Any], Fault]

DEPTH = 16
EXACT = 2**53
FLOAT32_END = 2.0**128 - 2.0**103  # float32 rounds this to infinity


@dataclass(frozen=True)
class Verdict:
    """A status and the codes of a refusal, or the answers of a good one.

    single: one object is answered, not a list. spread: the largest number that an answer was summed up from.
    """

    status: int
    codes: frozenset[str] = frozenset()
    answers: tuple[float, ...] = ()
    single: bool = False
    spread: float = 0.0


@dataclass(frozen=True)
class Oracle:
    """The features of a model, by what each takes, and the answer to a row that it takes."""

    features: Mapping[str, Check]
    answer: Callable[[Mapping[str, Any]], float]
    ignored: frozenset[str] = field(default=frozenset())

    def judge(self, body: bytes) -> Verdict:
        """The one right answer to a body."""
        try:
            document = _read(body)
        except _NoJSON as no:
            return Verdict(400, frozenset({no.args[0]}))
        rows = document if isinstance(document, list) else [document]
        codes = {code for row in rows for code in self._faults(row)}
        if codes and _depth(document) > DEPTH:
            return Verdict(400, frozenset({"too_deep"}))
        if codes:
            return Verdict(422, frozenset(codes))
        answers = tuple(self.answer(row.values) for row in rows)
        spread = max((abs(v) for row in rows for v in self._numbers(row)), default=0.0)
        return Verdict(200, frozenset(), answers, document is not rows, spread)

    def _faults(self, row: Any) -> set[str]:
        if not isinstance(row, _Row):
            return {"wrong_type"}
        codes = {self.features[n](v) for n, v in row.values.items() if n in self.features}
        codes |= {"duplicate_key"} if row.has_twice else set()
        codes |= {"missing"} if self.features.keys() - row.values.keys() else set()
        unknown = row.values.keys() - self.features.keys() - self.ignored
        codes |= {"unknown_feature"} if unknown else set()
        return codes - {""}

    def _numbers(self, row: Any) -> list[float]:
        values = (row.values[name] for name in self.features)
        return [float(value) for value in values if isinstance(value, (int, float))]


def is_right(verdict: Verdict, status: int, content: bytes) -> bool:
    """Whether an answer is the one that was promised."""
    told = json.loads(content)
    if status != 200 or verdict.status != 200:
        codes = frozenset(detail["type"] for detail in told["detail"]) if status != 200 else None
        return status == verdict.status and codes == verdict.codes
    rows = [told] if verdict.single else told
    within = 1e-12 * (1.0 + verdict.spread)  # a sum may be added up in another order
    return (
        isinstance(rows, list)
        and [list(row) for row in rows] == [["prediction"]] * len(verdict.answers)
        and all(
            math.isclose(row["prediction"], value, abs_tol=within)
            for row, value in zip(rows, verdict.answers, strict=True)
        )
    )


# ------------------------------------------------------------------------------------------------ JSON


class _NoJSON(Exception):
    pass


class _Constant(str):
    """NaN, Infinity or -Infinity, which Python's reader lets through."""


@dataclass(frozen=True)
class _Row:
    """An object: its last values, and whether a key stands twice in it."""

    values: dict[str, Any]
    has_twice: bool


def _read(body: bytes) -> Any:
    if not body.strip(b" \t\n\r\v\f"):
        raise _NoJSON("empty_body")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        raise _NoJSON("invalid_encoding")
    try:
        text = body.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise _NoJSON("invalid_encoding") from None
    try:
        return json.loads(text, object_pairs_hook=_row, parse_constant=_Constant)
    except json.JSONDecodeError:
        raise _NoJSON("invalid_json") from None


def _row(pairs: list[tuple[str, Any]]) -> _Row:
    return _Row(dict(pairs), len(dict(pairs)) < len(pairs))


def _depth(value: Any) -> int:
    if isinstance(value, _Row):
        value = list(value.values.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


# ------------------------------------------------------------------------------------- what features take


def nullable(check: Check) -> Check:
    """Null too."""
    return lambda value: "" if value is None else check(value)


def number(value: Any) -> Fault:
    """A double: integers only where each has one of its own."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "" if -EXACT <= value <= EXACT else "out_of_range_integer"
    return _float(value)


def small(value: Any) -> Fault:
    """A number that float32 can hold."""
    if isinstance(value, float) and abs(value) >= FLOAT32_END:
        return "non_finite"
    return number(value)


def integer(value: Any) -> Fault:
    """A whole number of 64 bits, with or without a fraction of zero."""
    if isinstance(value, float) and math.isfinite(value) and not value.is_integer():
        return "wrong_type"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return "" if -(2**63) <= value < 2**63 else "out_of_range_integer"
    return _float(value)


def boolean(value: Any) -> Fault:
    """True or false."""
    if isinstance(value, bool):
        return ""
    return _unusual(value) or "wrong_type"


def one_of_numbers(*known: float) -> Check:
    return lambda value: number(value) or ("" if value in known else "unknown_category")


def text(value: Any) -> Fault:
    """Any string that UTF-8 can carry, without NUL and without the token that stands for null inside."""
    if value is None:
        return "null_not_allowed"
    if not isinstance(value, str) or isinstance(value, _Constant):
        return "wrong_type"
    surrogate = any(0xD800 <= ord(letter) <= 0xDFFF for letter in value)
    return "invalid_string" if "\0" in value or value == "\ue000null" or surrogate else ""


def one_of_texts(*known: str) -> Check:
    return lambda value: text(value) or ("" if value in known else "unknown_category")


def _float(value: Any) -> Fault:
    if isinstance(value, float):
        return "" if math.isfinite(value) else "non_finite"
    return _unusual(value) or "wrong_type"


def _unusual(value: Any) -> Fault:
    if value is None:
        return "null_not_allowed"
    return "non_finite" if isinstance(value, _Constant) else ""


def mean(*names: str) -> Callable[[Mapping[str, Any]], float]:
    """The mean of some features, null as 0."""
    return lambda row: math.fsum(float(row[name] or 0) for name in names) / len(names)
