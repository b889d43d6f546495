"""A page of documentation is a program: its blocks run from top to bottom, in an empty folder, and must all succeed.

- ```python blocks share one namespace. With a file's name after the language they become that file instead.
- ```bash blocks run line by line (a backslash joins lines). `onnxport serve`, `onnxport demo`, `make demo` and
  `uvicorn` start a server on a free port, which ends the one before; the port that the page names for it then leads
  there, in later blocks too. Other lines of `onnxport`, `curl`, `echo`, `python`, `openssl` and `cat` run in bash and
  must end with 0, or with another code in a block marked ```bash fails.
- ```javascript blocks run in node, as modules.
- Blocks marked `output` (```text output, ```json output) stand in what the block before them printed; … is anything.
- `make TARGET` must be a target of the Makefile, and `pip install '.[EXTRA]'` an extra; neither is run, but that
  `make base` puts the base image where it belongs.
  `git clone`, `cd` and `. .venv/bin/activate` are passed over. Any other line is a fault: the pages and this list
  grow together.

Blocks in other languages, and those marked `not-run`, are for the reader.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.image import bases
from tests.serving import ServerProcess

DEFAULT_PORT = "8000"
PASSED_OVER = frozenset({".", "cd", "git"})
RUN = frozenset({"cat", "curl", "echo", "onnxport", "openssl", "python"})


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the word after it, its text, and the line of its first word."""

    language: str
    mark: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    found = re.finditer(r"^```(\w+) *([^\n]*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [Block(m[1], m[2].strip(), m[3], page.count("\n", 0, m.start(3)) + 1) for m in found]


def languages(page: str) -> set[str]:
    """The languages of the blocks that would run."""
    return {block.language for block in blocks(page) if block.mark not in ("not-run", "output")}


class Reader:
    """Does what a page says, in one folder; holds the page's running server and its Python names."""

    def __init__(self, root: Path, folder: Path, servers: ExitStack) -> None:
        self._root, self._folder, self._servers = root, folder, servers
        self._names: dict[str, Any] = {"__name__": "page"}
        self._ports: dict[str, str] = {}
        self._printed = ""

    def read(self, page: Path) -> None:
        """Follows every block of a page."""
        for block in blocks(page.read_text("utf-8")):
            self.follow(block, page.name)

    def follow(self, block: Block, page: str = "page") -> None:
        if block.mark == "output":
            assert _occurs(block.text, self._printed), (
                f"{page}:{block.line} says\n{block.text}\nand it was\n{self._printed}"
            )
        elif block.mark == "not-run":
            pass
        elif block.language == "python" and block.mark:
            (self._folder / block.mark).write_text(self._moved(block.text), "utf-8")
        elif block.language == "python":
            self._python("\n" * (block.line - 1) + self._moved(block.text), page)
        elif block.language == "javascript":
            self._javascript(self._moved(block.text))
        elif block.language == "bash":
            self._printed = ""
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    self._command(words, line.strip(), fails=block.mark == "fails")

    def _python(self, text: str, page: str) -> None:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, page, "exec"), self._names)
        self._printed = printed.getvalue()

    def _javascript(self, text: str) -> None:
        node = shutil.which("node")
        assert node, "a page with javascript needs node"
        done = self._run([node, "--input-type=module", "--eval", text])
        assert done.returncode == 0, done.stdout
        self._printed = done.stdout

    def _command(self, words: list[str], line: str, *, fails: bool) -> None:
        if words[0] == "make":
            self._make(words)
        elif words[0] == "pip" or words[:3] == ["python", "-m", "pip"]:
            self._pip(words)
        elif words[:2] in (["onnxport", "serve"], ["onnxport", "demo"]) and not fails:
            self._start("onnxport", words[1:])
        elif words[0] == "uvicorn":
            self._start("uvicorn", words[1:])
        elif words[0] in RUN:
            self._bash(line, fails=fails)
        else:
            assert words[0] in PASSED_OVER, f"the test doesn't know how to follow: {line}"

    def _make(self, words: list[str]) -> None:
        targets = [word for word in words[1:] if "=" not in word]
        makefile = (self._root / "Makefile").read_text("utf-8")
        for target in targets:
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
        if "base" in targets:
            base = bases.slim(self._root)
            (self._folder / "build").mkdir(exist_ok=True)
            (self._folder / "build" / base.name).symlink_to(base)
        if "demo" in targets:
            ports = [word.removeprefix("PORT=") for word in words if word.startswith("PORT=")]
            port = ports[0] if ports else DEFAULT_PORT
            self._start("onnxport", ["demo", "--port", port, "--output", "build/demo/iris.onnx"])

    def _pip(self, words: list[str]) -> None:
        project = tomllib.loads((self._root / "pyproject.toml").read_text("utf-8"))["project"]
        extras = {
            extra
            for word in words
            for found in re.findall(r"\[(.+)\]", word)
            for extra in found.split(",")
        }
        assert any(word == "." or word.startswith(".[") for word in words), "install from the clone"
        assert extras <= project["optional-dependencies"].keys()

    def _start(self, module: str, words: list[str]) -> None:
        self._servers.close()
        arguments, port = [word for word in words if word != "&"], DEFAULT_PORT
        if "--port" in arguments:
            at = arguments.index("--port")
            port = arguments[at + 1]
            del arguments[at : at + 2]
        server = ServerProcess(
            *arguments, "--port", "0", module=module, cwd=self._folder, patience=180
        )
        url = self._servers.enter_context(server).url
        self._ports[port] = url.rpartition(":")[2]

    def _bash(self, line: str, *, fails: bool) -> None:
        done = self._run(["bash", "-euo", "pipefail", "-c", self._moved(line)])
        self._printed += done.stdout
        assert (done.returncode != 0) == fails, (
            f"{line}\nended with {done.returncode}:\n{done.stdout}"
        )

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=180,
        )

    def _environment(self) -> dict[str, str]:
        (self._folder / ".curlrc").write_text(
            "fail-with-body\nsilent\n", "utf-8"
        )  # an error status is a fault
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        cache = str(self._root / "build" / "image-cache")
        told = {"PATH": path, "CURL_HOME": str(self._folder), "XDG_CACHE_HOME": cache}
        return {**os.environ, **told}

    def _moved(self, text: str) -> str:
        """The ports that the page names, as the ports where its servers listen."""

        def real(found: re.Match[str]) -> str:
            return found[1] + self._ports.get(found[2], found[2])

        return re.sub(r"((?:127\.0\.0\.1|localhost):)(\d+)", real, text)


def _occurs(told: str, printed: str) -> bool:
    """Whether a text stands in what was printed; … is anything, ports aside."""
    pattern = r".*?".join(re.escape(part) for part in told.strip().split("…"))
    pattern = re.sub(r"(127\\\.0\\\.0\\\.1:)\d+", r"\1\\d+", pattern)
    lines = "\n".join(line.rstrip() for line in printed.splitlines())
    return re.search(pattern, lines, re.DOTALL) is not None
