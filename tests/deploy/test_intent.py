"""onnxport.toml: what --init writes works unedited, and each fault is told with its line and what was meant."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxport.deploy.access import hash_lines, read_key
from onnxport.deploy.agreement import architecture_of
from onnxport.deploy.intent import FREE_TABLES, OPTIONS, TABLES, Instances, Intent
from onnxport.deploy.positions import key_lines
from onnxport.deploy.reading import read_intent
from onnxport.deploy.starting import as_toml, init, template
from onnxport.errors import SettingsError
from onnxport.keys import new_key, parse_keys

ARN = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


def read(tmp_path: Path, text: str, **flags: Any) -> Intent:
    path = tmp_path / "onnxport.toml"
    path.write_text(text, "utf-8")
    return read_intent(path, flags)


def refusal(tmp_path: Path, text: str, **flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, **flags)
    told = str(caught.value)
    assert "\n" not in told
    assert len(told) < 600
    assert told.isprintable()
    return told


# -------------------------------------------------------------------------------------------------------------- init


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
    intent = read(tmp_path, everything)
    assert intent == Intent(
        app="iris",
        budget=50.0,
        server=(("ONNXPORT_WORKERS", "2"),),
        tags=(("team", "forecasting"),),
    )


def test_a_file_that_says_nothing_of_keys_asks_for_keys(tmp_path: Path) -> None:
    assert read(tmp_path, 'app = "iris"').auth == "keys"
    assert read(tmp_path, 'app = "iris"\nauth = "none"').auth == "none"


def test_the_defaults_are_the_promised_ones() -> None:
    intent = Intent(app="iris")
    assert (intent.instances.layout, intent.instances.types) == ("single", ("t3.small",))
    assert (intent.instances.architecture, intent.health.path) == ("x86_64", "/health/ready")
    assert (intent.update.strategy, intent.update.watch, intent.update.keep) == (
        "bluegreen",
        60,
        False,
    )


# ------------------------------------------------------------------------------------------------------------ reading


def test_flags_go_before_the_file(tmp_path: Path) -> None:
    text = 'app = "iris"\nregion = "eu-west-1"\n[instances]\ntypes = ["t3.micro"]\n'
    flags = {"region": "eu-central-1", "instance_types": "t4g.small, t4g.medium", "watch": None}
    intent = read(tmp_path, text, architecture="arm64", keep=True, **flags)
    assert intent.region == "eu-central-1"
    assert intent.instances == Instances(types=("t4g.small", "t4g.medium"), architecture="arm64")
    assert intent.update.keep is True
    assert intent.update.watch == 60


def test_flags_alone_are_enough() -> None:
    assert read_intent(None, {"app": "iris"}) == Intent(app="iris")


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "onnxport.toml"
    path.write_bytes(b'\xef\xbb\xbfapp = "iris"\r\n[update]\r\nwatch = -1\r\n')
    with pytest.raises(SettingsError, match=r"line 3: update\.watch is -1"):
        read_intent(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('ap = "iris"', "line 1: ap is no option; did you mean app?"),
        ('app = "iris"\nregoin = "x"', "line 2: regoin is no option; did you mean region?"),
        (
            'app = "iris"\n[instance]\nmin = 1',
            "line 2: instance is no option; did you mean instances",
        ),
        ('app = "iris"\n[instances]\n\ntype = ["a.b"]', "line 4: instances.type is no option; did"),
        (
            'app = "iris"\n[update]\nbudget = 5',
            "line 3: update.budget is no option; budget stands at the top of the file",
        ),
        (
            'app = "iris"\nstrategy = "canary"',
            "line 2: strategy is no option; strategy stands in [upd",
        ),
        ('app = "iris"\ntimeout = 5', "timeout stands in [limits] and in [update]"),
        ('app = "iris"\nmin_instances = 5', "did you mean instances.min?"),
        ('app = "iris"\nupdate.wach = 5', "line 2: update.wach is no option; did you mean watch?"),
        ('app = "iris"\nupdate = 5', "line 2: update is a table; write [update]"),
        (
            'app = "iris"\nupdate = { watch = "x" }',
            "line 2: update.watch is 'x', and must be a whole",
        ),
        ('[app]\nname = "iris"', "line 1: app is a table, and must be a text"),
        ('app = "iris"\n[[update]]\nwatch = 1', "line 2: update is a table; write [update]"),
        (
            'app = "iris"\nregion = "eu-centrl-1"',
            "line 2: region is 'eu-centrl-1', and must be a region such as eu-central-1; did you mean eu-c",
        ),
        ('app = "iris"\nauth = "nokeys"', "must be one of keys, none"),
        ('app = "My Iris"', "app is 'My Iris', and must be 2 to 34 small letters"),
        ('app = "My Iris"', "; did you mean my-iris?"),
        ('app = "iris"\n[update]\nstrategy = "blue-green"', "did you mean bluegreen?"),
        (
            'app = "iris"\n[instances]\nmin = "1"',
            "line 3: instances.min is '1', and must be a whole",
        ),
        (
            'app = "iris"\n[instances]\nmin = true',
            "instances.min is true, and must be a whole number",
        ),
        (
            'app = "iris"\n[instances]\nmin = 1.0',
            "instances.min is 1.0, and must be a whole number",
        ),
        ('app = "iris"\nbudget = nan', "budget is nan, and must be an amount of USD"),
        ('app = "iris"\nbudget = 1979-05-27', "budget is 1979-05-27, and must be a number"),
        ('app = "iris"\n[instances]\nmin = 0x' + "f" * 9000, "instances.min is a huge number"),
        ('app = "iris"\n[instances]\nmin = ' + "9" * 9000, "has a number that nobody can read"),
        ('app = "iris"\n[instances]\ntypes = []', "instances.types is [], and must be one or more"),
        ('app = "iris"\n[instances]\ntypes = "t3.small"', "must be a list of texts, such as ["),
        (
            'app = "iris"\n[instances]\ntypes = [\n"t3.small",\n"t3.small"]',
            "line 3: instances.types",
        ),
        (
            'app = "iris"\n[logs]\nretention_days = 10',
            "must be a number of days that CloudWatch knows",
        ),
        ('app = "iris"\n[image]\nrepository = "me/iris:1"', "or a repository without a tag"),
        ('app = "iris"\n[image]\nrepository = "me/iris@sha256:' + "0" * 64 + '"', "without a tag"),
        ('app = "iris"\n[health]\npath = "health"', "must be a path such as /health/ready"),
        ('app = "iris"\n[network]\ndomain = "iris.elasticbeanstalk.com"', "a name of your own"),
        (
            'app = "iris"\n[server]\nworkrs = 2',
            "server.workrs is no setting that can be given here; di",
        ),
        ('app = "iris"\n[server]\nhost = "::"', "server.host is no setting that can be given here"),
        (
            'app = "iris"\n[server]\nworkers = 0',
            "line 3: server.workers is 0, and must be a number",
        ),
        ('app = "iris"\n[server]\nworkers = "2"', "server.workers must be a whole number"),
        ('app = "iris"\n[tags]\nteam = 5', "line 3: tags.team must be a text in quotes"),
        ('app = "iris"\n[tags]\n"aws:x" = "y"', "is a name that AWS or onnxport sets itself"),
        (
            'app = "iris"\n[tags]\n"onnxport:app" = "y"',
            "is a name that AWS or onnxport sets itself",
        ),
        ('app = "iris"\n[tags]\nx = "a<b"', "tags have letters, digits, spaces"),
        ('app = "iris"\n[tags]\n' + "\n".join(f'k{i} = ""' for i in range(41)), "has 41 tags"),
        ("", "app is missing; name the application"),
        ('app = "iris\n', "line 1, column 12: this is no TOML: Illegal character"),
        (
            "app = iris",
            'line 1, column 7: this is no TOML: Invalid value; texts need quotes, as in app = "',
        ),
        ('app = "iris"\n\napp = "b"', "line 3: this is no TOML: Cannot overwrite"),
        ("a = " + "[" * 3000, "nested too deeply"),
        ("# " + "x" * 300_000, "has 300,002 bytes"),
        ('wtch = 1\nregion = "x"\nkep = 1', "(and faults in line 2, 3)"),
    ],
    ids=range(49),
)
def test_faults_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith("onnxport.toml")
    assert told in said


@pytest.mark.parametrize(
    ("text", "flags", "told"),
    [
        ("[instances]\nmax = 3", {}, "line 3: instances.max is 3, and a single machine is one"),
        ("[instances]\nmin = 3", {"layout": "load-balanced"}, "line 3: instances.min is 3 and"),
        ("", {"strategy": "canary"}, "--strategy: update.strategy canary needs several machines"),
        ('[update]\nstrategy = "rolling"', {}, "line 3: update.strategy rolling needs several"),
        (
            '[instances]\ntypes = ["t4g.small"]',
            {},
            "line 3: instances.types has t4g.small, whose proc",
        ),
        ('[instances]\narchitecture = "arm64"', {}, "line 3: instances.types has t3.small"),
        ('[network]\ndomain = "a.example.com"', {}, "network.domain needs a load balancer"),
        (
            f'[network]\ncertificate = "{ARN}"',
            {"layout": "load-balanced"},
            "without network.domain",
        ),
        ('[network]\ndomain = "a.io"', {"layout": "load-balanced"}, "without network.certificate"),
        (
            f'[network]\ncertificate = "{ARN}"\ndomain = "a.io"',
            {"layout": "load-balanced", "region": "eu-west-1"},
            "--region: network.certificate is of the region us-east-1, and the environment in eu-west-1",
        ),
        (
            '[network]\nvpc = "vpc-0a1b2c3d"',
            {},
            "line 3: network.vpc is given without network.subnets",
        ),
        ('[network]\nsubnets = ["subnet-0a1b2c3d"]', {}, "without network.vpc"),
        (
            '[network]\nvpc = "vpc-0a1b2c3d"\nsubnets = ["subnet-0a1b2c3d"]',
            {"layout": "load-balanced"},
            "line 4: a load balancer needs subnets in two zones",
        ),
        ("[network]\npublic_ip = false", {}, "nobody could reach a single machine"),
        ("", {"region": "eu-central"}, "--region is 'eu-central', and must be a region such as"),
        (
            "",
            {"instance_types": "t3,m5"},
            "--instance-types is ['t3', 'm5'], and must be one or more",
        ),
        ("", {"watch": -1}, "--watch is -1, and must be a number of seconds from 0 to 86,400"),
    ],
    ids=range(17),
)
def test_options_that_dont_go_together(
    tmp_path: Path, text: str, flags: dict[str, Any], told: str
) -> None:
    assert told in refusal(tmp_path, f'app = "iris"\n{text}', **flags)


HOSTILE = (
    *("a\nb", "a\r\nb", 'a"b', "a'b", "a\x00b", "a\x1b[31mb", "a\u202eb", "a\u2028b", "é" * 3),
    *("x" * 10_240, "../../etc/passwd\n", "$(reboot)", "{{x}}", "a;b", "-x", " a", "\U0001f600"),
)
_FILES = {'a"b', "a'b", "é" * 3, "$(reboot)", "{{x}}", "a;b", "-x", " a", "\U0001f600"}
INERT: dict[str, set[str]] = {
    **dict.fromkeys(("model", "key_file", "more_keys", "image.base"), _FILES),
    **{name: {"-x"} for name in ("roles.service", "roles.instance_profile")},
}


@pytest.mark.parametrize(
    "option", [o for o in OPTIONS if o.type in (str, tuple)], ids=lambda o: o.name
)
def test_hostile_texts_are_refused_or_inert(tmp_path: Path, option: Any) -> None:
    """Names of files may be strange, since they are opened and never handed to a shell; else nothing is let through."""
    for text in HOSTILE:
        told = f"[{_as_toml(text)}]" if option.type is tuple else _as_toml(text)
        head = f"[{option.table}]\n" if option.table else ""
        app = "" if option.name == "app" else 'app = "iris"\n'
        document = f"{app}{head}{option.key} = {told}"
        if option.name in INERT and text in INERT[option.name]:
            read(tmp_path, document)
        else:
            refusal(tmp_path, document)


def _as_toml(text: str) -> str:
    """By escapes for all that TOML lets nobody write as it is."""
    return (
        '"'
        + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
        + '"'
    )


def test_every_option_can_be_given_both_ways(tmp_path: Path) -> None:
    flags = [option.flag for option in OPTIONS]
    assert len({*flags}) == len(flags)
    for option in OPTIONS:
        assert option.help.endswith(".")
        value = option.default or ("iris" if option.name in ("app", "environment") else None)
        if value is None:
            continue
        head = f"[{option.table}]\n" if option.table else ""
        app = "" if option.name == "app" else 'app = "iris"\n'
        by_file = read(tmp_path, f"{app}{head}{option.key} = {as_toml(value)}")
        by_flag = read_intent(None, {"app": "iris", option.parameter: value})
        assert by_file == by_flag


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        *((name, "arm64") for name in ("t4g.small", "a1.large", "c7gn.xlarge", "im4gn.large")),
        *((name, "arm64") for name in ("m6g.large", "x2gd.medium", "is4gen.large", "g5g.xlarge")),
        *((name, "x86_64") for name in ("t3.small", "t3a.small", "c7i-flex.large", "g4dn.xlarge")),
        *(
            (name, "x86_64")
            for name in ("m5zn.large", "g6.xlarge", "inf2.xlarge", "u7i-12tb.metal")
        ),
    ],
)
def test_the_processor_of_an_instance_type(name: str, architecture: str) -> None:
    assert architecture_of(name) == architecture


# ---------------------------------------------------------------------------------------------------------- positions

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


# -------------------------------------------------------------------------------------------------------------- keys


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


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="make one with `onnxport deploy --init`"):
        read_key(Intent(app="iris"), tmp_path, {})
    intent = Intent(app="iris", more_keys="callers")
    with pytest.raises(SettingsError, match=r"^callers isn't here"):
        hash_lines(intent, tmp_path, "x" * 20)
