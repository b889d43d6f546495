"""Elementary functions in double precision, from the operators that have a double kernel in every
ONNX Runtime: Exp, Log, Pow, Sin, Sqrt, Tanh and arithmetic.

Each is within some units of the last place of numpy's, and has numpy's NaN and infinities. Sources:
S. L. Moshier's Cephes for the rational approximations (`atan.c`, `ndtri.c`); W. Kahan for log1p and
expm1 (N. Higham, "Accuracy and Stability of Numerical Algorithms", 1.14.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxport.export.graph import Graph


def log1p(graph: Graph, x: str) -> str:
    """log(1 + x), precise near 0: log(u) · x / (u - 1) with u = 1 + x as it was rounded."""
    one = graph.constant(1.0)
    u = graph.node("Add", x, one)
    log = graph.node("Log", u)
    corrected = graph.node("Mul", log, graph.node("Div", x, graph.node("Sub", u, one)))
    infinite = graph.node("IsInf", u)
    return _choose(graph, graph.node("Equal", u, one), x, infinite, log, corrected)


def expm1(graph: Graph, x: str) -> str:
    """exp(x) - 1, precise near 0: (u - 1) · x / log(u) with u = exp(x) as it was rounded."""
    one = graph.constant(1.0)
    u = graph.node("Exp", x)
    less = graph.node("Sub", u, one)
    corrected = graph.node("Mul", less, graph.node("Div", x, graph.node("Log", u)))
    near = graph.node("Less", graph.node("Abs", x), one)
    precise = graph.node("Where", near, corrected, less)
    return graph.node("Where", graph.node("Equal", u, one), x, precise)


def cosine(graph: Graph, x: str) -> str:
    """cos(x) by sines of x / 2, or of 2x beside its zeros: Cos has no double kernel before 1.28."""
    two = graph.constant(2.0)
    sine = graph.node("Sin", x)
    half = graph.node("Sin", graph.node("Div", x, two))
    inside = graph.node(
        "Sub", graph.constant(1.0), graph.node("Mul", two, graph.node("Mul", half, half))
    )
    double = graph.node("Sin", graph.node("Mul", two, x))
    beside = graph.node("Div", double, graph.node("Mul", two, sine))
    far = graph.node("Greater", graph.node("Abs", sine), graph.constant(0.5))
    return graph.node("Where", far, beside, inside)


def tangent(graph: Graph, x: str) -> str:
    return graph.node("Div", graph.node("Sin", x), cosine(graph, x))


def sinh(graph: Graph, x: str) -> str:
    """(t + t / (t + 1)) / 2 with t = expm1(|x|); large ones by exp(|x| / 2)², which overflows where
    numpy does.
    """
    size, one = graph.node("Abs", x), graph.constant(1.0)
    t = expm1(graph, size)
    small = graph.node("Add", t, graph.node("Div", t, graph.node("Add", t, one)))
    small = graph.node("Mul", small, graph.constant(0.5))
    return _with_sign_of(graph, x, _unless_large(graph, size, small))


def cosh(graph: Graph, x: str) -> str:
    size, one = graph.node("Abs", x), graph.constant(1.0)
    u = graph.node("Exp", size)
    small = graph.node("Add", u, graph.node("Div", one, u))
    return _unless_large(graph, size, graph.node("Mul", small, graph.constant(0.5)))


def _unless_large(graph: Graph, size: str, small: str) -> str:
    """small, or exp(size) / 2 where exp(-size) has vanished beside it."""
    root = graph.node("Exp", graph.node("Mul", size, graph.constant(0.5)))
    large = graph.node("Mul", graph.node("Mul", root, graph.constant(0.5)), root)
    far = graph.node("Greater", size, graph.constant(40.0))
    return graph.node("Where", far, large, small)


def arcsinh(graph: Graph, x: str) -> str:
    """log1p(a + a² / (1 + √(1 + a²))) with a = |x|; where a² would overflow, log(a) + log(2)."""
    size, one = graph.node("Abs", x), graph.constant(1.0)
    square = graph.node("Mul", size, size)
    root = graph.node("Sqrt", graph.node("Add", one, square))
    share = graph.node("Div", square, graph.node("Add", one, root))
    small = log1p(graph, graph.node("Add", size, share))
    return _with_sign_of(graph, x, _log_of_large(graph, size, small))


def arccosh(graph: Graph, x: str) -> str:
    """log1p(t + √(2t + t²)) with t = x - 1; where t² would overflow, log(x) + log(2)."""
    t = graph.node("Sub", x, graph.constant(1.0))
    under = graph.node("Mul", t, graph.node("Add", t, graph.constant(2.0)))
    return _log_of_large(graph, x, log1p(graph, graph.node("Add", t, graph.node("Sqrt", under))))


def _log_of_large(graph: Graph, x: str, small: str) -> str:
    large = graph.node("Add", graph.node("Log", x), graph.constant(np.log(2.0)))
    far = graph.node("Greater", x, graph.constant(1e9))
    kept = graph.node("Where", far, large, small)
    below = graph.node("Less", x, graph.constant(-1.0))  # a negative product has a root again
    return graph.node("Where", below, graph.constant(np.nan), kept)


def arctanh(graph: Graph, x: str) -> str:
    """log1p(2a / (1 - a)) / 2 with a = |x|."""
    size, one = graph.node("Abs", x), graph.constant(1.0)
    twice = graph.node("Mul", size, graph.constant(2.0))
    ratio = graph.node("Div", twice, graph.node("Sub", one, size))
    half = graph.node("Mul", log1p(graph, ratio), graph.constant(0.5))
    return _with_sign_of(graph, x, half)


def arcsin(graph: Graph, x: str) -> str:
    """arctan(x / √((1 - x)(1 + x)))."""
    one = graph.constant(1.0)
    under = graph.node("Mul", graph.node("Sub", one, x), graph.node("Add", one, x))
    return arctan(graph, graph.node("Div", x, graph.node("Sqrt", under)))


def arccos(graph: Graph, x: str) -> str:
    """2 arctan(√((1 - x) / (1 + x)))."""
    one = graph.constant(1.0)
    ratio = graph.node("Div", graph.node("Sub", one, x), graph.node("Add", one, x))
    angle = arctan(graph, graph.node("Sqrt", graph.node("Abs", ratio)))
    inside = graph.node("LessOrEqual", graph.node("Abs", x), one)
    return graph.node(
        "Where", inside, graph.node("Mul", angle, graph.constant(2.0)), graph.constant(np.nan)
    )


_ATAN_P = (
    -8.750608600031904122785e-1,
    -1.615753718733365076637e1,
    -7.500855792314704667340e1,
    -1.228866684490136173410e2,
    -6.485021904942025371773e1,
)
_ATAN_Q = (
    1.0,
    2.485846490142306297962e1,
    1.650270098316988542046e2,
    4.328810604912902668951e2,
    4.853903996359136964868e2,
    1.945506571482613964425e2,
)


def arctan(graph: Graph, x: str) -> str:
    """Cephes: |x| is brought below 0.66 by arctan's symmetries at 1 and at infinity."""
    size, one = graph.node("Abs", x), graph.constant(1.0)
    far = graph.node("Greater", size, graph.constant(2.41421356237309504880))
    middle = graph.node("Greater", size, graph.constant(0.66))
    beyond = graph.node("Neg", graph.node("Div", one, size))
    between = graph.node("Div", graph.node("Sub", size, one), graph.node("Add", size, one))
    reduced = _choose(graph, far, beyond, middle, between, size)
    start = _choose(
        graph,
        far,
        graph.constant(np.pi / 2),
        middle,
        graph.constant(np.pi / 4),
        graph.constant(0.0),
    )
    z = graph.node("Mul", reduced, reduced)
    ratio = graph.node("Div", polynomial(graph, z, _ATAN_P), polynomial(graph, z, _ATAN_Q))
    bend = graph.node("Mul", reduced, graph.node("Mul", z, ratio))
    angle = graph.node("Add", start, graph.node("Add", bend, reduced))
    return _with_sign_of(graph, x, angle)


def _choose(graph: Graph, first: str, a: str, second: str, b: str, c: str) -> str:
    """a where first, else b where second, else c."""
    return graph.node("Where", first, a, graph.node("Where", second, b, c))


def cbrt(graph: Graph, x: str) -> str:
    """|x|^(1/3) with one step of Newton's, and x's sign."""
    size = graph.node("Abs", x)
    y = graph.node("Pow", size, graph.constant(1.0 / 3.0))
    square = graph.node("Mul", y, y)
    excess = graph.node("Sub", y, graph.node("Div", size, square))
    better = graph.node("Sub", y, graph.node("Div", excess, graph.constant(3.0)))
    odd = graph.node("Or", graph.node("Equal", y, graph.constant(0.0)), graph.node("IsInf", y))
    return _with_sign_of(graph, x, graph.node("Where", odd, y, better))


def sign(graph: Graph, x: str) -> str:
    """-1, 0, 1, and NaN where x is NaN."""
    return graph.node("Where", graph.node("IsNaN", x), x, graph.node("Sign", x))


def _with_sign_of(graph: Graph, x: str, size: str) -> str:
    """size, negative where x is."""
    negative = graph.node("Less", x, graph.constant(0.0))
    return graph.node("Where", negative, graph.node("Neg", size), size)


def polynomial(graph: Graph, x: str, coefficients: Sequence[float]) -> str:
    """Horner's rule, the highest power first."""
    total = graph.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = graph.node("Add", graph.node("Mul", total, x), graph.constant(coefficient))
    return total
