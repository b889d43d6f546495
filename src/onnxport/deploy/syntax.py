"""What was probably meant by a text that is no TOML: tomllib names the rule that is broken, and no remedy."""

from __future__ import annotations

import re
import unicodedata

from onnxport.errors import shorten

_QUOTE = r"Unterminated string|Expected \"'\"|character '\\n'"
_SWITCH = re.compile(r"(yes|no|on|off|true|false)\b", re.IGNORECASE)
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")
_HEAD = re.compile(r"\s*(\[.*?\]+)")

# By tomllib's words. What the value itself tells comes before, in `_of_value` and `_behind_value`.
_REMEDIES = (
    ("Expected '=' after", "write name = value; the name of a table stands in [brackets]"),
    (r"Expected '\]", "close the table's name with ]"),
    ("Unclosed array", "close the list with ], and put commas between its texts"),
    (r"hex value|Unescaped '\\|Unicode", r"put a path with \ between single quotes"),
)
_OTHERWISE = "correct it there; `onnxport deploy --init` in an empty folder shows the form"


def explain(message: str, text: str, called: str) -> str:
    """The complaint of `tomllib.loads` with its place and what to do. called: the file's name."""
    text = text.replace("\r\n", "\n")
    what, _, place = message.rpartition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", place)
    line = int(found[1]) if found else _last_line(what, text)
    statement = text.split("\n")[line - 1]
    column = int(found[2]) - 1 if found else len(statement)
    where = f"{called}, line {line}"
    if re.match(r"Cannot (overwrite|declare)", what):
        return f"{where}: {_twice(text, line)}"
    column_told = f", column {found[2]}" if found else ""
    return f"{where}{column_told}: this is no TOML: {_told(what, statement, column)}"


def _last_line(what: str, text: str) -> int:
    """Where a document ends too early: at a quote that nothing closes, else in its last line."""
    before = text[: text.rfind("'")] if what == 'Expected "\'"' else text.rstrip()
    return before.count("\n") + 1


def _twice(text: str, line: int) -> str:
    """A key or a table's head that a line repeats. Only plain lines are looked at, which are nearly all."""
    lines = text.split("\n")
    head = _HEAD.match(lines[line - 1])
    found = head or _KEY.match(lines[line - 1])
    if found is None:
        return "what is given there is given twice; keep one of them"
    pattern = _HEAD if head else _KEY
    for number in range(line - 1, 0, -1):
        other = pattern.match(lines[number - 1])
        if other and other[1] == found[1]:
            return (
                f"{shorten(found[1])} stands there twice, first in line {number}; keep one of them"
            )
        if not head and _HEAD.match(lines[number - 1]):
            break
    return f"{shorten(found[1])} has a value already, or is a table; keep one of them"


def _told(what: str, statement: str, column: int) -> str:
    before, rest = statement[:column], statement[column:]
    if re.search(_QUOTE, what):
        return "the closing quote is missing; put it at the end of the text"
    if what == "Invalid value":
        remedy = _of_value(rest)
    elif what.startswith("Expected newline"):
        remedy = _behind_value(before, rest)
    else:
        remedy = next((told for words, told in _REMEDIES if re.search(words, what)), _OTHERWISE)
    return f"{shorten(what, 120)}; {remedy}"


def _of_value(rest: str) -> str:
    """What a value that is none was meant to be."""
    if not rest.strip() or rest.startswith("#"):
        return "write the value behind the equals sign, or remove the line"
    if _SWITCH.match(rest):
        return "write true or false, in small letters"
    if re.match(r"[-+.\d]", rest):
        return "write a number such as 50 or 0.5"
    if rest.startswith("="):
        return "one equals sign is enough"
    if unicodedata.category(rest[0]) in ("Pi", "Pf") or rest[0] in "„`":
        return 'take straight quotes, as in app = "iris"'
    return 'texts need quotes, as in app = "iris"'


def _behind_value(before: str, rest: str) -> str:
    if before[-1:].isdigit() and re.match(r",\d", rest):
        return "a number has a decimal point and no commas, as in 50.0"
    return "write no more than a # comment behind a value; the next option begins a new line"
