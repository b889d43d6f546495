"""README.md and the pages of docs/ run as tests.pages describes; those without blocks to run only explain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pages import Reader, blocks, languages

RUNNABLE = frozenset({"bash", "javascript", "python"})
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    if languages(page.read_text("utf-8")) & RUNNABLE
)


@pytest.mark.usefixtures("needs_curl")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_page_runs(page: Path, reader: Reader, request: pytest.FixtureRequest) -> None:
    if "javascript" in languages(page.read_text("utf-8")):
        request.getfixturevalue("needs_node")
    reader.read(page)


def test_the_readme_and_the_main_pages_run() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "1-quickstart.md", "6-http-api.md", "coming-from-the-tutorial.md"} <= names
    assert {"python", "bash"} <= languages((ROOT / "README.md").read_text("utf-8"))


def test_blocks_are_found_with_their_lines() -> None:
    page = "# x\n\n```python\na = 1\n```\n\n```json output\n{}\n```\n```bash\nonnxport \\\n  --help\n```\n"
    assert [(b.language, b.mark, b.line) for b in blocks(page)] == [
        ("python", "", 4),
        ("json", "output", 8),
        ("bash", "", 11),
    ]


def test_what_is_marked_is_understood(reader: Reader) -> None:
    page = (
        "```python app.py\nprint('7 apples')\n```\n```bash\npython app.py\n```\n```text output\n7 …s\n```\n"
        "```bash fails\ncat gone.txt\n```\n```text output\ngone.txt\n```\n```python not-run\n1 / 0\n```\n"
    )
    for block in blocks(page):
        reader.follow(block)


@pytest.mark.parametrize(
    "page",
    [
        "```python\nx = 1\n```\n```python\nassert x == 2\n```\n",
        "```python\nprint(1)\n```\n```text output\n2\n```\n",
        "```bash\nmake nonsense\n```\n",
        "```bash\npip install onnxport\n```\n",
        "```bash\npip install '.[nonsense]'\n```\n",
        "```bash\ncat gone.txt\n```\n",
        "```bash fails\necho well\n```\n",
        "```bash\nrm -rf gone\n```\n",
    ],
)
def test_a_block_that_fails_is_a_fault(reader: Reader, page: str) -> None:
    *before, last = blocks(page)
    for block in before:
        reader.follow(block)
    with pytest.raises(AssertionError):
        reader.follow(last)
