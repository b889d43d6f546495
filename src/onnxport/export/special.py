"""Special functions that ONNX Runtime lacks in double precision.

Source: Cephes (`ndtr.c`), which SciPy uses, so that both round nearly alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxport.export.graph import Graph

# erf(x) = x T(x²) / U(x²) up to 1; beyond, 1 - exp(-x²) P(x) / Q(x), which is 1 from 8 on.
_T = (
    9.60497373987051638749e0,
    9.00260197203842689217e1,
    2.23200534594684319226e3,
    7.00332514112805075473e3,
    5.55923013010394962768e4,
)
_U = (
    1.0,
    3.35617141647503099647e1,
    5.21357949780152679795e2,
    4.59432382970980127987e3,
    2.26290000613890934246e4,
    4.92673942608635921086e4,
)
_P = (
    2.46196981473530512524e-10,
    5.64189564831068821977e-1,
    7.46321056442269912687e0,
    4.86371970985681366614e1,
    1.96520832956077098242e2,
    5.26445194995477358631e2,
    9.34528527171957607540e2,
    1.02755188689515710272e3,
    5.57535335369399327526e2,
)
_Q = (
    1.0,
    1.32281951154744992508e1,
    8.67072140885989742329e1,
    3.54937778887819891062e2,
    9.75708501743205489753e2,
    1.82390916687909736289e3,
    2.24633760818710981792e3,
    1.65666309194161350182e3,
    5.57535340817727675546e2,
)


def erf(graph: Graph, x: str) -> str:
    """The error function, elementwise."""
    square = graph.node("Mul", x, x)
    ratio = graph.node("Div", _polynomial(graph, square, _T), _polynomial(graph, square, _U))
    inside = graph.node("Mul", x, ratio)
    size = graph.node("Min", graph.node("Abs", x), graph.constant(8.0))
    ratio = graph.node("Div", _polynomial(graph, size, _P), _polynomial(graph, size, _Q))
    decay = graph.node("Exp", graph.node("Neg", graph.node("Mul", size, size)))
    rest = graph.node("Sub", graph.constant(1.0), graph.node("Mul", decay, ratio))
    outside = graph.node("Mul", graph.node("Sign", x), rest)
    return graph.node("Where", graph.node("Greater", size, graph.constant(1.0)), outside, inside)


def _polynomial(graph: Graph, x: str, coefficients: Sequence[float]) -> str:
    """By Horner's rule, the highest power first."""
    total = graph.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = graph.node("Add", graph.node("Mul", total, x), graph.constant(coefficient))
    return total
