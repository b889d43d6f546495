"""Keeps the score of the matrix while it runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.export.matrix.score import KIND

Results = dict[str, tuple[int, bool]]


@pytest.fixture(scope="session")
def results() -> Results:
    """By case, its kind and whether it passed."""
    return {}


@pytest.fixture
def record(
    results: Results,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """Counts the case that a test takes; a test that passes says so in `results`."""
    [case] = request.node.callspec.params.values()
    results[case.id] = (case.kind, False)
    record_property(KIND, case.kind)
