"""Small charts as SVG text: axes, lines, bars. Colours are the page's, by class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 28, 14, 40


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to one direction of the picture. ticks: values with their labels."""

    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


def linear(low: float, high: float, *, across: bool, unit: str = "") -> Scale:
    """Equal steps, marked at round numbers. across: from left to right, else from the bottom up."""
    high = high if high > low else low + 1
    start, end = _ends(across=across)
    values = [*_round_numbers(low, high)]
    ticks = [(value, f"{value:,.10g}{unit}") for value in values]
    return Scale(lambda v: start + (v - low) / (high - low) * (end - start), ticks)


def logarithmic(low: float, high: float, *, across: bool, unit: str = "") -> Scale:
    """Equal factors; for positive values."""
    first, last = math.log10(low), math.log10(high)
    if last - first < 0.3:  # less than a factor of 2: some room around
        first, last = first - 0.15, last + 0.15
    start, end = _ends(across=across)
    steps = (1,) if last - first > 3 else (1, 2, 5)
    values = [s * 10.0**e for e in range(math.floor(first), math.ceil(last) + 1) for s in steps]
    ticks = [(v, f"{v:,.10g}{unit}") for v in values if first <= math.log10(v) <= last]
    return Scale(lambda v: start + (math.log10(v) - first) / (last - first) * (end - start), ticks)


def _ends(*, across: bool) -> tuple[float, float]:
    return (LEFT, WIDTH - RIGHT) if across else (HEIGHT - BOTTOM, TOP)


def _round_numbers(low: float, high: float) -> Iterator[float]:
    """About five of them."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in (1, 2, 5, 10) if power * s >= rough)
    first = math.ceil(low / step - 1e-9)
    for i in range(first, math.floor(high / step + 1e-9) + 1):
        yield i * step


def chart(name: str, across: Scale, up: Scale, inside: Sequence[str], *, below: str) -> str:
    """A picture with axes. name: for those who can't see it. below: what goes from left to right."""
    base = HEIGHT - BOTTOM
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">']
    for value, label in up.ticks:
        y = up.place(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text class="up" x="{LEFT - 8}" y="{y + 4:.1f}">{escape(label)}</text>')
    for value, label in across.ticks:
        x = across.place(value)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text class="across" x="{x:.1f}" y="{base + 18}">{escape(label)}</text>')
    parts.append(
        f'<text class="across name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}">{escape(below)}</text>'
    )
    parts += inside
    parts.append(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/></svg>'
    )
    return "".join(parts)


def line(points: Sequence[Point], across: Scale, up: Scale, kind: str) -> str:
    """A line through the points; kind: its class."""
    return f'<polyline class="line {kind}" points="{_path(points, across, up)}"/>'


def area(points: Sequence[Point], across: Scale, up: Scale, kind: str) -> str:
    """The room below a line."""
    if not points:
        return ""
    base = HEIGHT - BOTTOM
    first, last = across.place(points[0][0]), across.place(points[-1][0])
    path = f"{first:.1f},{base} {_path(points, across, up)} {last:.1f},{base}"
    return f'<polygon class="area {kind}" points="{path}"/>'


def bar(
    left: float, right: float, height: float, across: Scale, up: Scale, kind: str, told: str
) -> str:
    """From the base up; told: what a pointer that rests on it is shown."""
    x, end, y = across.place(left), across.place(right), up.place(height)
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(end - x - 1, 1):.1f}" height="{max(HEIGHT - BOTTOM - y, 0):.1f}"'
    return f'<rect class="bar {kind}" {size}><title>{escape(told)}</title></rect>'


def mark(value: float, across: Scale, label: str, *, row: int = 0) -> str:
    """A line from top to bottom with a label at its head; row: moves the label down, off another's."""
    x = across.place(value)
    side, shift = ("end", -4) if x > (WIDTH * 2) / 3 else ("start", 4)
    at = f'text-anchor="{side}" x="{x + shift:.1f}" y="{TOP + 10 + 14 * row}"'
    text = f'<text class="mark" {at}>{escape(label)}</text>'
    return f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>{text}'


def dot(x: float, y: float, across: Scale, up: Scale, told: str) -> str:
    """A point with its value, which stands below it to the right: off a line that climbs."""
    left, top = across.place(x), up.place(y)
    side, shift = ("end", 0) if left > WIDTH - 140 else ("start", 6)
    text = f'<text class="mark" text-anchor="{side}" x="{left + shift:.1f}" y="{top + 18:.1f}">{escape(told)}</text>'
    return f'<circle class="dot" cx="{left:.1f}" cy="{top:.1f}" r="3.5"/>{text}'


def _path(points: Sequence[Point], across: Scale, up: Scale) -> str:
    return " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in points)
