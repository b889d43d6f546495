"""The scenarios: which workload, over how many connections, for which servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.peers import PEERS
from benchmarks.serving.workloads import MANY, Workload, many_rows, workload


@dataclass(frozen=True)
class Scenario:
    """`model` names a subject; rows: in each request. servers: by name, in the order of a round."""

    name: str
    model: str
    connections: int
    servers: tuple[str, ...]
    rows: int = 1

    @property
    def told(self) -> str:
        """What is asked, in a few words."""
        rows = "one row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{self.model}, {rows} a request, {self.connections} connections"

    def workload(self, folder: Path) -> Workload:
        if self.rows == 1:
            return workload(self.model, folder)
        return many_rows(self.model, folder, self.rows)


_THREE = ("nginx", "onnxport", "tutorial")
_ALL = (
    "nginx",
    "nginx-plain-wrk",
    "onnxport",
    "onnxport-access-log",
    "uvicorn",
    "granian",
    "tutorial",
)
_PEERS = ("nginx", "onnxport", *(peer.name for peer in PEERS))

SCENARIOS = (
    Scenario("iris-64", "iris", 64, _ALL),
    Scenario("iris-8", "iris", 8, _THREE),
    Scenario("iris-1", "iris", 1, _THREE),
    Scenario("iris-1000", "iris", 1000, _THREE),
    Scenario("cancer-64", "cancer", 64, _THREE),
    Scenario("mixed-64", "mixed", 64, _THREE),
    Scenario("rows-10000", "iris", 2, ("onnxport", "tutorial"), rows=MANY),
    Scenario("peers-64", "iris", 64, _PEERS),
    # Large requests cost wrk next to nothing: it leaves the cores to the workers.
    Scenario("workers", "iris", 16, ("onnxport", "onnxport-2-workers"), rows=1000),
)
