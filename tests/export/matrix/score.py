"""The score of the matrix: kinds whose cases all pass, ours and the public converters'."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.export.matrix.case import HARDEST, KINDS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "matrix.md"
KIND = "kind of model"  # the property of a test's report that makes it one of the matrix
_ROW = re.compile(r"\| (\d+)[^|]*\|[^|]*\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|")


@dataclass(frozen=True)
class Row:
    """One kind: how many cases it has, and how many pass. mildly: with numbers within 1e-5."""

    kind: int
    cases: int
    ours: int
    public: int
    mildly: int
    told: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        star = " ★" if self.kind in HARDEST else ""
        counts = (self.cases, self.ours, self.public, self.mildly)
        return (f"{self.kind}{star}", KINDS[self.kind], *map(str, counts), self.told)


def passing(rows: Iterable[Row]) -> tuple[int, int, int]:
    """How many kinds pass: ours, the public converters', and theirs with numbers within 1e-5."""
    listed = list(rows)
    return (
        sum(row.ours == row.cases for row in listed),
        sum(row.public == row.cases for row in listed),
        sum(row.mildly == row.cases for row in listed),
    )


def read_page() -> dict[int, Row]:
    """The rows of the committed page, by kind."""
    if not PAGE.exists():
        return {}
    found = _ROW.findall(PAGE.read_text("utf-8"))
    counts = [[int(each) for each in row] for row in found]
    return {row[0]: Row(row[0], row[1], row[2], row[3], row[4]) for row in counts}


def count(
    reports: Iterable[pytest.TestReport | pytest.CollectReport],
) -> dict[int, tuple[int, int]]:
    """By kind, how many cases ran and how many passed, by their tests' reports from whatever process."""
    kinds: dict[str, int] = {}
    failed: set[str] = set()
    for report in reports:
        for name, kind in getattr(report, "user_properties", ()):
            if name == KIND:
                kinds[report.nodeid] = int(str(kind))
                failed |= set() if report.passed else {report.nodeid}
    ran = Counter(kinds.values())
    lost = Counter(kinds[test] for test in failed)
    return {kind: (cases, cases - lost[kind]) for kind, cases in ran.items()}


def as_text(ours: Mapping[int, tuple[int, int]]) -> list[str]:
    """The table for a terminal. ours: by kind, how many cases ran and how many passed."""
    page = read_page()
    rows = [
        Row(
            kind,
            ran,
            passed,
            page[kind].public if kind in page else 0,
            page[kind].mildly if kind in page else 0,
        )
        for kind, (ran, passed) in sorted(ours.items())
    ]
    lines = [f"{'':4} {'kind':<58}{'cases':>6}{'onnxport':>10}{'public':>10}{'within 1e-5':>13}"]
    for row in rows:
        star = "★" if row.kind in HARDEST else " "
        counts = f"{row.cases:>6}{row.ours:>10}{row.public:>10}{row.mildly:>13}"
        lines.append(f"{row.kind:>3}{star} {KINDS[row.kind]:<58}{counts}")
    scores = "".join(
        f"{score:>{width}}" for score, width in zip(passing(rows), (10, 10, 13), strict=True)
    )
    lines.append(f"{'':4} {f'kinds that pass, of {len(rows)}':<64}{scores}")
    return lines
