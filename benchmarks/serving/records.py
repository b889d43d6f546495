"""What a run has found, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.serving.load import Load


@dataclass(frozen=True)
class Measurement:
    """One server in one round of a scenario.

    cpu: microseconds a request of the server's processes. resident: bytes of memory of these, after the round.
    others: the share of the bench's cores that neither the server nor wrk had; where it is large, trust `cpu` alone.
    """

    scenario: str
    server: str
    round: int
    load: Load
    cpu: float
    resident: int
    others: float
    rows: int = 1


@dataclass(frozen=True)
class Start:
    """One start of a server: seconds from the spawn to the first 200 of its cheapest page, and of /predict."""

    server: str
    round: int
    ready: float
    predicted: float


@dataclass
class Results:
    """All findings of a run. imports: seconds by module. notes: what was left out or looks odd, for the reader."""

    measurements: list[Measurement] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    imports: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        """Keeps and prints a note, once; of a long one, which ends with a log, the first line and the last."""
        lines = sentence.splitlines()
        told = " ".join([*lines[:1], *lines[1:][-1:]])
        if told and told not in self.notes:
            self.notes.append(told)
            print(f"note: {told}", flush=True)

    def of(self, scenario: str, server: str) -> list[Measurement]:
        """A server's rounds, in order."""
        return [m for m in self.measurements if (m.scenario, m.server) == (scenario, server)]

    def scenarios(self) -> list[str]:
        return list(dict.fromkeys(m.scenario for m in self.measurements))

    def servers(self, scenario: str) -> list[str]:
        return list(dict.fromkeys(m.server for m in self.measurements if m.scenario == scenario))

    def middle(
        self, scenario: str, server: str, figure: Callable[[Measurement], float]
    ) -> float | None:
        """The median of a figure over the rounds; None where there was none."""
        return _median([figure(m) for m in self.of(scenario, server)])

    def ratios(self, scenario: str, one: str, other: str) -> list[float]:
        """Round by round, one server's requests a second over the other's."""
        theirs = {m.round: m.load.rate for m in self.of(scenario, other)}
        return [m.load.rate / theirs[m.round] for m in self.of(scenario, one) if m.round in theirs]

    def ratio(self, scenario: str, one: str, other: str) -> float | None:
        """The median of `ratios`."""
        return _median(self.ratios(scenario, one, other))

    def start_ratio(self, one: str, other: str) -> float | None:
        """The median over the rounds of one's seconds to ready over the other's, or to /predict if that is worse."""
        theirs = {start.round: start for start in self.starts if start.server == other}
        pairs = [(s, theirs[s.round]) for s in self.starts if s.server == one and s.round in theirs]
        ready = _median([mine.ready / its.ready for mine, its in pairs])
        predicted = _median([mine.predicted / its.predicted for mine, its in pairs])
        return None if ready is None or predicted is None else max(ready, predicted)


def _median(values: list[float]) -> float | None:
    return median(values) if values else None
