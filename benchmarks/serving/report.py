"""A run for the reader: lines while it goes, tables at its end, and the JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks.serving.goals import GOALS, Goal
from benchmarks.serving.records import Measurement, Results

NGINX = "nginx"
BUSY = 0.1  # share of the cores that other programs had
FULL = 0.95  # share of its core that wrk had


def line(measurement: Measurement, results: Results) -> str:
    """A round of a server, beside nginx's in the same round."""
    m = measurement
    shares = results.ratios(m.scenario, m.server, NGINX)
    return (
        f"  round {m.round}  {m.server:20} {m.load.rate:9,.0f}/s  {_share(shares[-1:])}  {m.cpu:8.1f} µs cpu  "
        f"p50 {m.load.p50 / 1000:7.2f}  p99 {m.load.p99 / 1000:7.2f} ms  {m.resident / 1e6:4.0f} MB  "
        f"wrk {m.load.own:4.0%}  others {m.others:4.0%}"
    )


def summary(scenario: str, results: Results) -> list[str]:
    """The medians of a scenario's servers."""
    return [
        f"  median   {server:20} {_rate(results, scenario, server):9,.0f}/s  "
        f"{_share(results.ratios(scenario, server, NGINX))}  "
        f"{median(m.cpu for m in results.of(scenario, server)):8.1f} µs cpu"
        for server in results.servers(scenario)
    ]


def _share(ratios: list[float]) -> str:
    return f"{median(ratios):6.3f} of nginx" if ratios else " " * 15


def _rate(results: Results, scenario: str, server: str) -> float:
    return median(m.load.rate for m in results.of(scenario, server))


def goal_table(results: Results) -> str:
    """Every goal: what is wanted, what was measured, the ratio of both, and whether it is met. Markdown."""
    lines = ["| goal | wanted | measured | measured / wanted | met |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_goal_row(goal, goal.figure(results)) for goal in GOALS)])


def wanted(goal: Goal) -> str:
    """A goal's bound, as "≥ 0.8" or "≤ 60 µs"."""
    return f"{'≤' if goal.at_most else '≥'} {_number(goal.bound)} {goal.unit}".rstrip()


def _goal_row(goal: Goal, measured: float | None) -> str:
    if measured is None:
        return f"| {goal.name} | {wanted(goal)} | not measured | | |"
    told, met = (
        f"{_number(measured)} {goal.unit}".rstrip(),
        "yes" if goal.met_by(measured) else "no",
    )
    return f"| {goal.name} | {wanted(goal)} | {told} | {measured / goal.bound:.2f} | {met} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def server_table(results: Results) -> str:
    """Every server of every scenario, medians. Markdown."""
    lines = [
        "| scenario | server | requests/s | share of nginx | CPU µs/request | p50 / p99 ms | MB | wrk | others |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for scenario in results.scenarios():
        lines += [_server_row(results, scenario, server) for server in results.servers(scenario)]
    return "\n".join(lines)


def _server_row(results: Results, scenario: str, server: str) -> str:
    rounds = results.of(scenario, server)
    shares = results.ratios(scenario, server, NGINX)
    return (
        f"| {scenario} | {server} | {_rate(results, scenario, server):,.0f} | "
        f"{f'{median(shares):.3f}' if shares else ''} | {median(m.cpu for m in rounds):.1f} | "
        f"{median(m.load.p50 for m in rounds) / 1000:.2f} / {median(m.load.p99 for m in rounds) / 1000:.2f} | "
        f"{median(m.resident for m in rounds) / 1e6:.0f} | {median(m.load.own for m in rounds):.0%} | "
        f"{median(m.others for m in rounds):.0%} |"
    )


def start_table(results: Results) -> str:
    """Cold starts and imports, medians in milliseconds. Markdown."""
    lines = ["| start | first page | first prediction |", "|---|---|---|"]
    for server in dict.fromkeys(start.server for start in results.starts):
        mine = [start for start in results.starts if start.server == server]
        ready, predicted = median(s.ready for s in mine), median(s.predicted for s in mine)
        lines.append(f"| {server} | {ready * 1000:.0f} ms | {predicted * 1000:.0f} ms |")
    imports = ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in results.imports.items())
    return "\n".join([*lines, "", f"Imports, ms: {imports}."])


def page(results: Results) -> str:
    """The whole report. Markdown."""
    machine = "\n".join(f"- {name}: {_told(fact)}" for name, fact in results.machine.items())
    parts = [goal_table(results), server_table(results)]
    parts += [start_table(results)] if results.starts else []
    parts += ["\n".join(f"- {note}" for note in results.notes)] if results.notes else []
    return "\n\n".join([*parts, machine]) + "\n"


def _told(fact: object) -> str:
    if isinstance(fact, dict):
        return ", ".join(f"{name} {version}" for name, version in fact.items())
    return str(fact)


def doubts(results: Results) -> list[str]:
    """Why some figures can't be trusted: other programs were at work, or wrk itself was the limit."""
    found = []
    for scenario in results.scenarios():
        rounds = [m for m in results.measurements if m.scenario == scenario]
        others = median(m.others for m in rounds)
        if others > BUSY:
            found.append(
                f"{scenario}: other programs had {others:.0%} of the cores; trust CPU µs alone"
            )
        full = {m.server for m in rounds if m.load.own > FULL}
        if full:
            found.append(f"{scenario}: wrk was the limit of {', '.join(sorted(full))}")
    return found


def write_json(results: Results, path: Path) -> None:
    """All figures, and the goals beside what was measured."""
    goals = [
        {"goal": goal.name, "wanted": goal.bound, "at_most": goal.at_most, "unit": goal.unit}
        | {"measured": goal.figure(results)}
        for goal in GOALS
    ]
    told = {**asdict(results), "goals": goals}
    for fields, measurement in zip(told["measurements"], results.measurements, strict=True):
        fields["rate"] = measurement.load.rate
    path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
