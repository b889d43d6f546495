"""Prints the score of the matrix at the end of a run."""

from __future__ import annotations

import pytest

from tests.export.matrix.case import Case
from tests.export.matrix.score import as_text

Results = dict[str, tuple[int, bool]]
RESULTS = pytest.StashKey[Results]()


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> Results:
    """By case, its kind and whether it passed."""
    return pytestconfig.stash.setdefault(RESULTS, {})


@pytest.fixture
def record(results: Results, request: pytest.FixtureRequest) -> None:
    """Counts the case that a test takes; a test that passes says so in `results`."""
    case: Case = request.getfixturevalue("case")
    results[case.id] = (case.kind, False)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    results = config.stash.get(RESULTS, {})
    if not results:
        return
    terminalreporter.section("matrix: cases and kinds that pass all row sets")
    kinds: dict[int, list[bool]] = {}
    for kind, passed in results.values():
        kinds.setdefault(kind, []).append(passed)
    for line in as_text({kind: (len(all_), sum(all_)) for kind, all_ in kinds.items()}):
        terminalreporter.line(line)
