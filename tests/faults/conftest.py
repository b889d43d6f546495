"""Servers for the fault tests, and the table of what was sent and seen, which a long run prints at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.sizes import SEED
from tests.server import models
from tests.serving import ServerProcess

Start = Callable[..., ServerProcess]
Note = Callable[..., None]


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[models.Made], Path]:
    """`model_file(models.iris())` writes a model file made by hand and gives its path."""
    folder = tmp_path_factory.mktemp("models")
    return lambda made: models.write_to(folder, made)


@pytest.fixture(scope="module")
def start(model_file: Callable[[models.Made], Path]) -> Iterator[Start]:
    """`start(models.iris(), *options)` serves a model, or a file, until the module's end: with exit code 0, and without
    a failure in its log.
    """
    started: list[ServerProcess] = []
    with ExitStack() as servers:

        def start(model: models.Made | Path, *options: str | Path) -> ServerProcess:
            path = model if isinstance(model, Path) else model_file(model)
            server = ServerProcess("serve", path, "--port", "0", *options)
            started.append(servers.enter_context(server))
            assert server.url
            return server

        yield start
    for server in started:
        assert "Traceback" not in server.log, server.log


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """`note(requests=100_000, p99="3.1 ms")`: figures of this test for the table."""

    def note(**figures: object) -> None:
        for name, value in figures.items():
            told = f"{value:,}" if isinstance(value, int) else str(value)
            record_property(f"faults {name}", told)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each test that has noted something."""
    passed: list[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    lines = [line for report in passed if (line := _line(report))]
    if lines:
        terminalreporter.section(f"faults: what was sent and seen (FAULTS_SEED={SEED})")
        for line in lines:
            terminalreporter.line(line)


def _line(report: pytest.TestReport) -> str:
    figures = [(name[7:], value) for name, value in report.user_properties if name[:7] == "faults "]
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures)
    name = report.nodeid.partition("tests/faults/")[2]
    return f"{name}: {told}, {report.duration:.0f} s" if told else ""
