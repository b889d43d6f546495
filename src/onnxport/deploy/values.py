"""One key or value of `onnxport.toml`, or of a flag, against the table of options: what is wrong, in a sentence."""

from __future__ import annotations

from typing import Any

from onnxport.deploy.forms import clean_name, is_plain, suggestion
from onnxport.deploy.intent import FREE_TABLES, OPTIONS, TABLES, Option
from onnxport.deploy.positions import Path
from onnxport.errors import shorten

_WORDS = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: 'a list of texts, such as ["a", "b"]',
}
_HUGE = 10**30  # Python refuses to write some thousand digits


def unknown(path: Path) -> str:
    """Why a key is no option, and which was meant: of the same table, or of the same name in another."""
    told = ".".join(shorten(part) for part in path)
    key, table = path[-1], path[0] if len(path) > 1 else ""
    places = [_place(option) for option in OPTIONS if option.key == key]
    if places:
        return f"{told} is no option; {key} stands {' and '.join(places)}"
    by_flag = {option.parameter: option.name for option in OPTIONS}
    if key in by_flag:
        return f"{told} is no option; did you mean {by_flag[key]}?"
    known = [option.key for option in OPTIONS if option.table == table]
    return f"{told} is no option" + suggestion(
        key, known if table else [*known, *TABLES, *FREE_TABLES]
    )


def _place(option: Option) -> str:
    return f"in [{option.table}]" if option.table else "at the top of the file, before any [table]"


def complaint(option: Option, value: Any, called: str) -> str | None:
    """What is wrong with a value, or None. called: the option as it was given."""
    if not _is_of_type(option, value):
        return f"{called} is {echo(value)}, and must be {_WORDS[option.type]}"
    texts = value if option.type is tuple else [value]
    for text in texts:
        if isinstance(text, str) and not is_plain(text):
            return f"{called} is {echo(text)}, and must be short and of printable characters alone"
    if option.form.test(tuple(value) if option.type is tuple else value):
        return None
    return f"{called} is {echo(value)}, and must be {option.form.wanted}" + _meant(option, value)


def _is_of_type(option: Option, value: Any) -> bool:
    if option.type is tuple:
        return isinstance(value, (list, tuple)) and all(isinstance(x, str) for x in value)
    if option.type is bool:
        return isinstance(value, bool)
    allowed = (int, float) if option.type is float else option.type
    return isinstance(value, allowed) and not isinstance(value, bool)


def echo(value: Any) -> str:
    """A value as it may be told: a few characters, and quotes around texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"[{', '.join(echo(each) for each in value[:3])}{', ...' * (len(value) > 3)}]"
    if isinstance(value, int) and abs(value) > _HUGE:
        return "a huge number"
    return f"'{shorten(value)}'" if isinstance(value, str) else shorten(str(value))


def _meant(option: Option, value: Any) -> str:
    if not isinstance(value, str):
        return ""
    if option.name in ("app", "environment"):
        nearest = clean_name(value)
        return f"; did you mean {nearest}?" if option.form.test(nearest) and nearest else ""
    return suggestion(value, option.form.choices)


def frozen(option: Option, value: Any) -> Any:
    return tuple(value) if option.type is tuple else option.type(value)
