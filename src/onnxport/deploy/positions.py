"""Where each key of a TOML document stands: tomllib tells values alone, and a complaint should name the line.

The document has passed tomllib, so nothing is checked here: strings and comments are stepped over, keys are noted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

Path = tuple[str, ...]

# Longest first, as TOML 1.0 reads them; a multi-line string may end in five quotes.
_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r]+|\#[^\n]*)
  | (?P<line>\n)
  | (?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5}(?!\") | '{3}.*?'{3,5}(?!'))
  | (?P<basic>\"(?:\\.|[^\"\\\n])*\")
  | (?P<literal>'[^'\n]*')
  | (?P<mark>[\[\]{}=,.])
  | (?P<bare>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)


def key_lines(document: str) -> dict[Path, int]:
    """The line, from 1, of each key and each table's head, by its path; of an array of tables the first counts."""
    return _Scan(document).lines


class _Scan:
    def __init__(self, document: str) -> None:
        self.lines: dict[Path, int] = {}
        self._tokens = list(_tokens(document.replace("\r\n", "\n")))
        self._at = 0
        table: Path = ()
        while self._peek():
            if self._peek() == "line":
                self._at += 1
            elif self._peek() == "[":
                table = self._head()
            else:
                self._pair(table)

    def _peek(self) -> str:
        """The kind of the next token, or nothing at the end."""
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _head(self) -> Path:
        while self._peek() == "[":
            self._at += 1
        path = self._key(())
        while self._peek() == "]":
            self._at += 1
        return path

    def _key(self, prefix: Path) -> Path:
        """Steps over a dotted key and notes the line of each of its parts that is new."""
        path, is_first = prefix, True
        while is_first or self._peek() == ".":
            self._at += not is_first
            _, text, line = self._tokens[self._at]
            path, is_first = (*path, _unquoted(text)), False
            self.lines.setdefault(path, line)
            self._at += 1
        return path

    def _pair(self, prefix: Path) -> None:
        path = self._key(prefix)
        self._at += 1  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._peek() == "{":
            self._at += 1
            self._inside("}", path)
        elif self._peek() == "[":
            self._at += 1
            self._inside("]", path)
        else:
            while self._peek() not in ("", "line", ",", "]", "}"):
                self._at += 1

    def _inside(self, end: str, path: Path) -> None:
        while self._peek() != end:
            if self._peek() in ("line", ","):
                self._at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._value(path)
        self._at += 1


def _tokens(document: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and line of each token; a mark is its own kind."""
    line = 1
    for found in _TOKEN.finditer(document):
        text, kind = found.group(), str(found.lastgroup)
        if kind != "space":
            yield (text if kind == "mark" else kind), text, line
        line += text.count("\n")


def _unquoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    if not text.startswith('"'):
        return text
    return str(json.loads(re.sub(r"\\(U[0-9A-Fa-f]{8}|.)", _as_json, text), strict=False))


def _as_json(escape: re.Match[str]) -> str:
    """JSON knows all escapes of TOML but the one of eight digits."""
    return chr(int(escape[1][1:], 16)) if len(escape[1]) > 1 else escape[0]
