"""The sample X: its columns with their kinds, and the way back from plain columns to what the
estimator takes.

A `Table` holds plain columns by feature name: float64 with NaN for null, or object with None for
null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from onnxport.datatypes import MAX_EXACT_INTEGER
from onnxport.errors import ExportError, shorten
from onnxport.export.graph import Array
from onnxport.export.learned import NOTHING, Learned, distinct_nulls, is_missing
from onnxport.export.sample_errors import library_says, no_table, no_texts, wrong_width
from onnxport.signature import Kind

Table = dict[str, Array]


@dataclass(frozen=True, slots=True)
class SampleColumn:
    """One column of X. native: the pandas or numpy dtype it had. used: some step reads it. values:
    [rows].

    null: the Python value (None, NaN or pandas.NA) that a null is restored to. nulls: all that the
    column was seen to hold.
    """

    name: str
    kind: Kind
    dtype: str
    native: Any
    values: Array
    used: bool = True
    null: Any = None
    nulls: tuple[Any, ...] = ()

    @property
    def is_string(self) -> bool:
        return self.kind in ("categorical", "text")

    @property
    def categories(self) -> tuple[Any, ...] | None:
        """Those of a Categorical, in their order."""
        native = self.native
        return tuple(native.categories) if isinstance(native, pd.CategoricalDtype) else None

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype in which numpy would see the column; pandas' own numbers are doubles to
        scikit-learn.
        """
        native = self.native
        if self.is_string or native == np.dtype(object):
            return np.dtype(object)
        is_numpy = isinstance(native, np.dtype) and native.kind in "fiub"
        return native if is_numpy else np.dtype(np.float64)


@dataclass(frozen=True)
class Sample:
    """X by columns in the order of training. as_frame: the estimator was fitted on a DataFrame.
    real: X was given. flat: it takes its one column by itself, as a list of texts.
    """

    columns: tuple[SampleColumn, ...]
    as_frame: bool
    real: bool = True
    flat: bool = False

    @property
    def used(self) -> tuple[SampleColumn, ...]:
        return tuple(column for column in self.columns if column.used)

    @property
    def rows(self) -> int:
        return len(self.columns[0].values)

    def table(self) -> Table:
        """The used columns, plain."""
        return {column.name: column.values for column in self.used}

    def restore(self, table: Mapping[str, Array]) -> Any:
        """What the estimator takes for these rows: a DataFrame with the training's dtypes, or an
        array.
        """
        rows = len(next(iter(table.values())))
        if self.flat:
            return table[self.columns[0].name].copy()
        plain = [table[c.name] if c.used else np.repeat(c.values[:1], rows) for c in self.columns]
        if self.as_frame:
            series = {
                column.name: _restore_series(column, values)
                for column, values in zip(self.columns, plain, strict=True)
            }
            return pd.DataFrame(series)
        dtype = np.result_type(*(column.numpy_dtype for column in self.columns))
        if dtype == np.dtype(object):
            matrix = np.empty((rows, len(plain)), dtype=object)
            for i, (column, values) in enumerate(zip(self.columns, plain, strict=True)):
                matrix[:, i] = _objects(column, values) if column.used else values
            return matrix
        return _restore_matrix(np.column_stack(plain), dtype)


def rows_of(table: Table) -> int:
    return len(next(iter(table.values())))


def take(table: Table, indices: Any) -> Table:
    """Some rows of a table."""
    return {name: values[indices] for name, values in table.items()}


def stack(tables: Sequence[Table]) -> Table:
    """Tables one below the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def with_texts(sample: Sample, names: Iterable[str]) -> Sample:
    """The sample with these columns known as text."""
    texts = set(names)
    columns = (replace(c, kind="text") if c.name in texts else c for c in sample.columns)
    return replace(sample, columns=tuple(columns))


def read_texts(X: Any, names: Sequence[str] | None) -> Sample:
    """A list of texts as a sample of one column, called like the caller says, the Series, or "text".

    X: a list, Series or 1-D array of strings, or a DataFrame of one column. Raises ExportError for
    anything else.
    """
    if hasattr(X, "to_pandas") and not isinstance(X, (pd.DataFrame, pd.Series)):
        X = X.to_pandas()
    if isinstance(X, pd.DataFrame) and X.shape[1] == 1:
        X = X.iloc[:, 0]
    if isinstance(X, (str, bytes)) or not isinstance(X, Iterable) or getattr(X, "ndim", 1) != 1:
        raise no_texts(X)
    values = np.empty(len(texts := list(X)), dtype=object)
    values[:] = texts
    _check_size(len(values), 1, 1)
    wrong = next((value for value in texts if not isinstance(value, str)), None)
    if wrong is not None or None in texts:
        raise ExportError(
            f"X holds {type(wrong).__name__} among its texts; pass strings, '' where there is none"
        )
    name = names[0] if names else getattr(X, "name", None)
    column = SampleColumn("text" if name is None else str(name), "text", "string", object, values)
    return Sample((column,), as_frame=False, flat=True)


def read_sample(
    X: Any,
    names: Sequence[str] | None,
    *,
    as_frame: bool,
    used: Array,
    known: Mapping[int, Learned] = MappingProxyType({}),
) -> Sample:
    """X as a sample. `names`: the estimator's own, or the caller's, or None to take X's.

    X: DataFrame (pandas, or anything with `to_pandas`) or 2-D array [rows, features]. known: what
    the estimator learned of its columns, for what X itself doesn't tell.
    Raises ExportError for what isn't a table of numbers, booleans and strings.
    """
    if hasattr(X, "to_pandas") and not isinstance(X, pd.DataFrame):
        X = X.to_pandas()
    if isinstance(X, pd.DataFrame):
        return _from_frame(X, names, as_frame=as_frame, used=used, known=known)
    if hasattr(X, "toarray"):
        raise ExportError("X is a sparse matrix; pass X.toarray(), or a DataFrame")
    try:
        array = np.asarray(X)
    except ValueError as err:
        raise ExportError(f"X is no table: {library_says(err)}; pass a DataFrame") from err
    if array.ndim != 2:
        raise no_table(X)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype.kind not in "fiubO":
        raise ExportError(f"X has the datatype {array.dtype}; pass numbers, booleans or strings")
    _check_size(array.shape[0], array.shape[1], len(used))
    names = names or [f"x{i}" for i in range(array.shape[1])]
    columns = tuple(
        _column(str(name), array[:, i], array.dtype, known.get(i, NOTHING), used=bool(used[i]))
        for i, name in enumerate(names)
    )
    return Sample(columns, as_frame)


def _from_frame(
    frame: pd.DataFrame,
    names: Sequence[str] | None,
    *,
    as_frame: bool,
    used: Array,
    known: Mapping[int, Learned],
) -> Sample:
    if not frame.columns.is_unique:
        twice = shorten(repr(frame.columns[frame.columns.duplicated()][0]))
        raise ExportError(f"two columns of X share a name, {twice}; rename one")
    if names is not None and as_frame:
        frame, names = _spelled(frame, names)
        missing = [name for name in names if name not in frame.columns]
        if missing:
            raise ExportError(
                f"X lacks the column {missing[0]!r} that the estimator was fitted on; pass the X of training"
            )
        unseen = [name for name in frame.columns if name not in set(names)]
        if unseen:
            raise ExportError(
                f"X has the column {shorten(str(unseen[0]))!r} that the estimator was not fitted on; leave it out"
            )
        frame = frame[list(names)]
    _check_size(len(frame), frame.shape[1], len(used))
    labels = list(names) if names is not None else [str(name) for name in frame.columns]
    alike = next((name for name, count in Counter(labels).items() if count > 1), None)
    if alike is not None:
        raise ExportError(f"two columns of X are called {alike!r} when written as text; rename one")
    columns = tuple(
        _column(
            label,
            frame.iloc[:, i],
            frame.dtypes.iloc[i],
            known.get(i, NOTHING),
            used=bool(used[i]),
        )
        for i, label in enumerate(labels)
    )
    return Sample(columns if as_frame else _as_array(columns), as_frame)


def _spelled(frame: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, Sequence[str]]:
    """The frame with strings as names, and the estimator's names as the frame spells them: LightGBM
    makes strings of all names, and writes their spaces as underscores.
    """
    texts = [str(column) for column in frame.columns]
    own = {text.replace(" ", "_"): text for text in texts}
    if set(names) <= set(frame.columns) or not (len(own) == len(texts) and set(names) <= set(own)):
        return frame, names
    return frame.set_axis(texts, axis=1), [own[name] for name in names]


def _as_array(columns: tuple[SampleColumn, ...]) -> tuple[SampleColumn, ...]:
    """The columns in the one dtype that an array of them has."""
    joint = np.result_type(*(column.numpy_dtype for column in columns))
    if joint == np.dtype(object):
        return tuple(replace(column, native=joint) for column in columns)
    single = joint == np.float32
    return tuple(
        replace(
            column,
            native=joint,
            dtype=column.dtype if column.kind != "numeric" else "float32" if single else "float64",
        )
        for column in columns
    )


def _check_size(rows: int, width: int, expected: int) -> None:
    if rows == 0:
        raise ExportError("X has no rows; pass a representative sample")
    if width != expected:
        raise wrong_width(width, expected)


def _column(name: str, values: Any, native: Any, known: Learned, *, used: bool) -> SampleColumn:
    """Reads one column: what it holds decides its kind, not what pandas calls it."""
    if not used:
        return SampleColumn(name, "numeric", "float64", native, np.asarray(values), used=False)
    inner = native.categories.dtype if isinstance(native, pd.CategoricalDtype) else native
    learned_strings = any(isinstance(value, str) for value in known.categories)
    kind, dtype = _kind(name, values, inner, is_string=learned_strings)
    missing = [is_missing(value) for value in values]
    nulls = distinct_nulls(value for value, gone in zip(values, missing, strict=True) if gone)
    null = _null(native, nulls or known.nulls)
    if kind == "categorical":
        plain = np.array(values, dtype=object)
        plain[missing] = None
        _check_text(name, plain)
        return SampleColumn(name, kind, dtype, native, plain, null=null, nulls=nulls)
    numbers = np.array([np.nan if is_missing(v) else float(v) for v in values], dtype=np.float64)
    return SampleColumn(name, kind, dtype, native, numbers, null=null, nulls=nulls)


def _null(native: Any, nulls: Sequence[Any]) -> Any:
    """What a null of this dtype is; in a column of objects, the one that was seen."""
    if isinstance(native, pd.StringDtype):
        return native.na_value
    if native != np.dtype(object):
        return np.nan
    return nulls[0] if nulls else None


def _check_text(name: str, values: Array) -> None:
    """Refuses strings that no request could hold."""
    for value in set(values.tolist()) - {None}:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as err:
            raise ExportError(
                f"the column {name!r} holds {shorten(ascii(value))}, which is no valid Unicode; clean it"
            ) from err


def _kind(name: str, values: Any, dtype: Any, *, is_string: bool) -> tuple[Kind, str]:
    if isinstance(dtype, pd.SparseDtype):
        raise ExportError(f"the column {name!r} is sparse; pass X.sparse.to_dense()")
    code = getattr(dtype, "kind", "O")
    if code in "mM":
        raise ExportError(
            f"the column {name!r} has the datatype {dtype}, and dates and times don't convert; make "
            "numbers or strings of it before fitting, such as .dt.dayofyear or .dt.total_seconds()"
        )
    if isinstance(dtype, pd.StringDtype) or code == "O":
        strings = is_string or isinstance(dtype, pd.StringDtype)
        return _object_kind(name, values, is_string=strings)
    if code == "b":
        return "boolean", "bool"
    if code in "iu":
        return "integer", "int64"
    if code == "f" and dtype.itemsize in (4, 8):
        return "numeric", "float32" if dtype.itemsize == 4 else "float64"
    raise ExportError(
        f"the column {name!r} has the datatype {dtype}; pass numbers (float32, float64, integers), booleans or strings"
    )


def _object_kind(name: str, values: Any, *, is_string: bool) -> tuple[Kind, str]:
    """What an object column holds. is_string: it holds strings even where it holds only nulls."""
    kinds = {type(v) for v in values if not is_missing(v)}
    if kinds <= {str, np.str_} and (kinds or is_string):
        return "categorical", "string"
    if kinds <= {bool, np.bool_} and kinds:
        return "boolean", "bool"
    if kinds and all(issubclass(k, (int, np.integer)) and k is not bool for k in kinds):
        return "integer", "int64"
    if all(issubclass(k, (int, float, np.number)) and k is not bool for k in kinds):
        return "numeric", "float64"
    found = ", ".join(sorted(k.__name__ for k in kinds))
    what = "keep one type in each column" if len(kinds) > 1 else "turn it into numbers or strings"
    raise ExportError(f"the column {name!r} holds {found}; {what}")


def _objects(column: SampleColumn, values: Array) -> Array:
    """As Python objects, with the column's own null."""
    plain = np.array(values, dtype=object)
    if column.kind == "boolean":
        plain[values == 1] = True
        plain[values == 0] = False
    elif column.kind == "integer":
        plain = np.array([_whole(value) for value in values.tolist()], dtype=object)
    plain[[is_missing(value) for value in values.tolist()]] = column.null
    return plain


def _whole(value: Any) -> Any:
    """An integer where the number is one that a double holds exactly."""
    fits = isinstance(value, float) and abs(value) <= MAX_EXACT_INTEGER and value % 1 == 0
    return int(value) if fits else value


def _restore_series(column: SampleColumn, values: Array) -> Any:
    native = column.native
    if not column.used:
        return values
    if isinstance(native, pd.CategoricalDtype):
        return _restore_categorical(native, values)
    if column.is_string or native == np.dtype(object):
        plain = _objects(column, values)
        return pd.Series(plain, dtype=native if isinstance(native, pd.StringDtype) else object)
    nulls = np.isnan(values)
    if pd.api.types.is_extension_array_dtype(native):
        fits = column.kind == "numeric" or not bool((values[~nulls] % 1 != 0).any())
        items = [None if null else v for v, null in zip(values.tolist(), nulls, strict=True)]
        try:
            return pd.array(items, dtype=native if fits else "Float64")
        except (TypeError, ValueError, OverflowError):  # more than this dtype holds
            return pd.array(items, dtype="Float64")
    return _restore_numbers(column, native, values, nulls)


def _restore_numbers(column: SampleColumn, native: Any, values: Array, nulls: Array) -> Array:
    """Integers and booleans where all values fit, else what pandas would hold: floats."""
    if column.kind == "boolean":
        if not nulls.any() and bool(np.isin(values, (0, 1)).all()):
            return values.astype(bool)
        return values
    if column.kind == "integer":
        limits = np.iinfo(native)
        fits = not nulls.any() and bool(
            ((values % 1 == 0) & (values >= limits.min) & (values < float(limits.max))).all()
        )
        return values.astype(native) if fits else values
    with np.errstate(over="ignore"):
        return values.astype(native)


def _restore_categorical(native: pd.CategoricalDtype, values: Array) -> Any:
    """A Categorical with the training's categories first; values it doesn't know come behind."""
    known = list(native.categories)
    own = {value: value for value in known}  # 1.0 becomes the category True
    plain = (
        map(_whole, values.tolist()) if native.categories.dtype.kind in "iu" else values.tolist()
    )
    items = [None if is_missing(v) else own.get(v, v) for v in plain]
    unknown = list(dict.fromkeys(v for v in items if v is not None and v not in own))
    if not unknown:
        return pd.Categorical(items, dtype=native)
    objects = np.dtype(object) if native.categories.dtype == np.dtype(object) else None
    categories = pd.Index(known + unknown, dtype=objects)
    return pd.Categorical(items, categories=categories, ordered=bool(native.ordered))


def _restore_matrix(matrix: Array, dtype: np.dtype[Any]) -> Array:
    """The dtype of training where all values fit, else doubles."""
    if dtype == np.float32:
        with np.errstate(over="ignore"):
            return matrix.astype(np.float32)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if bool(((matrix % 1 == 0) & (matrix >= limits.min) & (matrix < float(limits.max))).all()):
            return matrix.astype(dtype)
    return matrix
