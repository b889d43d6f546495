"""`onnxport key`: a key for the caller, a line for the server, and neither anywhere else."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from tests.cli.conftest import Terminal


def test_a_key_and_its_line_are_shown_with_what_to_do(onnxport: Terminal) -> None:
    done = onnxport("key", "--id", "mobile")
    assert (done.code, done.err) == (0, "")
    (secret,) = re.findall(r"^key   (onnxport_[0-9a-f]{48})$", done.out, re.MULTILINE)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    assert re.search(rf"^line  mobile:{digest}$", done.out, re.MULTILINE)
    assert "Authorization: Bearer KEY" in done.out
    assert "--api-key-file" in done.out
    assert "ONNXPORT_API_KEY_HASHES" in done.out


def test_for_scripts(onnxport: Terminal) -> None:
    first, second = (json.loads(onnxport("key", "--json").out) for _ in range(2))
    assert first.keys() == {"id", "key", "sha256", "line"}
    assert first["line"] == f"{first['id']}:{first['sha256']}"
    assert first["sha256"] == hashlib.sha256(first["key"].encode()).hexdigest()
    assert first["key"] != second["key"]
    assert first["id"] != second["id"]


@pytest.mark.parametrize("name", ["a b", "a:b", ""])
def test_a_name_that_is_no_id_is_wrong_usage(onnxport: Terminal, name: str) -> None:
    done = onnxport("key", "--id", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("onnxport: the name that was given is no id for a key; an id has")


def test_nothing_is_written_and_nothing_heavy_imported(onnxport: Terminal) -> None:
    done = onnxport("key", flags=("-X", "importtime"))
    assert done.code == 0
    assert not re.search(r"\b(numpy|fastapi|onnxruntime)\b", done.err)
    assert list(onnxport.folder.iterdir()) == []


def test_serve_tells_of_a_file_of_keys_without_repeating_one(onnxport: Terminal) -> None:
    secret = json.loads(onnxport("key", "--json").out)["key"]
    onnxport.write("keys.txt", f"# ours\n{secret}\n")
    done = onnxport("serve", "none.onnx", "--api-key-file", "keys.txt")
    assert done.code == 2
    assert done.err.startswith("onnxport: API key file keys.txt, line 2 holds a key itself")
    assert secret not in done.err
    assert onnxport("serve", "none.onnx", "--api-key-file", "gone.txt").err == (
        "onnxport: API key file gone.txt: No such file or directory; name a file that can be read\n"
    )
