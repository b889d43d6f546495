"""Bodies that are nearly right: rows whose JSON text is then damaged with knowledge of its structure."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

VALUES = [
    "null", "true", "false", "0", "-0", "-0.0", "1", "5.0", "5.5", "1e0", "1E+2", "2e-400", "1e999", "-1e999",
    "3.4028235e38", "3.4028236e38", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.0",
    "-9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "9223372036854775807.0", "1" + "0" * 70, "0." + "0" * 70 + "1", "NaN", "Infinity",
    "-Infinity", "nan", "01", "-", "1.", ".5", "+1", "1e", "0x10", "1_0", "tru", "True", "None", "[]", "{}", "[[]]",
    "[1]", '{"a":1}', '""', '"a"', '"Paris"', '"\\u0050aris"', '"東京"', '"\\u6771\\u4eac"', '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\ud83d\\ude00"', '"\\u0000"', '"\ue000null"', '"\\ue000null"', '"a:b"', '"a\\"b"', '"\\x"', '"\\u12"', "'a'",
    '"a\nb"', '"a\tb"', '"\x7f"', '"é"', '"' + "x" * 300 + '"', "[" * 15 + "]" * 15, "[" * 40 + "]" * 40,
]  # fmt: skip
TOKENS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\0", b"\n", b"\r", b"\t", b" ", b"\x0b", b"\x0c", b"\xa0",
    b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"/**/", b"//", b"null", b"\\u0000", b"\\ud800", b'"a":1,', b',"amount":1', b',"flag":null', b"[]", b"{}", b"1e999",
]  # fmt: skip
SPACES = ["", " ", "\n", "\t", "\r\n", "  \t"]


class Mutator:
    """Draws bodies for a model; the same again from the same random numbers. row: draws a right row."""

    def __init__(
        self, draw: random.Random, row: Callable[[random.Random], Mapping[str, Any]]
    ) -> None:
        self.draw, self._row = draw, row

    def body(self) -> bytes:
        """One row or some, right in three of ten."""
        draw = self.draw
        kind = draw.random()
        if kind < 0.2:
            return self._document([self._pairs() for _ in range(draw.randint(0, 4))])
        content = self._document(self._pairs())
        if kind < 0.65:
            return content
        for _ in range(draw.choice([1, 1, 1, 1, 2, 4])):
            content = self._damaged(content)
        return content

    def _pairs(self) -> list[tuple[str, str]]:
        """A row as pairs of JSON texts, sometimes with other values, keys that stand twice, or none of one."""
        draw = self.draw
        ascii_only = draw.random() < 0.5
        pairs = [
            (json.dumps(name), json.dumps(value, ensure_ascii=ascii_only))
            for name, value in self._row(draw).items()
        ]
        if draw.random() < 0.4:
            at = draw.randrange(len(pairs))
            pairs[at] = (pairs[at][0], draw.choice(VALUES))
        if draw.random() < 0.15:
            name, value = draw.choice(pairs)
            other = draw.choice([value, draw.choice(VALUES)])
            pairs.insert(draw.randint(0, len(pairs)), (self._escaped(name), other))
        if draw.random() < 0.05:
            del pairs[draw.randrange(len(pairs))]
        if draw.random() < 0.05:
            pairs.append((draw.choice(['"amuont"', '""', '"a:b"', '"\\ud800"', '"Amount"']), "1"))
        if draw.random() < 0.2:
            at = draw.randrange(len(pairs))
            pairs[at] = (self._escaped(pairs[at][0]), pairs[at][1])
        if draw.random() < 0.3:
            draw.shuffle(pairs)
        return pairs

    def _escaped(self, name: str) -> str:
        """The same key, maybe in another spelling."""
        at = self.draw.randint(1, max(1, len(name) - 2))
        if self.draw.random() < 0.5 or name[at] in '\\"':
            return name
        return f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"

    def _document(self, rows: list[Any]) -> bytes:
        between = self.draw.choice(SPACES)
        if rows and isinstance(rows[0], tuple):
            return self._object(rows, between).encode("utf-8", "surrogatepass")
        told = ("," + between).join(self._object(row, between) for row in rows)
        return f"{between}[{told}{between}]".encode("utf-8", "surrogatepass")

    def _object(self, pairs: list[tuple[str, str]], between: str) -> str:
        told = ("," + between).join(f"{name}{between}:{between}{value}" for name, value in pairs)
        return f"{{{between}{told}{between}}}"

    def _damaged(self, content: bytes) -> bytes:
        draw = self.draw
        at, to = sorted((draw.randint(0, len(content)), draw.randint(0, len(content))))
        kind = draw.randrange(9)
        if kind == 0:
            return content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
        if kind == 1:
            return content[:at] + content[at + draw.choice([1, 1, 2, 9]) :]
        if kind == 2:
            return content[:at] + draw.choice(TOKENS) + content[at:]
        if kind == 3:
            return content[:at]
        if kind == 4:
            return content[:at] + content[at:to] * 2 + content[to:]
        if kind == 5:
            return content[:at] + content[to:]
        if kind == 6:
            return content + draw.choice([*TOKENS, content, b"\n", b" \t"])
        if kind == 7:
            return content.replace(draw.choice([b":", b",", b'"', b"a"]), draw.choice(TOKENS), 1)
        return b"[" * draw.choice([1, 2, 14, 15, 16, 17]) + content + b"]" * draw.choice([1, 2, 16])
