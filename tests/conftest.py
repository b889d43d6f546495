"""What every test may ask for: the repository's root, a running server, and programs that pip can't install; and how
the run is spread over the cores and told of at its end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import programs, scheduling
from tests.export.matrix.score import as_text, count
from tests.serving import ServerProcess

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for the tests that open files with onnxruntime itself
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: its libraries take one core
    os.environ["OMP_NUM_THREADS"] = "1"

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(model_file, *options)` starts `onnxport serve` on a free port and gives its URL.

    When the test has passed, SIGTERM must end every server with exit code 0.
    """
    with ExitStack() as servers:

        def start(model_file: str | Path, *options: str | Path) -> str:
            server = ServerProcess("serve", model_file, "--port", "0", *options)
            return servers.enter_context(server).url

        yield start


@pytest.fixture(scope="session")
def needs_chromium() -> str:
    """The path of a real browser."""
    return programs.program("chromium")


@pytest.fixture(scope="session")
def needs_curl() -> str:
    """The path of curl."""
    return programs.program("curl")


@pytest.fixture(scope="session")
def needs_node() -> str:
    """The path of node, which runs the documentation's JavaScript."""
    return programs.program("node", package="nodejs")


@pytest.fixture(scope="session")
def needs_nginx() -> str:
    """The path of nginx, the limit in the benchmarks."""
    return programs.program("nginx")


@pytest.fixture(scope="session")
def needs_wrk() -> str:
    """The path of wrk, the benchmarks' load generator."""
    return programs.program("wrk")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that run alone, and puts all tests in the order in which they start."""
    for item in items:
        if scheduling.is_alone(item.nodeid):
            item.add_marker(pytest.mark.alone)
    items.sort(key=lambda item: scheduling.rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> scheduling.Scheduler | None:
    """Spreads the tests by our own rule, where pytest's `--dist` asks for no other."""
    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return scheduling.Scheduler(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the score of the matrix, and names what was not run for want of a program."""
    stats = terminalreporter.stats
    kinds = count(r for outcome in ("passed", "failed", "error") for r in stats.get(outcome, []))
    if kinds:
        terminalreporter.section("matrix: cases and kinds that pass all row sets")
        for line in as_text(kinds):
            terminalreporter.line(line)
    _name_missing_programs(terminalreporter)


def _name_missing_programs(terminalreporter: pytest.TerminalReporter) -> None:
    """Each program's package, how many tests need it, and the command that brings them; and what needs root."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    missing = sorted(re.findall(programs.NEEDS + r"([\w.+-]+)", " ".join(reasons)))
    for_root = sum(programs.NEEDS_ROOT in reason for reason in reasons)
    if missing or for_root:
        terminalreporter.section("not run")
    if for_root:
        terminalreporter.line(f"{for_root} tests that need root, as engines of containers do")
    for package in dict.fromkeys(missing):
        terminalreporter.line(f"{missing.count(package)} tests that need {package}")
    if missing:
        terminalreporter.line(f"sudo apt-get install {' '.join(dict.fromkeys(missing))}")
