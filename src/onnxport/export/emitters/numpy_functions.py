"""FunctionTransformer with functions of numpy's and scipy's that compute number by number.

Source: `sklearn/preprocessing/_function_transformer.py`; numpy's and scipy's documentation of each
function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto
from scipy import special
from sklearn import preprocessing

from onnxport.export import elementary
from onnxport.export.decisions import expit
from onnxport.export.graph import Columns, Graph, number_columns, with_dtype
from onnxport.export.origin import Origin
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Refusal,
    emits,
    finite_only,
    numbers_only,
    refuse,
)

Make = Callable[[Graph, str], str]


@dataclass(frozen=True, slots=True)
class Function:
    """How a function is written in the graph.

    exact: equals numpy's to the last bit. whole: right where numpy answers with integers or
    booleans. finite: of finite numbers it makes finite ones. traced: how the origin changes.
    """

    make: Make
    exact: bool = False
    whole: bool = False
    finite: bool = False
    traced: Callable[[Origin], Origin] | None = None


def _node(op: str) -> Make:
    return lambda graph, x: graph.node(op, x)


def _mark(op: str) -> Make:
    """An operator that answers with true and false."""
    return lambda graph, x: graph.to_double(graph.node(op, x))


def _times(factor: float) -> Make:
    return lambda graph, x: graph.node("Mul", x, graph.constant(factor))


def _chain(*makes: Make) -> Make:
    def make(graph: Graph, x: str) -> str:
        for each in makes:
            x = each(graph, x)
        return x

    return make


def _square(graph: Graph, x: str) -> str:
    return graph.node("Mul", x, x)


def _exp2(graph: Graph, x: str) -> str:
    return graph.node("Pow", graph.constant(2.0), x)


def _logit(graph: Graph, x: str) -> str:
    """log(p / (1 - p))."""
    return graph.node("Log", graph.node("Div", x, graph.node("Sub", graph.constant(1.0), x)))


def _trunc(graph: Graph, x: str) -> str:
    negative = graph.node("Less", x, graph.constant(0.0))
    return graph.node("Where", negative, graph.node("Ceil", x), graph.node("Floor", x))


def _is_finite(graph: Graph, x: str) -> str:
    odd = graph.node("Or", graph.node("IsNaN", x), graph.node("IsInf", x))
    return graph.to_double(graph.node("Not", odd))


def _sign_bit(graph: Graph, x: str) -> str:
    """Negative, or the -0.0 whose reciprocal is."""
    zero = graph.constant(0.0)
    inverse = graph.node("Reciprocal", x)
    below = graph.node("Or", graph.node("Less", x, zero), graph.node("Less", inverse, zero))
    return graph.to_double(below)


def _same(_graph: Graph, x: str) -> str:
    return x


def _scaled_by(factor: float) -> Callable[[Origin], Origin]:
    return lambda origin: origin.scaled(0.0, 1.0 / factor)


_TO_RADIANS, _TO_DEGREES = np.pi / 180.0, 180.0 / np.pi
_RADIANS = Function(_times(_TO_RADIANS), True, finite=True, traced=_scaled_by(_TO_RADIANS))
_DEGREES = Function(_times(_TO_DEGREES), True, traced=_scaled_by(_TO_DEGREES))
_ABSOLUTE = Function(_node("Abs"), True, True, True)

FUNCTIONS: dict[Any, Function] = {
    np.log: Function(_node("Log")),
    np.log1p: Function(elementary.log1p),
    np.log2: Function(_chain(_node("Log"), _times(1.0 / np.log(2.0)))),
    np.log10: Function(_chain(_node("Log"), _times(1.0 / np.log(10.0)))),
    np.exp: Function(_node("Exp")),
    np.exp2: Function(_exp2),
    np.expm1: Function(elementary.expm1),
    np.sqrt: Function(_node("Sqrt"), True),
    np.cbrt: Function(elementary.cbrt, finite=True),
    np.square: Function(_square, True, True),
    np.absolute: _ABSOLUTE,
    np.fabs: _ABSOLUTE,
    np.negative: Function(_node("Neg"), True, True, True, _scaled_by(-1.0)),
    np.positive: Function(_same, True, True, True, _scaled_by(1.0)),
    np.reciprocal: Function(_node("Reciprocal"), True),
    np.sign: Function(elementary.sign, True, True, True),
    np.floor: Function(_node("Floor"), True, True, True),
    np.ceil: Function(_node("Ceil"), True, True, True),
    np.rint: Function(_node("Round"), True, True, True),
    np.trunc: Function(_trunc, True, True, True),
    np.sin: Function(_node("Sin"), finite=True),
    np.cos: Function(elementary.cosine, finite=True),
    np.tan: Function(elementary.tangent),
    np.arcsin: Function(elementary.arcsin),
    np.arccos: Function(elementary.arccos),
    np.arctan: Function(elementary.arctan, finite=True),
    np.sinh: Function(elementary.sinh),
    np.cosh: Function(elementary.cosh),
    np.tanh: Function(_node("Tanh"), finite=True),
    np.arcsinh: Function(elementary.arcsinh, finite=True),
    np.arccosh: Function(elementary.arccosh),
    np.arctanh: Function(elementary.arctanh),
    np.deg2rad: _RADIANS,
    np.radians: _RADIANS,
    np.rad2deg: _DEGREES,
    np.degrees: _DEGREES,
    np.isnan: Function(_mark("IsNaN"), True, True, True),
    np.isinf: Function(_mark("IsInf"), True, True, True),
    np.isfinite: Function(_is_finite, True, True, True),
    np.signbit: Function(_sign_bit, True, True, True),
    special.expit: Function(expit, finite=True),
    special.logit: Function(_logit),
    special.log1p: Function(elementary.log1p),
    special.expm1: Function(elementary.expm1),
    special.cbrt: Function(elementary.cbrt, finite=True),
    special.exp2: Function(_exp2),
}


def _clip(options: Mapping[str, Any], dtype: np.dtype[Any]) -> Function | None:
    """np.clip: NaN passes, and the upper limit wins."""
    limits = {"a_min": None, "a_max": None, "min": None, "max": None} | dict(options)
    if len(limits) > 4 or any(v is not None and np.ndim(v) for v in limits.values()):
        return None
    low = limits["min"] if limits["a_min"] is None else limits["a_min"]
    high = limits["max"] if limits["a_max"] is None else limits["a_max"]
    if any(v is not None and float(np.asarray(v, dtype)) != float(v) for v in (low, high)):
        return None  # an array rounds the limit, a DataFrame widens the column

    def make(graph: Graph, x: str) -> str:
        for limit, op in ((low, "Less"), (high, "Greater")):
            if limit is not None:
                bound = graph.constant(float(np.asarray(limit, dtype=dtype)))
                x = graph.node("Where", graph.node(op, x, bound), bound, x)
        return x

    return Function(make, True, True, True, _scaled_by(1.0))


def _round(options: Mapping[str, Any], dtype: np.dtype[Any]) -> Function | None:
    """np.round: to the even neighbour, by way of a power of ten."""
    if set(options) - {"decimals"}:
        return None
    decimals = int(options.get("decimals", 0))
    if decimals < 0 and dtype.kind != "f":
        return None
    power = float(np.asarray(10.0 ** abs(decimals), dtype=dtype if dtype.kind == "f" else float))

    def make(graph: Graph, x: str) -> str:
        if decimals == 0 or dtype.kind != "f":
            return graph.node("Round", x)
        there, back = ("Mul", "Div") if decimals > 0 else ("Div", "Mul")
        moved = graph.node(there, x, graph.constant(power))
        moved = graph.rounded(moved) if dtype == np.float32 else moved
        return graph.node(back, graph.node("Round", moved), graph.constant(power))

    return Function(make, True, True)


def _nan_to_num(options: Mapping[str, Any], dtype: np.dtype[Any]) -> Function | None:
    known = {"copy": True, "nan": 0.0, "posinf": None, "neginf": None}
    if set(options) - set(known) or dtype.kind != "f":
        return Function(_same, True, True, True) if dtype.kind in "iub" else None
    values = known | dict(options)
    largest = float(np.finfo(dtype).max)
    if any(np.ndim(value) for value in values.values()):
        return None
    above = largest if values["posinf"] is None else float(values["posinf"])
    below = -largest if values["neginf"] is None else float(values["neginf"])
    nan = float(np.asarray(values["nan"], dtype=dtype))

    def make(graph: Graph, x: str) -> str:
        high = graph.node("IsInf", x, detect_negative=0)
        low = graph.node("IsInf", x, detect_positive=0)
        replaced = graph.node("Where", high, graph.constant(above), x)
        replaced = graph.node("Where", low, graph.constant(below), replaced)
        return graph.node("Where", graph.node("IsNaN", x), graph.constant(nan), replaced)

    return Function(make, True, True, bool(np.isfinite([above, below, nan]).all()))


With = Callable[[Mapping[str, Any], "np.dtype[Any]"], "Function | None"]
PARAMETRIC: dict[Any, With] = {
    np.clip: _clip,
    np.round: _round,
    np.around: _round,
    np.nan_to_num: _nan_to_num,
}


def _function_check(estimator: Any) -> Refusal | None:
    func = estimator.func
    if func is None or (_known(func) and func in PARAMETRIC):
        return None
    name = getattr(func, "__name__", repr(func))
    if not _known(func):
        return Refusal(
            "func",
            f"the function {name!r} can't be carried into the graph",
            "Compute the column before calling the model, or use a function of one number of "
            "numpy's itself, such as np.log1p, np.sqrt or np.clip with kw_args.",
        )
    if estimator.kw_args:
        return Refusal(
            "kw_args",
            f"{name} converts only without arguments",
            "Leave kw_args out; np.clip, np.round and np.nan_to_num may have them.",
        )
    return None


def _known(func: Any) -> bool:
    try:
        return func in FUNCTIONS or func in PARAMETRIC
    except TypeError:  # a callable without a hash
        return False


@emits(preprocessing.FunctionTransformer, check=_function_check)
def emit_function(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Number by number, in the dtype that numpy gives to each column. No function: the identity."""
    if estimator.validate:
        numbers_only(emission, estimator, columns)
        finite_only(emission, columns)
        columns = with_dtype(columns, str(columns.dtype))
    if estimator.func is None:
        return columns
    numbers_only(emission, estimator, columns)
    if estimator.func is np.nan_to_num:  # makes one array of a DataFrame
        columns = with_dtype(columns, str(columns.dtype))
    items = list(columns.items)
    for dtype in sorted({column.dtype for column in items}):
        places = [i for i, column in enumerate(columns.items) if column.dtype == dtype]
        part = _applied(emission, estimator, columns.pick(places), np.dtype(dtype))
        for place, column in zip(places, part.items, strict=True):
            items[place] = column
    return Columns(tuple(items))


def _applied(emission: Emission, estimator: Any, columns: Columns, dtype: np.dtype[Any]) -> Columns:
    """The function of columns of one dtype."""
    function, answer = _look_up(emission, estimator, dtype)
    graph = emission.graph
    if answer == np.float32 and not function.exact:
        emission.relax(TOLERANT_BAR)
    x = graph.matrix(columns)
    if estimator.func is np.square and answer.kind in "iu":  # integers wrap around
        whole = graph.cast(x, TensorProto.INT64 if answer.itemsize == 8 else TensorProto.INT32)
        square = graph.to_double(function.make(graph, whole))
        x = graph.node("Where", graph.node("IsNaN", x), x, square)
    else:
        x = function.make(graph, x)
    if answer == np.float32:
        x = graph.rounded(x)
    traced = function.traced
    origins = [
        traced(column.origin) if traced and column.origin else None for column in columns.items
    ]
    found = number_columns(
        x,
        len(columns),
        dtype=str(answer),
        origins=origins,
        finite=function.finite and (columns.finite or estimator.func is np.nan_to_num),
        exact=function.exact,
    )
    kept = zip(found.items, columns.items, strict=True)
    return Columns(tuple(replace(f, exact=f.exact and c.exact) for f, c in kept))


def _look_up(
    emission: Emission, estimator: Any, dtype: np.dtype[Any]
) -> tuple[Function, np.dtype[Any]]:
    """How the function is written for this dtype, and the dtype of its answers."""
    func, options = estimator.func, estimator.kw_args or {}
    try:
        answer = np.asarray(func(np.ones(1, dtype), **options)).dtype
    except (TypeError, ValueError) as err:
        raise refuse(emission, estimator, _widened(f"{func.__name__}: {err}")) from err
    function = FUNCTIONS.get(func) or PARAMETRIC[func](options, answer)
    if function is None:
        refusal = Refusal(
            "kw_args",
            f"these arguments of {func.__name__} don't convert for {dtype}",
            "Pass single numbers only, or turn the column into float64 before fitting.",
        )
        raise refuse(emission, estimator, refusal)
    whole = answer.kind == "b" or answer in (np.dtype(np.int32), np.dtype(np.int64))
    if not (answer == np.float64 or answer == np.float32 or (function.whole and whole)):
        said = f"{func.__name__} answers with {answer} for a column of {dtype}"
        raise refuse(emission, estimator, _widened(said))
    return function, answer


def _widened(reason: str) -> Refusal:
    return Refusal(
        "func",
        reason,
        "Turn the column into float64 before fitting, for example with X.astype('float64').",
    )
