"""`onnxport bench` as a user runs it, against `onnxport serve`."""

from __future__ import annotations

import dataclasses
import hashlib
import html.parser
import json
import os
import pty
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import trustme
from onnx import helper

from tests.cli.conftest import Terminal
from tests.server import models
from tests.serving import ServerProcess

SHORT = ("--duration", "0.5", "--warm-up", "0.1")


def test_the_report(onnxport: Terminal, url: str, every_kind: Path) -> None:
    done = onnxport("bench", url, "--model", every_kind, *SHORT, "--connections", "4")
    assert (done.code, done.err) == (0, "")
    first, *rest = done.out.splitlines()
    assert first == f"{url}: every kind 1"
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in rest}
    assert [*told] == ["load", "requests", "answers", "latency", "bytes", "generator", "server"]
    assert told["load"] == "closed loop, 4 connections, for 0.5 s after 0.1 s of warm-up"
    assert re.fullmatch(r"[\d,]+ a second", told["requests"])
    assert re.fullmatch(r"[\d,]+ right, 0 wrong", told["answers"])
    assert re.match(r"p50 [\d.]+ ms, p90 [\d.]+ ms, p95 [\d.]+ ms, p99 ", told["latency"])
    assert told["server"].endswith("it serves this file")


def test_json_and_the_page(onnxport: Terminal, url: str, every_kind: Path) -> None:
    done = onnxport(
        "bench", url, "--model", every_kind, *SHORT, "--rate", "100", "--json", "--output", "r.html"
    )
    assert (done.code, done.err) == (0, "wrote r.html\n")
    document = json.loads(done.out)
    assert (document["format"], document["passed"], document["partial"]) == (1, True, False)
    assert document["load"]["loop"] == "open"
    assert document["model"]["digest"] == document["server"]["digest"]
    assert document["requests"]["right"] == document["requests"]["total"] > 20
    latency = document["latency"]
    assert latency["p50"] <= latency["p99"] <= latency["max"]
    assert re.search(r"^      \[[\d.]+, [\d.]+, \d+\],?$", done.out, re.MULTILINE)
    page = (onnxport.folder / "r.html").read_text("utf-8")
    assert f"{document['requests']['right']:,} answers were checked, and right" in page
    Whole().feed(page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4
    for picture in pictures:
        ET.fromstring(picture)


class Whole(html.parser.HTMLParser):
    """Fails where a page runs a script, or needs something from elsewhere."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe", "object")
        assert not {"src", "href", "onload"} & {name for name, _ in attrs}


def test_wrong_answers_come_first(onnxport: Terminal, url: str, every_kind: Path) -> None:
    """The file that is asked about takes the least of the numbers where the served one takes their mean."""
    made = models.every_kind()
    nodes = [*made.nodes[:2], helper.make_node("ReduceMin", ["filled", "axis"], ["value"])]
    other = models.write_to(onnxport.folder, dataclasses.replace(made, nodes=nodes))
    done = onnxport("bench", url, "--model", other, *SHORT)
    assert done.code == 1
    assert re.fullmatch(r"onnxport: [\d,]+ of [\d,]+ answers were wrong\n", done.err)
    lines = done.out.splitlines()
    assert re.match(
        r"  WRONG +[\d,]+ of [\d,]+ requests had a wrong answer; the first: prediction is ",
        lines[1],
    )
    assert "it serves ANOTHER FILE, digest " in lines[-1]
    assert str(every_kind) not in done.out


def test_nothing_is_there(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("bench", "http://127.0.0.1:9", "--model", every_kind)
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"onnxport: http://127\.0\.0\.1:9 can't be reached .*\n", done.err)


def test_keys_and_certificates(onnxport: Terminal, every_kind: Path) -> None:
    """A certificate is believed where its authority is known, and only there; a key comes from the environment."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(onnxport.folder / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(onnxport.folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(onnxport.folder / "cert.pem"))
    key = "k" * 32
    onnxport.write("keys", f"me:{hashlib.sha256(key.encode()).hexdigest()}\n")
    files = {"--tls-cert": "cert.pem", "--tls-key": "key.pem", "--api-key-file": "keys"}
    options = [str(word) for o, name in files.items() for word in (o, onnxport.folder / name)]
    known = {"SSL_CERT_FILE": str(onnxport.folder / "ca.pem")}
    with ServerProcess("serve", every_kind, "--port", "0", *options) as server:
        command = ("bench", server.url, "--model", every_kind, *SHORT)
        stranger = onnxport(*command)
        refused = onnxport(*command, env=known)
        let_in = onnxport(*command, env={**known, "ONNXPORT_API_KEY": key})
    assert (stranger.code, stranger.err.count("\n")) == (1, 1)
    assert "certificate verify failed" in stranger.err
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith("onnxport: 401 unauthorized: ")
    assert let_in.code == 0, let_in.err
    assert key not in let_in.out + let_in.err


def test_interrupted_in_a_terminal(url: str, every_kind: Path) -> None:
    """The terminal is shown how it goes. Ctrl-C reaches all processes of its group; what was counted is told."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "onnxport", "bench", url, "--model", str(every_kind), "--json"]
    bench = subprocess.Popen(
        [*command, "--warm-up", "0.3", "--duration", "60", "--processes", "2"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    while "requests/s" not in shown:
        shown += os.read(ours, 65536).decode()
    os.killpg(bench.pid, signal.SIGINT)
    out, _ = bench.communicate(timeout=20)
    lines = (shown + read_all(ours)).split("\r\x1b[K")
    assert bench.returncode == 130
    assert json.loads(out)["partial"] is True
    assert lines[1] == "starting ..."
    assert "warming up for 0.3 s ..." in lines
    progress = r"\[ {10}\] \d of 60 s  [\d,]+ requests/s  p50 [\d.]+ ms  p99 [\d.]+ ms.*"
    assert any(re.fullmatch(progress, line) for line in lines)
    assert max(len(line) for line in lines) <= 79
    assert lines[-1] == ""


def read_all(terminal: int) -> str:
    """What is written to a terminal until its last writer has gone."""
    parts = []
    while True:
        try:
            parts.append(os.read(terminal, 65536))
        except OSError:  # Linux's word for the end
            break
    os.close(terminal)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("model.onnx",), "a load test needs the URL of a running server"),
        (("http://127.0.0.1:9",), "--model"),
        (("http://127.0.0.1:9", "--model", "m.onnx", "--rate", "0"), "--rate is 0"),
        (("http://127.0.0.1:9", "--model", "m.onnx", "--output", "r.png"), "name it r.html"),
    ],
)
def test_wrong_usage(onnxport: Terminal, arguments: tuple[str, ...], told: str) -> None:
    done = onnxport("bench", *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_a_file_that_is_none(onnxport: Terminal, url: str) -> None:
    onnxport.write("m.onnx", "no model")
    done = onnxport("bench", url, "--model", "m.onnx")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert done.err.startswith("onnxport: m.onnx: not an ONNX model")
