"""Credentials, as docker login leaves them and as its helpers give them; secrets stay out of messages and arguments."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from onnxport.errors import BuildError
from onnxport.image.credentials import Credentials, find_credentials

SECRET = "cörrect:horse"
HOST = "ghcr.io"
HUB = "https://index.docker.io/v1/"


def _auth(user: str = "anna", password: str = SECRET) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _configure(folder: Path, document: Any) -> Path:
    (folder / "config.json").write_text(
        document if isinstance(document, str) else json.dumps(document)
    )
    return folder


def _find(folder: Path, document: Any, registry: str = HOST) -> Credentials | None:
    return find_credentials(registry, config_dir=_configure(folder, document))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper `docker-credential-test`: answers from a file, and writes down what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker-credential-test"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"os.chdir({str(folder)!r})\n"
        "json.dump([sys.argv[1:], sys.stdin.read()], open('asked', 'w'))\n"
        "answer = json.load(open('answers'))\n"
        "sys.stdout.write(answer['stdout'])\nsys.exit(answer['code'])\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def _answers(helper: Path, stdout: str | dict[str, Any], code: int = 0) -> None:
    text = stdout if isinstance(stdout, str) else json.dumps(stdout)
    (helper / "answers").write_text(json.dumps({"stdout": text, "code": code}))


GIVEN = {"ServerURL": HOST, "Username": "anna", "Secret": SECRET}


def test_nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_credentials(HOST, config_dir=tmp_path / "nowhere") is None
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_credentials(HOST) is None
    assert _find(tmp_path, "") is None
    assert _find(tmp_path, {"auths": {"other.example": {"auth": _auth()}}}) is None
    assert _find(tmp_path, {"auths": {HOST: {}}}) is None
    assert _find(tmp_path, {"auths": None, "credsStore": None, "credHelpers": None}) is None


def test_the_configuration_is_where_docker_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    (home / ".docker").mkdir(parents=True)
    other.mkdir()
    _configure(home / ".docker", {"auths": {HOST: {"auth": _auth("home")}}})
    _configure(other, {"auths": {HOST: {"auth": _auth("other")}}})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    at_home = find_credentials(HOST)
    monkeypatch.setenv("DOCKER_CONFIG", str(other))
    elsewhere = find_credentials(HOST)
    assert (at_home and at_home.user, elsewhere and elsewhere.user) == ("home", "other")


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        (HOST, HOST),
        (HOST, f"https://{HOST}"),
        (HOST, f"https://{HOST}/v2/"),
        (HOST, f"http://{HOST}/"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("docker.io", HUB),
        ("docker.io", "docker.io"),
        ("docker.io", "index.docker.io"),
    ],
)
@pytest.mark.parametrize(
    "entry", [{"auth": _auth()}, {"username": "anna", "password": SECRET}], ids=["packed", "plain"]
)
def test_stored_credentials(tmp_path: Path, registry: str, key: str, entry: dict[str, str]) -> None:
    found = _find(tmp_path, {"auths": {"other.example": {"auth": "eDp5"}, key: entry}}, registry)
    assert found == Credentials("anna", SECRET, "", str(tmp_path / "config.json"))
    assert found.basic == "Basic " + _auth()


@pytest.mark.parametrize("key", ["ghcr.io.example", "xghcr.io", "https://example/ghcr.io", ""])
def test_another_registry_gets_nothing(tmp_path: Path, key: str) -> None:
    assert _find(tmp_path, {"auths": {key: {"auth": _auth()}}}) is None


def test_an_identity_token_is_kept_apart(tmp_path: Path) -> None:
    entry = {"auth": _auth("00000000", ""), "identitytoken": "abc.def"}
    found = _find(tmp_path, {"auths": {HOST: entry}})
    assert found is not None
    assert (found.identity_token, found.password) == ("abc.def", "")


@pytest.mark.parametrize("setting", [{"credsStore": "test"}, {"credHelpers": {HOST: "test"}}])
def test_a_helper_is_asked_on_its_input(
    tmp_path: Path, helper: Path, setting: dict[str, Any]
) -> None:
    _answers(helper, GIVEN)
    found = _find(tmp_path, {"auths": {HOST: {}}, **setting})
    assert found == Credentials("anna", SECRET, "", "docker-credential-test")
    assert json.loads((helper / "asked").read_text()) == [["get"], HOST]


def test_the_hub_has_its_old_address_at_helpers(tmp_path: Path, helper: Path) -> None:
    _answers(helper, GIVEN)
    assert _find(tmp_path, {"credsStore": "test"}, "docker.io") is not None
    assert json.loads((helper / "asked").read_text())[1] == HUB


def test_a_registry_of_its_own_helper_goes_before_the_store(tmp_path: Path, helper: Path) -> None:
    _answers(helper, GIVEN)
    settings = {"credsStore": "absent", "credHelpers": {HOST: "test"}}
    assert _find(tmp_path, settings) is not None


def test_a_helper_that_knows_nothing_is_no_error(tmp_path: Path, helper: Path) -> None:
    _answers(helper, "credentials not found in native keychain\n", code=1)
    assert _find(tmp_path, {"credsStore": "test"}) is None
    found = _find(tmp_path, {"credsStore": "test", "auths": {HOST: {"auth": _auth()}}})
    assert found is not None
    assert found.user == "anna"


def test_a_helper_may_give_an_identity_token(tmp_path: Path, helper: Path) -> None:
    _answers(helper, {**GIVEN, "Username": "<token>"})
    found = _find(tmp_path, {"credsStore": "test"})
    assert found == Credentials("", "", SECRET, "docker-credential-test")


@pytest.mark.parametrize(
    ("stdout", "code", "message"),
    [
        (f"error: {SECRET}", 1, "docker-credential-test failed with exit code 1; run"),
        (f"{{{SECRET}", 0, "gave no user and secret"),
        ("[]", 0, "gave no user and secret"),
        (json.dumps({"Username": "anna", "Secret": [SECRET]}), 0, "gave no user and secret"),
        (json.dumps({"Secret": SECRET}), 0, "gave no user and secret"),
    ],
)
def test_a_helper_that_fails_is_named_and_not_quoted(
    tmp_path: Path, helper: Path, stdout: str, code: int, message: str
) -> None:
    _answers(helper, stdout, code)
    with pytest.raises(BuildError, match=message) as caught:
        _find(tmp_path, {"credsStore": "test"})
    assert SECRET not in _all_words(caught.value)


def test_a_helper_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="docker-credential-absent, which isn't on PATH; install"):
        _find(tmp_path, {"credsStore": "absent"})


@pytest.mark.parametrize("name", ["../evil", "a b", "a;b", "-x", "a\n", "", "x" * 200, 7, ["a"]])
def test_a_helper_with_a_hostile_name_is_not_run(tmp_path: Path, name: Any) -> None:
    document = {"credHelpers": {HOST: name}}
    if name == "":
        assert _find(tmp_path, document) is None
        return
    with pytest.raises(BuildError, match="can't be one; correct it"):
        _find(tmp_path, document)


@pytest.mark.parametrize(
    "document",
    [
        f'{{"auths": {{"{HOST}": {{"auth": "{_auth()}"',
        "[]",
        '"x"',
        {"auths": [HOST]},
        {"auths": {HOST: SECRET}},
        {"auths": {HOST: {"auth": SECRET}}},
        {"auths": {HOST: {"auth": base64.b64encode(b"nocolon").decode()}}},
        {"auths": {HOST: {"auth": base64.b64encode(b"\xff:\xff").decode()}}},
        {"auths": {HOST: {"auth": 7}}},
        {"credHelpers": [HOST]},
        "[" * 100_000,
        " " * (5 << 20) + "{}",
    ],
    ids=range(12),
)
def test_a_broken_configuration_is_named_and_not_quoted(tmp_path: Path, document: Any) -> None:
    with pytest.raises(BuildError, match=r"config\.json") as caught:
        _find(tmp_path, document)
    words = _all_words(caught.value)
    assert SECRET not in words
    assert _auth() not in words


def test_a_configuration_that_cant_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(BuildError, match=r"config.json can't be read \(Is a directory\)"):
        find_credentials(HOST, config_dir=tmp_path)


def test_what_the_user_gives_goes_first(tmp_path: Path) -> None:
    folder = _configure(tmp_path, {"auths": {HOST: {"auth": _auth()}}})
    found = find_credentials(HOST, "berta", "secret\r\n", folder)
    assert found == Credentials("berta", "secret")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("berta", None),
        (None, "secret"),
        ("berta", ""),
        ("", "secret"),
        ("berta", "\n"),
        ("ber:ta", "secret"),
        ("berta\n", "secret"),
        ("berta", "sec\nret"),
        ("berta", "sec\x00ret"),
    ],
)
def test_half_a_pair_or_half_a_line_is_refused(user: str | None, password: str | None) -> None:
    with pytest.raises(BuildError, match=r"--registry-user|give both") as caught:
        find_credentials(HOST, user, password)
    assert "secret" not in str(caught.value)


def test_no_secret_is_shown_or_repeated() -> None:
    mine = Credentials("anna", SECRET, "abc.def")
    assert SECRET not in repr(mine)
    assert "abc.def" not in repr(mine)
    echo = mine.redact(f"no {SECRET}, no {_auth()}, no abc.def")
    assert echo == "no ***, no ***, no ***"


def _all_words(error: BaseException | None) -> str:
    """The message of an error and of all that it was raised from."""
    words = ""
    while error is not None:
        words += f"{error!r} {error.__dict__}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return words
