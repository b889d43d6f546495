"""The rows that a conversion is tried on: drawn from the sample, and placed where conversions go
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from onnxport.compare import by_row
from onnxport.export.graph import Array
from onnxport.export.oracle import Oracle
from onnxport.export.sample import Sample, Table, rows_of, stack, take
from onnxport.export.texts import hard_texts, recombined, words_of
from onnxport.signature import Feature, Signature

HELD_OUT = 2000
MAX_THRESHOLD_ROWS = 2048
MAX_CHARACTERS = 2_000_000
BATCHES = (0, 1, 2, 257)
UNSEEN = "onnxport: unseen ünknown"
_PAIRS = 64
_WAYS, _ROUNDS = 16, 12  # each way between two rows is cut so often, down to 2^-48 of it
_SEED = 20261122


@dataclass(frozen=True)
class RowSet:
    """Rows with a common purpose. shuffled: they are fed with their columns in another order."""

    name: str
    table: Table
    shuffled: bool = False

    @property
    def rows(self) -> int:
        return rows_of(self.table)


def row_sets(
    sample: Sample,
    signature: Signature,
    splits: Mapping[str, set[float]],
    oracle: Oracle,
) -> Iterator[RowSet]:
    """All sets that apply. The oracle is asked for the rows beside its decision boundary."""
    rng = np.random.default_rng(_SEED)
    held_out = draw_held_out(sample, signature, rng)
    yield RowSet("heldout", held_out)
    makers: tuple[tuple[str, Callable[[], Iterator[Table]]], ...] = (
        ("nulls", lambda: _nulls(signature, held_out, rng)),
        ("unknown", lambda: _unknown(signature, held_out, rng)),
        ("thresholds", lambda: _thresholds(signature, splits, held_out, rng)),
        ("extremes", lambda: _extremes(signature, held_out, rng)),
        ("texts", lambda: _texts(sample, signature, held_out, rng)),
    )
    for name, make in makers:
        tables = list(make())
        if tables:
            yield RowSet(name, stack(tables))
    yield from _ties(signature, held_out, oracle, rng)
    for size in BATCHES:
        yield RowSet(f"batch {size}", take(held_out, np.arange(size)))
    yield RowSet("shuffled columns", take(held_out, np.arange(64)), shuffled=True)


def draw_held_out(sample: Sample, signature: Signature, rng: np.random.Generator) -> Table:
    """Rows of X, and perturbed ones until there are enough: neighbours of real rows, with columns
    swapped in between.
    """
    table = sample.table()
    real = take(table, _readable(sample, rng.permutation(sample.rows)[:HELD_OUT]))
    wanted = HELD_OUT - rows_of(real) + HELD_OUT // 4
    drawn = take(table, rng.integers(sample.rows, size=wanted))
    other = take(table, rng.integers(sample.rows, size=wanted))
    for column in sample.used:
        if column.kind == "text" and not signature.by_name[column.name].refuses_unknown:
            drawn[column.name] = recombined(words_of(column.values), wanted, rng)
            continue
        swap = rng.random(wanted) < 0.2
        values = np.where(swap, other[column.name], drawn[column.name])
        if column.kind == "numeric" and not signature.by_name[column.name].refuses_unknown:
            values = values + rng.normal(0, 0.1 * _spread(column.values), wanted)
        drawn[column.name] = values
    return stack([real, drawn])


def _readable(sample: Sample, rows: Array) -> Array:
    """As many of these rows as hold a bearable amount of text, one at least."""
    read = np.zeros(len(rows))
    for column in sample.used:
        if column.kind == "text":
            read += [len(text or "") for text in column.values[rows].tolist()]
    return rows[: max(1, int((np.cumsum(read) <= MAX_CHARACTERS).sum()))]


def _texts(
    sample: Sample, signature: Signature, base: Table, rng: np.random.Generator
) -> Iterator[Table]:
    """Texts that lower-casing, accents, word boundaries or counting could break."""
    for column in sample.used:
        if column.kind == "text" and not signature.by_name[column.name].refuses_unknown:
            hard = hard_texts(words_of(column.values), rng)
            feature = signature.by_name[column.name]
            yield _with(_some(base, len(hard), rng), feature, np.array(hard, dtype=object))


def _spread(values: Array) -> float:
    """The standard deviation of the finite values, 0 where it is none."""
    known = values[np.isfinite(values)]
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(known.std()) if len(known) else 0.0
    return spread if np.isfinite(spread) else 0.0


def _some(table: Table, count: int, rng: np.random.Generator) -> Table:
    return take(table, rng.integers(rows_of(table), size=count))


def _with(table: Table, feature: Feature, values: Array | float | str | None) -> Table:
    changed = dict(table)
    column = np.empty(rows_of(table), dtype=object if feature.is_string else np.float64)
    column[:] = values
    changed[feature.name] = column
    return changed


def _nulls(signature: Signature, base: Table, rng: np.random.Generator) -> Iterator[Table]:
    nullable = [feature for feature in signature.features if feature.nullable]
    for feature in nullable:
        yield _with(_some(base, 24, rng), feature, None if feature.is_string else np.nan)
    if len(nullable) > 1:
        everything = _some(base, 8, rng)
        for feature in nullable:
            everything = _with(everything, feature, None if feature.is_string else np.nan)
        yield everything


def _unknown(signature: Signature, base: Table, rng: np.random.Generator) -> Iterator[Table]:
    for feature in signature.features:
        if feature.is_string and not feature.refuses_unknown:
            for text in (UNSEEN, "", " ", "東京\N{PARTY POPPER}"):
                yield _with(_some(base, 4, rng), feature, text)


def _thresholds(
    signature: Signature,
    splits: Mapping[str, set[float]],
    base: Table,
    rng: np.random.Generator,
) -> Iterator[Table]:
    """On every split point, one double beside it, and on and beside the nearest float32."""
    by_name = signature.by_name
    points = [
        (by_name[name], value)
        for name, values in sorted(splits.items())
        if name in by_name and by_name[name].kind != "boolean" and not by_name[name].refuses_unknown
        for value in sorted(values)
        if np.isfinite(value)
    ]
    limit = MAX_THRESHOLD_ROWS // 7
    chosen = (
        points
        if len(points) <= limit
        else [points[i] for i in sorted(rng.choice(len(points), limit, replace=False))]
    )
    for feature, value in chosen:
        around = _around(value)
        if feature.kind == "integer":
            around = np.concatenate([around, [np.floor(value), np.ceil(value)]])
        yield _with(_some(base, len(around), rng), feature, around)


def _around(value: float) -> Array:
    with np.errstate(over="ignore"):
        single = np.float32(value)
        singles = [
            float(x)
            for x in (
                np.nextafter(single, np.float32(-np.inf)),
                single,
                np.nextafter(single, np.float32(np.inf)),
            )
            if np.isfinite(x)
        ]
    return np.array([value, np.nextafter(value, -np.inf), np.nextafter(value, np.inf), *singles])


def _extremes(signature: Signature, base: Table, rng: np.random.Generator) -> Iterator[Table]:
    """A thousand times beyond the training range, both signs, zero, and ids beyond 2^24."""
    for feature in signature.features:
        if feature.is_string or feature.kind == "boolean" or feature.refuses_unknown:
            continue
        if feature.minimum is not None and feature.minimum == feature.maximum:
            continue  # a constant in training: what lies beyond it has no size
        size = max(abs(feature.minimum or 0.0), abs(feature.maximum or 0.0), 1.0)
        ids = 2.0**24 + np.arange(1, 6, 2)
        values = np.array([size * 1e3, -size * 1e3, 0.0, size, -size, *ids])
        values = np.round(values) if feature.kind == "integer" else values
        if feature.infinite:
            values = np.concatenate([values, [np.inf, -np.inf]])
        yield _with(_some(base, len(values), rng), feature, values)


def _ties(
    signature: Signature, held_out: Table, oracle: Oracle, rng: np.random.Generator
) -> Iterator[RowSet]:
    """Both sides of the decision boundary, found by halving the way between rows with different
    labels.
    """
    if not signature.class_sets:
        return
    base = take(held_out, oracle.answered(held_out))
    labels = by_row(oracle.predict(base))
    pairs = rng.integers(len(labels), size=(2, _PAIRS * 8))
    target = rng.integers(labels.shape[1], size=_PAIRS * 8)  # each pair looks at one target
    parted = np.flatnonzero(labels[pairs[0], target] != labels[pairs[1], target])[:_PAIRS]
    (left, right), target = pairs[:, parted], target[parted]
    here, there, wanted = take(base, left), take(base, right), labels[left, target]
    for feature in signature.features:  # only numbers have a way between them
        whole = feature.kind == "integer" and not _takes_broken(oracle, here, feature)
        if feature.is_string or feature.kind == "boolean" or feature.refuses_unknown or whole:
            here[feature.name] = there[feature.name]
    usable = oracle.answered(here)
    if usable.any():
        usable[usable] &= _labels(oracle, take(here, usable), target[usable]) == wanted[usable]
    here, there = take(here, usable), take(there, usable)
    wanted, target = wanted[usable], target[usable]
    for _ in range(_ROUNDS if len(wanted) else 0):
        here, there = _closer(oracle, here, there, wanted, target)
    if len(wanted):
        yield RowSet("ties", stack([here, there]))


def _takes_broken(oracle: Oracle, table: Table, feature: Feature) -> bool:
    """Whether a whole number may be broken, unlike one that is a category."""
    row = take(table, slice(0, 1))
    return not rows_of(row) or oracle.answers(row | {feature.name: row[feature.name] + 0.5})


def _labels(oracle: Oracle, table: Table, target: Array) -> Array:
    """Each row's label of one target of several, or of the only one."""
    chosen: Array = by_row(oracle.predict(table))[np.arange(len(target)), target]
    return chosen


def _closer(
    oracle: Oracle, here: Table, there: Table, wanted: Array, target: Array
) -> tuple[Table, Table]:
    """The ways between two rows cut into parts: the part of each in which the label first changes.

    wanted: each way's label at its beginning. One question for all parts, as a large forest takes
    long over each.
    """
    rows, inner = len(wanted), _WAYS - 1
    between = stack(
        [{n: _between(here[n], there[n], i / _WAYS) for n in here} for i in range(1, _WAYS)]
    )
    stays = _keeps(oracle, between, np.tile(wanted, inner), np.tile(target, inner))
    stays = stays.reshape(inner, rows)
    first = np.where(stays.all(axis=0), inner, stays.argmin(axis=0))
    ladder = stack([here, between, there])
    place = first * rows + np.arange(rows)
    return take(ladder, place), take(ladder, place + rows)


def _keeps(oracle: Oracle, table: Table, wanted: Array, target: Array) -> Array:
    """Rows that are answered with the label wanted, bool [rows]."""
    try:
        kept: Array = _labels(oracle, table, target) == wanted
    except Exception:  # an estimator may refuse some rows with any exception
        kept = oracle.answered(table)
        if kept.any():
            kept[kept] = _labels(oracle, take(table, kept), target[kept]) == wanted[kept]
    return kept


def _between(here: Array, there: Array, share: float) -> Array:
    if here.dtype == object:
        return here
    # the difference of two large numbers would overflow
    return here * (1 - share) + there * share


def redrawn(column_values: Array, count: int, rng: np.random.Generator, digits: int) -> Array:
    """Values drawn from between a column's own, rounded to so many decimals: plausible, and
    nobody's.
    """
    known = column_values[np.isfinite(column_values)]
    if not len(known):
        return np.zeros(count)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.round(np.quantile(known, rng.uniform(0.02, 0.98, count)), digits)
    return np.where(np.isfinite(values), values, known[0])


def keep_rows(row_set: RowSet, kept: Array) -> RowSet:
    """The same set with some rows only."""
    if kept.all():
        return row_set
    return replace(row_set, table=take(row_set.table, kept))
