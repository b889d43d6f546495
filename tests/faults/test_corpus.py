"""What a body may hold, by hand: 93 values in each of 7 features, and 116 whole documents, with status and codes.

Every case is sent three times to the fast path (read by the parser, then twice as a block that was seen before), in a
list, in chunks, and to FastAPI alone: the answers must be alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.faults.conftest import Start
from tests.faults.wire import Answer, Volley, chunked, request
from tests.server import models

FEATURES = ("amount", "small", "visits", "flag", "grade", "city", "note")
GOOD = ("1.5", "2.5", "3", "true", "5", '"Paris"', '"a"')
STATUSES = {
    "": 200,
    **dict.fromkeys(("empty_body", "invalid_json", "invalid_encoding", "too_deep"), 400),
    **dict.fromkeys(("too_many_rows", "too_large"), 413),
}
CODES = {
    ".": "",
    "T": "wrong_type",
    "N": "null_not_allowed",
    "F": "non_finite",
    "R": "out_of_range_integer",
    "C": "unknown_category",
    "S": "invalid_string",
    "J": "invalid_json",
}

# A number, one that must fit float32, an integer, a nullable boolean, one of 1, 2 and 5, a nullable one of Paris and
# 東京, any text.
VALUES = {
    "null": "NNN.N.N",
    "true": "TTT.TTT",
    "false": "TTT.TTT",
    # numbers
    "0": "...TCTT",
    "-0": "...TCTT",
    "-0.0": "...TCTT",
    "1": "...T.TT",
    "5.0": "...T.TT",
    "5.5": "..TTCTT",
    "-5": "...TCTT",
    "0.5e1": "...T.TT",
    "5E+0": "...T.TT",
    "50e-1": "...T.TT",
    "1e-400": "...TCTT",
    "4.9e-324": "..TTCTT",
    "1e18": "...TCTT",
    "1e308": ".FRTCTT",
    "1.7976931348623157e308": ".FRTCTT",
    "1.7976931348623159e308": "FFFTFTT",
    "1e309": "FFFTFTT",
    "-1e309": "FFFTFTT",
    "1e99999": "FFFTFTT",
    "3.4028235677973362e38": "..RTCTT",
    "3.4028235677973366e38": ".FRTCTT",
    "-3.4028235677973366e38": ".FRTCTT",
    "0." + "3" * 70: "..TTCTT",
    "1" + "0" * 300 + ".0": ".FRTCTT",
    # integers at their borders
    "9007199254740992": "...TCTT",
    "9007199254740993": "RR.TRTT",
    "9007199254740993.0": "...TCTT",
    "-9007199254740992": "...TCTT",
    "-9007199254740993": "RR.TRTT",
    "9223372036854775807": "RR.TRTT",
    "9223372036854775808": "RRRTRTT",
    "-9223372036854775808": "RR.TRTT",
    "-9223372036854775809": "RRRTRTT",
    "9223372036854774784.0": "...TCTT",
    "9223372036854775807.0": "..RTCTT",
    "-9223372036854775808.0": "...TCTT",
    "18446744073709551615": "RRRTRTT",
    "18446744073709551617": "RRRTRTT",
    "9" * 64: "RRRTRTT",
    "9" * 400: "RRRTRTT",
    # what JavaScript and Python take for numbers
    "NaN": "FFFFFTT",
    "Infinity": "FFFFFTT",
    "-Infinity": "FFFFFTT",
    **dict.fromkeys(("nan", "+1", "01", "-01", ".5", "1.", "1e", "-", "0x10", "1_0"), "JJJJJJJ"),
    **dict.fromkeys(("True", "None", "undefined", "'a'", "", "1 2", "1f"), "JJJJJJJ"),
    # what is neither
    **dict.fromkeys(("[]", "{}", "[1]", '{"a":1}', '{"a":1,"a":2}', "[[[null]]]"), "TTTTTTT"),
    # strings
    '""': "TTTTTC.",
    '"1"': "TTTTTC.",
    '"null"': "TTTTTC.",
    '"Paris"': "TTTTT..",
    '"\\u0050aris"': "TTTTT..",
    '"東京"': "TTTTT..",
    '"\\u6771\\u4eac"': "TTTTT..",
    '"paris"': "TTTTTC.",
    '"Paris "': "TTTTTC.",
    '"a:b\\",\\"c"': "TTTTTC.",
    '"\\b\\f\\n\\r\\t\\/\\\\"': "TTTTTC.",
    '"\\ud83d\\ude00"': "TTTTTC.",
    '"\x7f\u2028\ufeff\uffff"': "TTTTTC.",
    '"\\ud800"': "TTTTTSS",
    '"\\udc00\\ud800"': "TTTTTSS",
    '"\\u0000"': "TTTTTSS",
    '"\ue000null"': "TTTTTSS",
    **dict.fromkeys(('"\\x"', '"\\u12"', '"\\U0001F600"', '"\n"', '"\t"', '"\0"', '"'), "JJJJJJJ"),
}


def row(**values: str) -> bytes:
    """The good row with some values replaced by JSON text, legal or not."""
    texts = dict(zip(FEATURES, GOOD, strict=True)) | values
    return ("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode()


def with_keys(more: str) -> bytes:
    return row()[:-1] + more.encode() + b"}"


ROW, TEXT = row(), row().decode()
JSON, BYTES = "invalid_json", "invalid_encoding"
TWICE, UNKNOWN, BOTH = "duplicate_key", "unknown_feature", "missing unknown_feature"

# A body, its codes, and those of a list that holds it, where they are others.
DOCUMENTS: dict[str, tuple[bytes, str] | tuple[bytes, str, str]] = {
    "the row": (ROW, ""),
    "in another order": (b'{"note":"a",' + ROW[1:-12] + b"}", ""),
    # nothing
    "empty": (b"", "empty_body", ""),
    "a space": (b" ", "empty_body", ""),
    "white": (b"\r\n\t ", "empty_body", ""),
    # white space
    **{f"{white!r} before": (white + ROW, "") for white in (b" ", b"\n", b"\r", b"\t")},
    **{f"{white!r} behind": (ROW + white, "") for white in (b" ", b"\n", b"\r", b"\t")},
    "white everywhere": (TEXT.replace(":", " \n: ").replace(",", "\t,\r").encode(), ""),
    "white at great length": (b" " * 20_000 + ROW + b" " * 20_000, ""),
    "a vertical tab before": (b"\v" + ROW, JSON),
    "a form feed behind": (ROW + b"\f", JSON),
    "a non-breaking space before": (b"\xc2\xa0" + ROW, JSON),
    "a line separator behind": (ROW + b"\xe2\x80\xa8", JSON),
    # something behind or before
    "NUL before": (b"\0" + ROW, BYTES),
    "NUL behind": (ROW + b"\0", JSON),
    "a comma behind": (ROW + b",", JSON, JSON),
    "a brace behind": (ROW + b"}", JSON),
    "a bracket behind": (ROW + b"]", JSON),
    "two rows": (ROW + ROW, JSON),
    "lines of rows": (ROW + b"\n" + ROW, JSON),
    "rows with a comma": (ROW + b"," + ROW, JSON, ""),
    "a word behind": (ROW + b" null", JSON),
    "a comment behind": (ROW + b"// row", JSON),
    "a comment before": (b"/* row */" + ROW, JSON),
    "a prefix": (b")]}',\n" + ROW, JSON),
    "a form": (b"amount=1.5&small=2.5", JSON),
    "a query": (b"%7B%7D", JSON),
    "XML": (b"<row/>", JSON),
    "base64": (b"eyJhbW91bnQiOjF9", JSON),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", BYTES),
    # cut off
    **{f"cut off after {n}": (ROW[:n], JSON) for n in (1, 2, 9, 10, 14, len(ROW) - 1)},
    # encodings
    "a byte order mark": (b"\xef\xbb\xbf" + ROW, BYTES, JSON),
    "UTF-16": (TEXT.encode("utf-16"), BYTES),
    "UTF-16 little": (TEXT.encode("utf-16-le"), BYTES),
    "UTF-16 big": (TEXT.encode("utf-16-be"), BYTES),
    "UTF-32": (TEXT.encode("utf-32"), BYTES),
    "UTF-32 little": (TEXT.encode("utf-32-le"), BYTES),
    "UTF-32 big": (TEXT.encode("utf-32-be"), BYTES),
    "UTF-7": (TEXT.replace('"', "+ACI-").encode(), JSON),
    "Latin-1": (row(note='"é"').decode().encode("latin-1"), BYTES),
    "an overlong NUL": (ROW.replace(b'"a"', b'"\xc0\x80"'), BYTES),
    "an overlong quote": (ROW.replace(b'"a"', b'"\xc0\xa2"'), BYTES),
    "a surrogate in UTF-8": (ROW.replace(b'"a"', b'"\xed\xa0\x80"'), BYTES),
    "a pair of surrogates in UTF-8": (ROW.replace(b'"a"', b'"\xed\xa0\xbd\xed\xb8\x80"'), BYTES),
    "beyond Unicode": (ROW.replace(b'"a"', b'"\xf4\x90\x80\x80"'), BYTES),
    "half a letter": (ROW.replace(b'"a"', b'"\xe6\x9d"'), BYTES),
    "a stray byte behind": (ROW + b"\xff", BYTES),
    # no rows
    **{
        text: (text.encode(), "wrong_type") for text in ("3", "null", "true", '"x"', "NaN", "1e999")
    },
    "a list of numbers": (b"[1,2]", "wrong_type"),
    "a list in a list": (b"[[]]", "wrong_type"),
    "rows in a list in a list": (b"[[%b]]" % ROW, "wrong_type"),
    "a row and a number": (b"[%b,1]" % ROW, "wrong_type"),
    "an empty row": (b"{}", "missing"),
    "no rows": (b"[]", "", "wrong_type"),
    # depth
    "15 levels": (b"[" * 15 + b"]" * 15, "wrong_type"),
    "16 levels": (b"[" * 16 + b"]" * 16, "wrong_type", "too_deep"),
    "17 levels": (b"[" * 17 + b"]" * 17, "too_deep"),
    "17 levels of objects": (b'{"a":' * 17 + b"1" + b"}" * 17, "too_deep"),
    "17 levels in a value": (row(amount="[" * 16 + "]" * 16), "too_deep"),
    "900 levels": (b"[" * 900 + b"]" * 900, "too_deep"),
    "60,000 levels": (b"[" * 30_000 + b'{"a":' * 30_000, "too_deep"),
    "2,000,000 levels": (b"[" * 2_000_000, "too_deep"),
    # keys
    "a key twice": (with_keys(',"amount":1.5'), TWICE),
    "a key twice, other values": (with_keys(',"amount":2'), TWICE),
    "a key twice, spelt otherwise": (with_keys(',"\\u0061mount":1.5'), TWICE),
    "a key twice, all of it spelt otherwise": (
        with_keys(',"\\u0061\\u006d\\u006f\\u0075\\u006e\\u0074":1.5'),
        TWICE,
    ),
    "a text's key twice": (with_keys(',"note":"b"'), TWICE),
    "a text's key twice, with colons": (row(note='"::"')[:-1] + b',"note":"::"}', TWICE),
    "a key three times": (with_keys(',"flag":null,"flag":null'), TWICE),
    "every key twice": (ROW[:-1] + b"," + ROW[1:], TWICE),
    "a key twice, the first wrong": (b'{"amount":"x",' + ROW[1:], TWICE),
    "a key twice, the last wrong": (with_keys(',"amount":"x"'), f"{TWICE} wrong_type"),
    "an unknown key twice": (with_keys(',"a":1,"a":1'), f"{TWICE} {UNKNOWN}"),
    "a key in other letters": (ROW.replace(b"mount", b"\\u006dount", 1), ""),
    "a key in capitals": (ROW.replace(b"amount", b"Amount"), BOTH),
    "a key with a space": (ROW.replace(b"amount", b" amount"), BOTH),
    "a key with a NUL": (ROW.replace(b"amount", b"amount\\u0000"), BOTH),
    "a key with an unseen letter": (ROW.replace(b"amount", b"amo\\u200dunt"), BOTH),
    "half a letter as a key": (with_keys(',"\\ud800":1'), UNKNOWN),
    "an empty key": (with_keys(',"":1'), UNKNOWN),
    "a long key": (with_keys(f',"{"k" * 100_000}":1'), UNKNOWN),
    "2,000 keys": (with_keys("".join(f',"k{n}":1' for n in range(2000))), UNKNOWN),
    "__proto__": (with_keys(',"__proto__":{"amount":1}'), UNKNOWN),
    "a key without quotes": (ROW.replace(b'"amount"', b"amount"), JSON),
    "a key in single quotes": (ROW.replace(b'"amount"', b"'amount'"), JSON),
    "a number as a key": (with_keys(",1:1"), JSON),
    "null as a key": (with_keys(",null:1"), JSON),
    # commas and colons
    "a comma at the end": (with_keys(","), JSON),
    "a comma at the beginning": (b"{," + ROW[1:], JSON),
    "two commas": (ROW.replace(b",", b",,", 1), JSON),
    "no comma": (ROW.replace(b",", b" ", 1), JSON),
    "no colon": (ROW.replace(b":", b" ", 1), JSON),
    "two colons": (ROW.replace(b":", b"::", 1), JSON),
    "an equals sign": (ROW.replace(b":", b"=", 1), JSON),
    # sizes
    "a text of 65,536": (row(note='"' + "x" * 65_536 + '"'), ""),
    "a text of 65,537": (row(note='"' + "x" * 65_537 + '"'), "too_large"),
    "10,000 rows": (b"[" + b",".join([ROW] * 10_000) + b"]", "", "wrong_type"),
    "10,001 rows": (b"[" + b",".join([b"{}"] * 10_001) + b"]", "too_many_rows", "wrong_type"),
    "4 MiB": (ROW.ljust(4 * 2**20), "", "too_large"),
    "4 MiB and a byte": (ROW.ljust(4 * 2**20 + 1), "too_large"),
}
COLD = b"POST /predict?x=1 HTTP/1.1"


@pytest.fixture(scope="module")
def one(start: Start) -> Iterator[Volley]:
    with Volley(start(models.every_kind()).url, 1) as volley:
        yield volley


def ask(one: Volley, content: bytes) -> Answer:
    return one.ask([content])[0]


def told(answer: Answer) -> tuple[int, str]:
    """The status, and the codes in order without repetition."""
    codes = sorted(set(answer.codes)) if answer.status >= 400 else []
    return answer.status, " ".join(codes)


def without_id(answer: Answer) -> bytes:
    return answer.content.replace(answer.known_as.encode(), b"ID")


def in_all_forms(one: Volley, body: bytes, codes: str) -> Answer:
    """The answer to a body, which is the same whatever way it takes."""
    forms = [request(body)] * 3 + [request(body, line=COLD), chunked([body] if body else [])]
    answers = [ask(one, form) for form in forms]
    status = STATUSES.get(codes, 422)
    assert [told(answer) for answer in answers] == [(status, codes)] * len(forms)
    assert len({without_id(answer) for answer in answers}) == 1
    return answers[0]


@pytest.mark.parametrize(
    "text", VALUES, ids=lambda text: text[:40].encode("unicode_escape").decode()
)
def test_values(one: Volley, text: str) -> None:
    for feature, letter in zip(FEATURES, VALUES[text], strict=True):
        codes, body = CODES[letter], row(**{feature: text})
        single = in_all_forms(one, body, codes)
        several = in_all_forms(one, b"[%b,%b]" % (ROW, body), codes)
        if codes == "":
            assert several.document[1] == pytest.approx(single.document)
        elif letter != "J":
            assert single.document["detail"][0]["loc"] == ["body", feature]
            assert several.document["detail"][0]["loc"] == ["body", 1, feature]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(one: Volley, name: str) -> None:
    body, codes, *listed = DOCUMENTS[name]
    in_all_forms(one, body, codes)
    in_all_forms(one, b"[%b]" % body, listed[0] if listed else codes)


def test_there_are_enough() -> None:
    assert len(FEATURES) * len(VALUES) + len(DOCUMENTS) == 7 * 93 + 116
    assert {len(letters) for letters in VALUES.values()} == {len(FEATURES)}


def test_no_case_is_echoed_at_length(one: Volley) -> None:
    """Nor any of it that JSON can't hold."""
    for text in ('"' + "z" * 500 + '"', "9" * 500, '"\\ud800' + "z" * 200 + '"'):
        for feature in FEATURES:
            content = ask(one, request(row(**{feature: text}))).content
            json.loads(content.decode("utf-8", "strict"))
            assert b"z" * 65 not in content
            assert b"9" * 65 not in content
