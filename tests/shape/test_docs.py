"""The documentation agrees with the code, with itself, and with what may stand in a public repository."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from onnxport import cli
from onnxport.server.problems import CODES
from onnxport.settings import SETTINGS

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|!\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
FENCE = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)
# In parts, so that this file passes its own test.
REGISTRIES = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))
]
REGISTRIES += [".".join(parts) for parts in (("npmjs", "com"), ("debian", "org"))]
MACHINE_PATH = re.compile(r"(?<![\w./~-])/(?:root|work|home/\w+|Users/\w+)/")


def tracked(root: Path, *patterns: str) -> list[Path]:
    """The files that git has or would take."""
    command = [
        "git",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        *patterns,
    ]
    listed = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    files = [root / name for name in listed.stdout.split("\0") if name]
    return [path for path in files if path.is_file()]


def text_of(path: Path) -> str:
    """A file's text; "" for a binary file."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


def test_the_reference_pages_are_fresh(root: Path) -> None:
    program = root / "tools" / "reference.py"
    done = subprocess.run(
        [sys.executable, str(program), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def command_names(command: click.Command, path: str) -> Iterator[str]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            if not child.hidden:
                yield from command_names(child, f"{path} {name}")


def test_every_command_is_documented(root: Path) -> None:
    page = (root / "docs" / "reference" / "cli.md").read_text("utf-8")
    groups = [value for value in vars(cli).values() if isinstance(value, click.Group)]
    assert groups
    for name in command_names(groups[0], "onnxport"):
        assert f"## `{name}`\n" in page


def test_every_setting_is_documented(root: Path) -> None:
    page = (root / "docs" / "reference" / "settings.md").read_text("utf-8")
    assert SETTINGS
    for setting in SETTINGS:
        assert f"| `{setting.name}` | `{setting.flag}` | `{setting.env}` |" in page
        assert setting.help.endswith(".")


def test_every_error_is_documented(root: Path) -> None:
    page = (root / "docs" / "6-http-api.md").read_text("utf-8")
    told = {(code, status) for status, (_, codes) in CODES.items() for code in codes}
    told |= {("not_found", 404), ("method_not_allowed", 405)}
    assert {
        (code, status) for code, status in told if f"| `{code}` | {status} |" not in page
    } == set()


def anchors(page: Path) -> set[str]:
    """The names that a page's headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return set(words)


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for found in LINK.finditer(FENCE.sub("", page.read_text("utf-8"))):
        target = found[1] or found[2]
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = page.parent / path if path else page
        if not there.exists() or (
            anchor and there.suffix == ".md" and anchor not in anchors(there)
        ):
            broken.append(target)
    return broken


def test_every_relative_link_leads_somewhere(root: Path) -> None:
    pages = tracked(root, "*.md")
    assert root / "README.md" in pages
    assert {
        str(page.relative_to(root)): broken_links(page) for page in pages if broken_links(page)
    } == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, plain\n[a](gone.md) [b](page.md#nowhere) [c](#a-heading-plain) [d](https://x.test)\n"
        "```\n[e](in-a-fence.md)\n```\n![f](gone.png)\n",
        "utf-8",
    )
    assert broken_links(page) == ["gone.md", "page.md#nowhere", "gone.png"]


def test_the_version_is_the_newest_in_the_changelog(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    newest = re.search(
        r"^## (\d+\.\d+\.\d+)", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert newest is not None
    assert newest[1] == project["version"]


def test_no_registry_and_no_path_of_a_machine_is_named(root: Path) -> None:
    texts = {str(path.relative_to(root)): text_of(path) for path in tracked(root)}
    assert "pyproject.toml" in texts
    hosts = {(name, host) for name, text in texts.items() for host in REGISTRIES if host in text}
    paths = {
        (name, found[0]) for name, text in texts.items() for found in MACHINE_PATH.finditer(text)
    }
    assert hosts == set()
    assert paths == set()


@pytest.mark.parametrize("name", ["serve", "demo", "dev"])
def test_the_pinned_lists_have_hashes_and_no_address(root: Path, name: str) -> None:
    text = (root / "requirements" / f"{name}.txt").read_text("utf-8")
    pins = re.findall(r"^(\w[\w.-]*)==\S+", text, re.MULTILINE)
    assert {"onnxruntime", "fastapi", "hatchling", "editables"} <= set(pins)
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"://|^--?[a-z]", text, re.MULTILINE)
