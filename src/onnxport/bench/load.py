"""What a load test does: how many ask, how fast, for how long. One frozen value, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxport.errors import SettingsError

Arrivals = Literal["poisson", "constant"]
ARRIVALS: tuple[Arrivals, ...] = ("poisson", "constant")

CLOSED_CONNECTIONS, OPEN_CONNECTIONS = 16, 1000
MAX_CONNECTIONS, MAX_PROCESSES, MAX_ROWS = 20_000, 64, 100_000
MAX_RATE = 1_000_000.0
MAX_SECONDS = 86_400.0
SLOTS, SHORTEST_SLOT = 240, 0.25


@dataclass(frozen=True, slots=True)
class Load:
    """Times in seconds, rates in requests a second. Raises SettingsError for what can't be done.

    rate: None is the closed loop, in which each connection asks again as soon as it has its answer. A rate is the open
    loop: requests fall due by the clock, whatever the server does, and wait where all connections are taken.
    arrivals: of the open loop; "poisson" as from callers who don't know of each other, "constant" at equal distances.
    connections: kept busy in the closed loop; in the open one, the most that are opened.
    """

    rate: float | None = None
    arrivals: Arrivals = "poisson"
    connections: int = 0
    duration: float = 10.0
    warm_up: float = 2.0
    timeout: float = 30.0
    rows_per_request: int = 1
    processes: int = 1

    def __post_init__(self) -> None:
        if not self.connections:
            most = CLOSED_CONNECTIONS if self.rate is None else OPEN_CONNECTIONS
            object.__setattr__(self, "connections", most)
        _within("--duration", self.duration, MAX_SECONDS, "seconds")
        _within("--timeout", self.timeout, MAX_SECONDS, "seconds")
        _within("--connections", self.connections, MAX_CONNECTIONS, "connections")
        _within("--rows-per-request", self.rows_per_request, MAX_ROWS, "rows")
        _within("--processes", self.processes, MAX_PROCESSES, "processes")
        if self.rate is not None:
            _within("--rate", self.rate, MAX_RATE, "requests a second")
        if not 0 <= self.warm_up <= MAX_SECONDS:
            raise SettingsError(
                f"--warm-up is {self.warm_up:g}, and must be 0 to {MAX_SECONDS:,.0f} seconds"
            )
        if self.processes > self.connections:
            raise SettingsError(
                f"--processes is {self.processes}, more than the {self.connections} connections; "
                "give each process one connection at least"
            )
        if self.rate is not None and self.rate * self.duration < 1:
            raise SettingsError(
                f"--rate {self.rate:g} for {self.duration:g} s isn't one request; test for longer"
            )

    @property
    def is_open(self) -> bool:
        return self.rate is not None

    @property
    def slot(self) -> float:
        """Seconds of the stretches that are counted apart: at most 240 in a test, lest memory and pictures grow."""
        return max(SHORTEST_SLOT, self.duration / SLOTS)

    def connections_of(self, process: int) -> int:
        """How many of the connections are those of one process, counted from 0."""
        every, rest = divmod(self.connections, self.processes)
        return every + (process < rest)


def _within(option: str, value: float, most: float, unit: str) -> None:
    """Raises SettingsError for what isn't positive, is too much, or is no number."""
    if not 0 < value <= most:
        raise SettingsError(
            f"{option} is {value:g}, and must be more than 0 and at most {most:,.0f} {unit}"
        )
