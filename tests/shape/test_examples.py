"""Every folder of examples/ does what its README.md says, copied to an empty place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pages import Reader, languages

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))


@pytest.mark.usefixtures("needs_curl")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_runs(example: Path, reader: Reader, tmp_path: Path) -> None:
    programs = sorted(path.name for path in example.glob("*.py"))
    for name in programs:
        shutil.copy(example / name, tmp_path)
    page = example / "README.md"
    assert programs
    assert all(name in page.read_text("utf-8") for name in programs)
    assert "bash" in languages(page.read_text("utf-8"))
    reader.read(page)


def test_there_are_examples() -> None:
    assert "iris" in {example.name for example in EXAMPLES}
