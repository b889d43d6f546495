"""`deploy --init` and the keys: files that work unedited, for their owner alone, and never in git."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from onnxport.deploy.access import exposed, hash_lines, read_key
from onnxport.deploy.intent import FREE_TABLES, OPTIONS, TABLES, Intent
from onnxport.deploy.reading import read_intent
from onnxport.deploy.starting import init, template
from onnxport.errors import SettingsError
from onnxport.keys import new_key, parse_keys


def test_what_init_writes_works_unedited(tmp_path: Path) -> None:
    folder = tmp_path / "My Iris (2)"
    folder.mkdir()
    assert init(folder).made == ("onnxport.toml", "onnxport.key", ".gitignore")
    intent = read_intent(folder / "onnxport.toml")
    assert intent == Intent(app="my-iris", budget=50.0)
    key = read_key(intent, folder, {})
    assert key is not None
    assert key.startswith("onnxport_")


def test_the_key_is_for_its_owner_alone_and_never_in_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("*.log", "utf-8")
    init(tmp_path)
    assert stat.S_IMODE((tmp_path / "onnxport.key").stat().st_mode) == 0o600
    untracked = subprocess.run(
        ["git", "status", "--porcelain"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "onnxport.toml" in untracked
    assert "onnxport.key" not in untracked
    assert (tmp_path / ".gitignore").read_text("utf-8") == "*.log\n/onnxport.key\n/.onnxport/\n"


def test_a_key_of_a_strange_name_is_ignored_as_it_is_called(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "onnxport.toml").write_text('app = "iris"\nkey_file = "my key[1]*"\n', "utf-8")
    init(tmp_path)
    untracked = subprocess.run(
        ["git", "status", "--porcelain"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert "my key" not in untracked


def test_init_changes_nothing_that_is_there(tmp_path: Path) -> None:
    init(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = init(tmp_path)
    assert again.made == ()
    assert again.kept == ("onnxport.toml", "onnxport.key", ".gitignore")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "onnxport.key").unlink()
    assert init(tmp_path).made == ("onnxport.key",)


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "onnxport.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match=r"onnxport\.key can't be written: File exists"):
        init(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_flags_are_written_down(tmp_path: Path) -> None:
    flags = {"region": "eu-west-1", "retention_days": 30, "model": 'my "iris".onnx', "keep": None}
    init(tmp_path, flags)
    intent = read_intent(tmp_path / "onnxport.toml")
    assert (intent.region, intent.logs.retention_days) == ("eu-west-1", 30)
    assert (intent.model, intent.budget) == ('my "iris".onnx', 50.0)
    with pytest.raises(SettingsError, match=r"is here already, and --init changes no file"):
        init(tmp_path, {"region": "eu-west-2"})


def test_flags_that_dont_fit_leave_no_file_behind(tmp_path: Path) -> None:
    for flags in ({"strategy": "canary"}, {"region": "nowhere"}):
        with pytest.raises(SettingsError):
            init(tmp_path, flags)
    assert list(tmp_path.iterdir()) == []


def test_without_auth_no_key_is_made(tmp_path: Path) -> None:
    (tmp_path / "onnxport.toml").write_text('app = "iris"\nauth = "none"\n', "utf-8")
    assert init(tmp_path).made == (".gitignore",)
    assert not (tmp_path / "onnxport.key").exists()


def test_a_folder_that_isnt_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"onnxport\.toml can't be written: No such file"):
        init(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("folder", "app"),
    [("iris", "iris"), ("2024-Churn_Model", "churn-model"), ("模型", "model"), ("x", "model")],
)
def test_the_application_is_called_like_the_folder(tmp_path: Path, folder: str, app: str) -> None:
    (tmp_path / folder).mkdir()
    init(tmp_path / folder)
    assert read_intent(tmp_path / folder / "onnxport.toml").app == app


def test_the_template_shows_every_option_with_its_default(tmp_path: Path) -> None:
    text = template({"app": "iris"})
    bare = [line for line in text.splitlines() if " = " in line and not line.startswith("[")]
    assert len(bare) == len(OPTIONS) + len(FREE_TABLES)
    heads = {f"[{table}]" for table in (*TABLES, *FREE_TABLES)}
    assert heads <= {line.partition("  #")[0] for line in text.splitlines()}
    everything = "\n".join(
        line.removeprefix("# ") if line in bare else line for line in text.splitlines()
    )
    (tmp_path / "onnxport.toml").write_text(everything, "utf-8")
    assert read_intent(tmp_path / "onnxport.toml") == Intent(
        app="iris",
        budget=50.0,
        server=(("ONNXPORT_WORKERS", "2"),),
        tags=(("team", "forecasting"),),
    )


# ---------------------------------------------------------------------------------------------------------------- keys


def test_only_hashes_leave_the_machine(tmp_path: Path) -> None:
    init(tmp_path)
    other = new_key("alice")
    (tmp_path / "callers").write_text(f"# callers\n{other.line}\n", "utf-8")
    intent = read_intent(tmp_path / "onnxport.toml", {"more_keys": "callers"})
    key = read_key(intent, tmp_path, {})
    assert key is not None
    lines = hash_lines(intent, tmp_path, key)
    assert lines == (other.line, f"deploy:{hashlib.sha256(key.encode()).hexdigest()}")
    assert not any(secret in line for line in lines for secret in (key, other.key))
    assert parse_keys(",".join(lines), source="x").find(key.encode()) == "deploy"


def test_a_pipeline_gives_the_key_by_its_variable(tmp_path: Path) -> None:
    key = new_key().key
    assert read_key(Intent(app="iris"), tmp_path, {"ONNXPORT_API_KEY": key}) == key
    (tmp_path / "onnxport.key").write_text("the-key-of-the-file", "utf-8")
    environment = {"ONNXPORT_API_KEY": key}
    assert read_key(Intent(app="iris"), tmp_path, environment) == "the-key-of-the-file"


def test_without_auth_there_is_no_key(tmp_path: Path) -> None:
    intent = Intent(app="iris", auth="none")
    assert read_key(intent, tmp_path, {"ONNXPORT_API_KEY": "x" * 40}) is None
    assert hash_lines(intent, tmp_path, None) == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no API key"),
        (b"short", "holds no API key"),
        (b"two words of a certain length", "holds no API key"),
        ("schlüssel-schlüssel".encode(), "holds no API key"),
        (b"a-line-of-some-length\nand-another-one", "holds no API key"),
        (b"\xff" * 40, "is no text file"),
        (new_key("a").line.encode(), "belong in the file of more_keys"),
    ],
    ids=range(7),
)
def test_what_cant_be_a_key_is_refused_and_never_told(
    tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "onnxport.key").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_key(Intent(app="iris"), tmp_path, {})
    assert told in str(caught.value)
    assert not content or content.decode("latin-1") not in str(caught.value)


def test_of_the_two_lines_of_a_new_key_it_is_told_which_belongs_here(tmp_path: Path) -> None:
    made = new_key("x")
    (tmp_path / "onnxport.key").write_text(f"key   {made.key}\nline  {made.line}\n", "utf-8")
    with pytest.raises(
        SettingsError, match=r"put there what `onnxport key` shows as `key` \(its `line`"
    ):
        read_key(Intent(app="iris"), tmp_path, {})


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "onnxport.toml").write_text('app = "iris"\nregion = "us-east-1"\n', "utf-8")
    init(tmp_path)
    key = tmp_path / "onnxport.key"
    assert exposed(Intent(app="iris"), tmp_path) == ""
    key.chmod(0o644)
    assert exposed(Intent(app="iris", auth="none"), tmp_path) == ""
    words = [sys.executable, "-m", "onnxport", "deploy", "--export", "cloudformation"]
    done = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    [told] = done.stderr.splitlines()
    assert told == (
        "onnxport: warning: onnxport.key can be read by others on this machine (mode 644); "
        "run `chmod 600 onnxport.key`"
    )
    key.unlink()
    assert exposed(Intent(app="iris"), tmp_path) == ""


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="make one with `onnxport deploy --init`"):
        read_key(Intent(app="iris"), tmp_path, {})
    intent = Intent(app="iris", more_keys="callers")
    with pytest.raises(SettingsError, match=r"^callers isn't here"):
        hash_lines(intent, tmp_path, "x" * 20)
