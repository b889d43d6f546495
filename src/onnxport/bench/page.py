"""A result as one HTML page: no script, nothing from elsewhere, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from onnxport.bench import pictures
from onnxport.bench.histogram import RELATIVE_ERROR
from onnxport.bench.result import PERCENTILES, Result
from onnxport.bench.telling import spell, told

_STYLE = """
:root { color-scheme: light dark; --ink: #1a2233; --soft: #5c677d; --paper: #f6f7f9; --card: #fff; --edge: #e2e6ec;
  --main: #2f6fde; --slow: #d9730d; --bad: #c9302c; --good: #1f7a44; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf3; --soft: #98a3b8; --paper: #12161d; --card: #1b212b;
  --edge: #2d3644; --main: #6ea3ff; --slow: #f2a154; --bad: #ff7b72; --good: #5fcf8a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 24px; margin: 0 0 2px; letter-spacing: -.01em; }
h2 { font-size: 15px; margin: 0 0 2px; }
p { margin: 0 0 8px; } .soft { color: var(--soft); } .small { font-size: 13px; }
.verdict { border-left: 4px solid var(--good); background: var(--card); padding: 10px 14px; margin: 14px 0;
  border-radius: 0 8px 8px 0; overflow-wrap: anywhere; }
.verdict.bad { border-color: var(--bad); } .verdict.careful { border-color: var(--slow); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0; }
.card, figure { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 14px 16px;
  margin: 0; }
.card b { display: block; font-size: 24px; font-variant-numeric: tabular-nums; letter-spacing: -.02em;
  white-space: nowrap; }
.card span { color: var(--soft); font-size: 13px; } .card.bad b { color: var(--bad); }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 12px; }
figcaption { font-size: 13px; color: var(--soft); margin-bottom: 6px; }
@media (max-width: 520px) { .pictures { grid-template-columns: 1fr; } }
figure { display: flex; flex-direction: column; }
svg { display: block; width: 100%; height: auto; font-size: 13px; margin-top: auto; }
text { fill: var(--soft); } text.up { text-anchor: end; } text.across { text-anchor: middle; }
text.mark { fill: var(--ink); font-size: 12px; paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
line.grid { stroke: var(--edge); } line.axis, line.tick { stroke: var(--soft); }
line.mark { stroke: var(--soft); stroke-dasharray: 3 3; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .line.main { stroke: var(--main); }
.line.slow { stroke: var(--slow); } .line.asked { stroke: var(--soft); stroke-dasharray: 5 4; }
.area.main { fill: var(--main); opacity: .13; } .bar.main { fill: var(--main); } .bar.bad { fill: var(--bad); }
.dot { fill: var(--main); } .key { font-weight: 600; }
.key.main { color: var(--main); } .key.slow { color: var(--slow); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--edge); vertical-align: top;
  overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; width: 1%; } section { margin: 12px 0; background: var(--card);
  border: 1px solid var(--edge); border-radius: 10px; padding: 14px 16px; }
tr:last-child th, tr:last-child td { border-bottom: 0; }
"""


def render(result: Result) -> str:
    """The whole page."""
    title = f"Load test of {result.subject.name} {result.subject.version}"
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="soft">{escape(result.target)}, {escape(result.started)}</p>',
            *_verdicts(result),
            f'<div class="cards">{"".join(_cards(result))}</div>',
            f'<div class="pictures">{"".join(_figures(result))}</div>',
            _section("In words", told(result)),
            _section("Where from", _machine(result)),
            _footnotes(),
            "</main></body></html>\n",
        )
    )


def _verdicts(result: Result) -> Iterator[str]:
    record = result.record
    if record.wrong:
        yield _verdict("bad", f"{record.wrong:,} of {record.requests:,} answers were wrong.")
    elif record.total.right:
        yield _verdict("good", f"All {record.total.right:,} answers were checked, and right.")
    else:
        yield _verdict("bad", "No request got a right answer.")
    if result.is_partial:
        yield _verdict("careful", "Partial: the test was stopped before its time.")
    for why in result.suspicions():
        yield _verdict("careful", f"The generator limited these figures: {why}.")


def _verdict(kind: str, text: str) -> str:
    return f'<p class="verdict {kind}">{escape(text)}</p>'


def _cards(result: Result) -> Iterator[str]:
    record = result.record
    latency = record.total.latency
    yield _card(f"{result.per_second:,.0f}", "requests a second")
    if result.load.rows_per_request > 1:
        yield _card(f"{result.per_second * result.load.rows_per_request:,.0f}", "rows a second")
    for share in (50.0, 99.0, 99.9):
        yield _card(spell(latency.percentile(share)), f"latency, p{share:g}")
    failed = sum(record.failures.values()) + record.busy
    yield _card(f"{record.wrong:,}", "wrong answers", is_bad=bool(record.wrong))
    yield _card(f"{failed:,}", "refused or failed", is_bad=bool(failed))


def _card(value: str, name: str, *, is_bad: bool = False) -> str:
    return f'<div class="card{" bad" if is_bad else ""}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _figures(result: Result) -> Iterator[str]:
    latency = result.record.total.latency
    asked = " The broken line is the rate that was asked for." if result.load.is_open else ""
    since = "it fell due" if result.load.is_open else "it was sent"
    yield _figure(
        "Latency by percentile",
        f"So many requests were answered within so long, counted from when {since}.",
        pictures.percentiles(latency),
    )
    yield _figure("Distribution", "How many answers took how long.", pictures.distribution(latency))
    yield _figure(
        "Requests a second",
        f"Right answers over time; red: failed or wrong.{asked}",
        pictures.rate(result),
    )
    keys = '<span class="key main">median</span> and <span class="key slow">99th percentile</span>'
    yield _figure(
        "Latency over time", f"The {keys} of each stretch.", pictures.latency_over_time(result)
    )


def _figure(title: str, caption: str, picture: str) -> str:
    return f"<figure><h2>{title}</h2><figcaption>{caption}</figcaption>{picture}</figure>"


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows
    )
    return f"<section><h2>{escape(title)}</h2><table>{cells}</table></section>"


def _machine(result: Result) -> Iterator[tuple[str, str]]:
    yield (
        "model file",
        f"{result.subject.name} {result.subject.version}, digest {result.subject.digest}",
    )
    yield "asked", f"{result.subject.requests} different requests in turn"
    names = {
        "onnxport": "onnxport ",
        "python": "Python ",
        "system": "",
        "processors": "processors: ",
    }
    yield "generator", ", ".join(f"{name}{result.machine.get(key)}" for key, name in names.items())


def _footnotes() -> str:
    listed = ", ".join(f"p{p:g}" for p in PERCENTILES)
    return (
        f'<p class="small soft">Percentiles ({listed}) are of right answers, each within '
        f"{100 * RELATIVE_ERROR:.1f} % of the time that was measured; requests that timed out or were never sent "
        "count as later than all of them.</p>"
    )
