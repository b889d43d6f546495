"""`onnxport predict`: JSON, JSON lines and CSV, with a file and with a URL, and what it says of rows that don't fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onnxport.predictor import load
from tests.cli.conftest import Terminal

ROW = {
    "amount": 1.5,
    "small": 2.5,
    "visits": 3,
    "flag": True,
    "grade": 5,
    "city": "東京",
    "note": "a",
}
HEADER = "amount,small,visits,flag,grade,city,note"
LINE = "1.5,2.5,3,true,5,東京,a"


def expected(model: Path, rows: Any) -> Any:
    return load(model).predict(rows)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_row(onnxport: Terminal, target: str, every_kind: Path) -> None:
    done = onnxport("predict", target, onnxport.write("row.json", json.dumps(ROW, indent=2)))
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == expected(every_kind, ROW)


def test_a_list(onnxport: Terminal, target: str, every_kind: Path) -> None:
    rows = [{**ROW, "amount": float(i)} for i in range(2500)]
    done = onnxport("predict", target, onnxport.write("rows.json", json.dumps(rows)))
    assert done.code == 0
    assert lines(done.out) == expected(every_kind, rows)


def test_lists_of_one_and_none(onnxport: Terminal, every_kind: Path) -> None:
    one = onnxport("predict", every_kind, "-", stdin=json.dumps([ROW]))
    none = onnxport("predict", every_kind, "-", stdin="[]")
    assert lines(one.out) == expected(every_kind, [ROW])
    assert (none.code, none.out, none.err) == (0, "", "")


def test_json_lines(onnxport: Terminal, target: str, every_kind: Path) -> None:
    rows = [{**ROW, "amount": float(i)} for i in range(3)]
    text = "\n\n".join(json.dumps(row) for row in rows)
    for done in (
        onnxport("predict", target, onnxport.write("rows.jsonl", text)),
        onnxport("predict", target, "-", stdin=text),
        onnxport("predict", target, onnxport.write("rows.txt", "\n" + text + "\n")),
        onnxport("predict", target, onnxport.write("x.json", text), "--format", "jsonl"),
    ):
        assert (done.code, done.err) == (0, "")
        assert lines(done.out) == expected(every_kind, rows)


def test_csv(onnxport: Terminal, target: str, every_kind: Path) -> None:
    shuffled = "note,city,grade,flag,visits,small,amount"
    text = (
        f"{shuffled}\r\n"
        "a,東京,5,true,3,2.5,1.5\r\n"
        '"two\nlines, ""quoted""",Paris, 1 ,False,-7,+.5,1e3\r\n'
        "\r\n"
        ",,2,,4.0,-2.,007\r\n"
    )
    rows = [
        ROW,
        {
            "amount": 1000.0,
            "small": 0.5,
            "visits": -7,
            "flag": False,
            "grade": 1,
            "city": "Paris",
            "note": 'two\nlines, "quoted"',
        },
        {
            "amount": 7.0,
            "small": -2.0,
            "visits": 4.0,
            "flag": None,
            "grade": 2,
            "city": None,
            "note": "",
        },
    ]
    for encoding in ("utf-8", "utf-8-sig"):
        (onnxport.folder / "rows.csv").write_bytes(text.encode(encoding))
        done = onnxport("predict", target, "rows.csv")
        assert (done.code, done.err) == (0, "")
        assert lines(done.out) == expected(every_kind, rows)
    assert lines(onnxport("predict", target, "-", stdin=text).out) == expected(every_kind, rows)


def test_a_long_csv_keeps_its_order(onnxport: Terminal, target: str, every_kind: Path) -> None:
    text = "\n".join([HEADER, *(f"{i},2.5,3,true,5,東京,a" for i in range(3456))])
    done = onnxport("predict", target, onnxport.write("rows.csv", text))
    assert done.code == 0
    rows = [{**ROW, "amount": float(i)} for i in range(3456)]
    assert lines(done.out) == expected(every_kind, rows)


def test_only_a_header(onnxport: Terminal, target: str) -> None:
    done = onnxport("predict", target, "-", "--format", "csv", stdin=HEADER + "\n")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_what_was_right_before_a_bad_row_is_told_in_whole_chunks(
    onnxport: Terminal, target: str
) -> None:
    text = "\n".join([HEADER, *[LINE] * 1500, "x" + LINE, LINE])
    done = onnxport("predict", target, onnxport.write("rows.csv", text))
    assert done.code == 1
    assert len(lines(done.out)) == 1000
    assert done.err == (
        "onnxport: rows.csv: line 1502, column 'amount' holds 'x1.5', and takes a number\n"
    )


CSV_FAULTS = {
    "": "is empty; its first line must name the features",
    "\n\n": "is empty; its first line must name the features",
    HEADER.replace("amount", "amuont"): ": no feature is called 'amuont'; did you mean 'amount'?",
    HEADER + ",id,day": ": no feature is called 'id', 'day'; take the column out",
    HEADER.removesuffix(",note"): "lacks the feature 'note'; add a column for it",
    HEADER + ",note": ": two columns are called 'note'; keep one",
    HEADER.replace(",", ";"): ": the header has one column; put commas between the features' names",
    f"{HEADER}\n{LINE}\n1,2": ": line 3 has 2 cells, and the header 7",
    f"{HEADER}\n,2.5,3,true,5,東京,a": ": line 2, column 'amount' is empty, and takes a number",
    f"{HEADER}\n1.5,2.5,3,yes,5,東京,a": ": line 2, column 'flag' holds 'yes', and takes true or false",
    f"{HEADER}\nnan,2.5,3,true,5,東京,a": ": line 2, column 'amount' holds 'nan', and takes a number",
    f"{HEADER}\n1_0,2.5,3,true,5,東京,a": ": line 2, column 'amount' holds '1_0', and takes a number",
    f'{HEADER}\n"1.5,2.5': ": line 2 is no CSV: unexpected end of data",
}


@pytest.mark.parametrize(("text", "told"), CSV_FAULTS.items())
def test_a_csv_that_does_not_fit(
    onnxport: Terminal, every_kind: Path, text: str, told: str
) -> None:
    done = onnxport("predict", every_kind, onnxport.write("rows.csv", text))
    told = told if told.startswith(":") else " " + told
    assert (done.code, done.out, done.err) == (1, "", f"onnxport: rows.csv{told}\n")


JSON_FAULTS = {
    "": ": line 1, column 1: Expecting value",
    "{": ": line 1, column 2: Expecting property name enclosed in double quotes",
    '{\n  "amount": 1,\n  oops': ": line 3, column 3: Expecting property name enclosed in double quotes",
    "{}\n{}": ": line 2, column 1: Extra data; one object a line takes --format jsonl",
    "5": " holds a number; give one row object, or a list of them",
    '{"amount": NaN}': ": line 1: NaN is not JSON; write null for a missing value",
    '{"a": 1, "a": 2}': ": line 1: the key 'a' stands twice in one object; keep one",
    "[" * 100_000: " nests too deep; rows are flat",
}


@pytest.mark.parametrize(("text", "told"), JSON_FAULTS.items(), ids=range(len(JSON_FAULTS)))
def test_json_that_does_not_fit(onnxport: Terminal, every_kind: Path, text: str, told: str) -> None:
    done = onnxport("predict", every_kind, onnxport.write("rows.json", text))
    assert (done.code, done.out, done.err) == (1, "", f"onnxport: rows.json{told}\n")


VALUE_FAULTS = {
    "rows.csv": (
        f'{HEADER}\n1.5,2.5,3,true,5,東京,"a\nb"\n1.5,2.5,3,true,5,Rome,a',
        ": line 4, feature 'city': 'Rome' is no known category; allowed are 'Paris', '東京'",
    ),
    "rows.jsonl": (
        f"{json.dumps(ROW)}\n\n{json.dumps({**ROW, 'visits': True})}\n",
        ": line 3, feature 'visits' takes a number, and got a boolean",
    ),
    "rows.json": (
        json.dumps([ROW, {**ROW, "amount": "1", "note": 7}]),
        ": row 1, feature 'amount' takes a number, and got a string (and 1 more)",
    ),
    "row.json": (
        json.dumps({**ROW, "amount": "1"}),
        ": the feature 'amount' takes a number, and got a string",
    ),
}


@pytest.mark.parametrize("name", VALUE_FAULTS)
def test_a_value_that_does_not_fit(onnxport: Terminal, target: str, name: str) -> None:
    """The signature judges, here or on the server; the place in the file is told."""
    text, told = VALUE_FAULTS[name]
    done = onnxport("predict", target, onnxport.write(name, text))
    assert (done.code, done.out, done.err) == (1, "", f"onnxport: {name}{told}\n")


def test_rows_that_are_not_utf8(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("predict", every_kind, "-", stdin=f"{HEADER}\n{LINE}".encode("utf-16"))
    assert (done.code, done.out) == (1, "")
    assert done.err == "onnxport: standard input: line 1 is not UTF-8; save the file as UTF-8\n"


def test_a_file_of_rows_that_is_not_there(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("predict", every_kind, "gone.json")
    assert done.code == 2
    assert done.err == (
        "onnxport: Invalid value for 'ROWS': 'gone.json': No such file or directory\n"
        "Try 'onnxport predict --help'.\n"
    )


def test_a_url_where_nobody_listens(onnxport: Terminal) -> None:
    done = onnxport("predict", "http://127.0.0.1:9", "-", stdin=json.dumps(ROW))
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "onnxport: http://127.0.0.1:9 can't be reached ([Errno 111] Connection refused); "
        "is the server running there?\n"
    )


def test_a_reader_that_has_enough(onnxport: Terminal, every_kind: Path) -> None:
    """`onnxport predict … | head` ends without a word."""
    path = onnxport.write("rows.csv", "\n".join([HEADER, *[LINE] * 20_000]))
    command = [sys.executable, "-m", "onnxport", "predict", str(every_kind), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


def test_memory_stays_flat(onnxport: Terminal, every_kind: Path) -> None:
    """100,000 rows, 30 MB of CSV, in no more memory than a tenth of that over what 1,000 rows take."""
    resource = pytest.importorskip("resource")
    assert resource

    def peak(rows: int) -> int:
        path = onnxport.write("rows.csv", "\n".join([HEADER, *[LINE + "n" * 280] * rows]))
        program = (
            "import resource, sys\n"
            "from onnxport.cli import main\n"
            "try:\n    main(['predict', *sys.argv[1:]])\n"
            "finally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(every_kind), str(path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        assert len(done.stdout.splitlines()) == rows
        return int(done.stderr.splitlines()[-1])

    assert peak(100_000) - peak(1_000) < 10_000  # kB
