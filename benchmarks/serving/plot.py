"""A picture of a run: each server's share of nginx's rate, as bars. SVG, written by hand: no library to install."""

from __future__ import annotations

from html import escape
from statistics import median

from benchmarks.serving.records import Results

WIDTH, LABEL, BAR, GAP, HEAD = 760, 210, 18, 6, 44
OURS, LIMIT, OTHERS = "#1f6feb", "#8b949e", "#d29922"
TITLE = "Requests a second, as a share of nginx's with a constant answer"
BOUND = "nginx"


def plot(results: Results) -> str:
    """One group of bars a scenario that nginx takes part in; the whiskers are the worst and the best round."""
    parts, y = [f'<text x="10" y="24">{TITLE}</text>'], 36
    for scenario in results.scenarios():
        servers = results.servers(scenario)
        if BOUND not in servers:
            continue
        parts.append(f'<text x="10" y="{y + 24}" class="head">{escape(scenario)}</text>')
        y += HEAD
        for server in servers:
            parts.append(_bar(server, results.ratios(scenario, server, BOUND), y))
            y += BAR + GAP
        y += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" width="{WIDTH}" height="{y + 10}">\n'
        "<style>text{font:13px sans-serif;fill:#24292f}.head{font-weight:bold}</style>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(server: str, shares: list[float], y: int) -> str:
    share, low, high = median(shares), min(shares), max(shares)
    colour = OURS if server.startswith("onnxport") else LIMIT if server == BOUND else OTHERS
    middle = y + BAR / 2
    return (
        f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(server)}</text>'
        f'<rect x="{LABEL}" y="{y}" width="{_length(share):.1f}" height="{BAR}" fill="{colour}"/>'
        f'<path d="M{LABEL + _length(low):.1f} {middle}H{LABEL + _length(high):.1f}" stroke="#24292f"/>'
        f'<text x="{LABEL + _length(max(share, high)) + 6:.1f}" y="{y + 14}">{share:.3f}</text>'
    )


def _length(share: float) -> float:
    """Pixels; nginx itself fills what the labels leave."""
    return share * (WIDTH - LABEL - 130)
