"""The suite in several processes: what runs beside what, where a module runs, and what is told at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.scheduling import ALONE, LONG

CONFTEST = """
from tests.conftest import pytest_collection_modifyitems, pytest_xdist_make_scheduler
"""
MODULE = """
import os, pathlib, time
import pytest

@pytest.mark.parametrize("nth", range({tests}))
def test_it(request, nth):
    began = time.monotonic()
    time.sleep({seconds})
    line = f"{{request.node.nodeid}} {{os.getpid()}} {{began}} {{time.monotonic()}}"
    (pathlib.Path("ran") / f"{{time.monotonic_ns()}}-{{os.getpid()}}").write_text(line)
"""
MODULES = {
    "tests/core/test_first.py": (5, 0.05),
    "tests/core/test_second.py": (3, 0.05),
    "tests/export/test_third.py": (1, 0.05),
    "tests/export/test_fourth.py": (7, 0.05),
    "tests/server/test_life.py": (3, 0.2),
    "tests/server/test_protocol.py": (2, 0.2),
}


@dataclass(frozen=True)
class Ran:
    """A test that ran: its module, in which process, from when to when."""

    module: str
    process: str
    began: float
    ended: float

    def beside(self, other: Ran) -> bool:
        return self.began < other.ended and other.began < self.ended


def run(folder: Path, *options: str) -> tuple[str, list[Ran]]:
    """What pytest says of the modules at its end, and all that ran."""
    (folder / "ran").mkdir(parents=True)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(
        f"[pytest]\nmarkers =\n    alone: by itself\npythonpath = {ROOT}\n"
        "addopts = --import-mode=importlib --strict-markers\n"
    )
    for name, (tests, seconds) in MODULES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(MODULE.format(tests=tests, seconds=seconds))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others are slow to start
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    words = [path.read_text().split() for path in sorted((folder / "ran").iterdir())]
    ran = [Ran(test.partition("::")[0], pid, float(a), float(b)) for test, pid, a, b in words]
    return done.stdout, ran


def alone(ran: list[Ran]) -> list[Ran]:
    return [each for each in ran if each.module.startswith("tests/server/")]


def test_the_modules_that_it_names_exist() -> None:
    assert [name for name in (*ALONE, *LONG) if not (ROOT / name).is_file()] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Ran]]:
    return run(tmp_path_factory.mktemp("suite"), "-p", "xdist", "-n", "2")


def test_what_measures_time_has_no_company(whole: tuple[str, list[Ran]]) -> None:
    said, ran = whole
    assert said.splitlines()[-1].startswith("21 passed in "), said
    lonely = [each for each in ran if each.module.startswith("tests/server/")]
    others = [each for each in ran if each not in lonely]
    assert len(lonely) == 5
    assert not [
        each for each in lonely for other in ran if other is not each and other.beside(each)
    ]
    assert any(one.beside(other) for one, other in combinations(others, 2)), "no two at once"


def test_a_module_stays_in_one_process(whole: tuple[str, list[Ran]]) -> None:
    _, ran = whole
    for module in MODULES:
        assert len({each.process for each in ran if each.module == module}) == 1
    assert len({each.process for each in ran}) == 2


@pytest.mark.parametrize(
    ("options", "tests"),
    [
        (["-p", "xdist", "-n", "2", "-m", "alone"], 5),
        (["-p", "xdist", "-n", "2", "-k", "life or third"], 4),
        (["-p", "xdist", "-n", "3", "tests/export/test_third.py"], 1),
        (["-p", "no:xdist"], 21),
    ],
    ids=["alone", "some", "one", "one process"],
)
def test_parts_of_it(options: list[str], tests: int, tmp_path: Path) -> None:
    said, ran = run(tmp_path / "suite", *options)
    assert said.splitlines()[-1].startswith(f"{tests} passed"), said
    assert len(ran) == tests
