"""Where keys stand in a TOML document, against documents of which it is known."""

from __future__ import annotations

import json
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from onnxport.deploy.positions import key_lines

_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
_VALUES = st.one_of(
    _TEXTS.map(lambda t: json.dumps(t, ensure_ascii=False)),
    st.sampled_from(["'a # [b] \"'", '"""\n[a]\n# "x" = 1\n"""', "'''\nk = '1'\n'''", '""', "''"]),
    st.sampled_from(
        ['"""a""""', "'''b'''''", '"""\\"""" ', "1.5", "-0x_1".replace("_", ""), "inf"]
    ),
    st.sampled_from(["1979-05-27 07:32:00", "true", '[\n1, # ]\n[2, "]"],\n]', "[]", "{ }"]),
).filter(lambda v: _is_toml(f"a = {v}"))
_KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True),
    _TEXTS.map(lambda t: json.dumps(t, ensure_ascii=False)),
    st.sampled_from(
        ["'a.b'", '"a.b"', '"\\u0061"', '"\\U0001F600"', '"\\\\U0001F600"', "''", '"#"']
    ),
)


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@given(
    st.lists(st.tuples(st.booleans(), st.lists(_KEYS, min_size=1, max_size=3), _VALUES), max_size=8)
)
def test_the_line_of_each_key_is_known(parts: list[tuple[bool, list[str], str]]) -> None:
    """Against a document of which it is known, by the way it was written, where each key begins."""
    text = ""
    table: tuple[str, ...] = ()
    wanted: dict[tuple[str, ...], int] = {}
    for is_head, keys, value in parts:
        names = tuple(next(iter(tomllib.loads(f"{key} = 1"))) for key in keys)
        statement = f"[ {' . '.join(keys)} ]" if is_head else f"{' . '.join(keys)} = {value}"
        grown = f"{text}# [x] = 'y\n{statement}  # \"\n\n"
        if not _is_toml(grown):
            continue
        table, path = (names, names) if is_head else (table, (*table, *names))
        start = 1 if is_head else len(table) + 1
        for length in range(start, len(path) + 1):
            wanted.setdefault(path[:length], text.count("\n") + 2)
        text = grown
    assert key_lines(text) == wanted
    assert key_lines(text.replace("\n", "\r\n")) == wanted


def test_the_lines_inside_of_inline_tables() -> None:
    text = 'a = [\n  { b = 1,\n c = { "d" = [\n1] } },\n]\n[[e]]\nf = 1\n[[e]]\nf = 2\n'
    assert key_lines(text.replace(",\n c", ", c")) == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 2,
        ("a", "c", "d"): 2,
        ("e",): 5,
        ("e", "f"): 6,
    }
