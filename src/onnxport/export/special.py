"""Special functions that ONNX Runtime lacks in double precision.

Source: Cephes (`ndtr.c`, `ndtri.c`), which SciPy uses, so that both round nearly alike.
"""

from __future__ import annotations

import numpy as np

from onnxport.export.elementary import polynomial
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
    ratio = graph.node("Div", polynomial(graph, square, _T), polynomial(graph, square, _U))
    inside = graph.node("Mul", x, ratio)
    size = graph.node("Min", graph.node("Abs", x), graph.constant(8.0))
    ratio = graph.node("Div", polynomial(graph, size, _P), polynomial(graph, size, _Q))
    decay = graph.node("Exp", graph.node("Neg", graph.node("Mul", size, size)))
    rest = graph.node("Sub", graph.constant(1.0), graph.node("Mul", decay, ratio))
    outside = graph.node("Mul", graph.node("Sign", x), rest)
    return graph.node("Where", graph.node("Greater", size, graph.constant(1.0)), outside, inside)


_NDTRI_P0 = (
    -5.99633501014107895267e1,
    9.80010754185999661536e1,
    -5.66762857469070293439e1,
    1.39312609387279679503e1,
    -1.23916583867381258016e0,
)
_NDTRI_Q0 = (
    1.0,
    1.95448858338141759834e0,
    4.67627912898881538453e0,
    8.63602421390890590575e1,
    -2.25462687854119370527e2,
    2.00260212380060660359e2,
    -8.20372256168333339912e1,
    1.59056225126211695515e1,
    -1.18331621121330003142e0,
)
_NDTRI_P1 = (
    4.05544892305962419923e0,
    3.15251094599893866154e1,
    5.71628192246421288162e1,
    4.40805073893200834700e1,
    1.46849561928858024014e1,
    2.18663306850790267539e0,
    -1.40256079171354495875e-1,
    -3.50424626827848203418e-2,
    -8.57456785154685413611e-4,
)
_NDTRI_Q1 = (
    1.0,
    1.57799883256466749731e1,
    4.53907635128879210584e1,
    4.13172038254672030440e1,
    1.50425385692907503408e1,
    2.50464946208309415979e0,
    -1.42182922854787788574e-1,
    -3.80806407691578277194e-2,
    -9.33259480895457427372e-4,
)


def ndtri(graph: Graph, p: str) -> str:
    """The normal distribution's quantile for p in (1e-13, 1 - 1e-13); it grows without a meaning
    nearer to 0 and 1, and NaN stays NaN. Cephes `ndtri.c`.
    """
    one, edge = graph.constant(1.0), graph.constant(0.13533528323661269189)  # exp(-2)
    flipped = graph.node("Greater", p, graph.node("Sub", one, edge))
    y = graph.node("Where", flipped, graph.node("Sub", one, p), p)
    away = graph.node("Sub", y, graph.constant(0.5))
    square = graph.node("Mul", away, away)
    ratio = graph.node(
        "Div", polynomial(graph, square, _NDTRI_P0), polynomial(graph, square, _NDTRI_Q0)
    )
    bend = graph.node("Mul", away, graph.node("Mul", square, ratio))
    centre = graph.node("Mul", graph.node("Add", away, bend), graph.constant(np.sqrt(2 * np.pi)))
    x = graph.node("Sqrt", graph.node("Mul", graph.constant(-2.0), graph.node("Log", y)))
    start = graph.node("Sub", x, graph.node("Div", graph.node("Log", x), x))
    z = graph.node("Div", one, x)
    ratio = graph.node("Div", polynomial(graph, z, _NDTRI_P1), polynomial(graph, z, _NDTRI_Q1))
    tail = graph.node("Sub", start, graph.node("Mul", z, ratio))
    tail = graph.node("Where", flipped, tail, graph.node("Neg", tail))
    return graph.node("Where", graph.node("Greater", y, edge), centre, tail)
