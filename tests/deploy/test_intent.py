"""onnxport.toml and flags: each fault is told with its line, or its flag, and what was meant."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxport.deploy.agreement import architecture_of
from onnxport.deploy.intent import OPTIONS, Image, Instances, Intent
from onnxport.deploy.locating import find_base
from onnxport.deploy.reading import read_intent
from onnxport.deploy.starting import as_toml, template
from onnxport.errors import SettingsError

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


def test_the_defaults_are_the_promised_ones() -> None:
    intent = Intent(app="iris")
    assert (intent.instances.layout, intent.instances.types) == ("single", ("t3.small",))
    assert (intent.instances.architecture, intent.health.path) == ("x86_64", "/health/ready")
    assert (intent.update.strategy, intent.update.watch, intent.update.keep) == (
        "bluegreen",
        60,
        False,
    )


def test_a_file_that_says_nothing_of_keys_asks_for_keys(tmp_path: Path) -> None:
    assert read(tmp_path, 'app = "iris"').auth == "keys"
    assert read(tmp_path, 'app = "iris"\nauth = "none"').auth == "none"


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
        (
            'app = "iris"\n[server]\nworkers = "2"',
            "server.workers is '2', and must be a whole number",
        ),
        ('app = "iris"\n[tags]\nteam = 5', "line 3: tags.team is 5, and must be a text in quotes"),
        ('app = "iris"\n[tags]\n"aws:x" = "y"', "is a name that AWS or onnxport sets itself"),
        (
            'app = "iris"\n[tags]\n"onnxport:app" = "y"',
            "is a name that AWS or onnxport sets itself",
        ),
        ('app = "iris"\n[tags]\nx = "a<b"', "tags have letters, digits, spaces"),
        ('app = "iris"\n[tags]\n' + "\n".join(f'k{i} = ""' for i in range(41)), "has 41 tags"),
        ("", "app is missing; name the application"),
        ("a = " + "[" * 3000, "nested too deeply"),
        ("# " + "x" * 300_000, "has 300,002 bytes"),
        ('wtch = 1\nregion = "x"\nkep = 1', "(and faults in line 2, 3)"),
    ],
    ids=range(46),
)
def test_faults_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith("onnxport.toml")
    assert told in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "app = iris",
            'line 1, column 7: this is no TOML: Invalid value; texts need quotes, as in app = "iris"',
        ),
        ("app = “iris”", 'Invalid value; take straight quotes, as in app = "iris"'),
        (
            "[update]\nkeep = yes",
            "line 2, column 8: this is no TOML: Invalid value; write true or fal",
        ),
        ("[update]\nkeep = True # x", "Invalid value; write true or false, in small letters"),
        ("app =\nbudget = 5", "Invalid value; write the value behind the equals sign, or remove"),
        ("budget = .5", "Invalid value; write a number such as 50 or 0.5"),
        ("budget == 5", "Invalid value; one equals sign is enough"),
        ("budget = 50,0", "column 12: this is no TOML: Expected newline or end of document"),
        ("budget = 50,0", "; a number has a decimal point and no commas, as in 50.0"),
        ("budget = 50 USD", "; write no more than a # comment behind a value"),
        (
            'app = "iris\nbudget = 5',
            "line 1, column 12: this is no TOML: the closing quote is miss",
        ),
        (
            "app = 'iris\nbudget = 5",
            "line 1: this is no TOML: the closing quote is missing; put it",
        ),
        ("app = 'iris\nauth = 'none'", "line 1, column 12: this is no TOML: the closing quote is"),
        ('app = "iris', "line 1: this is no TOML: the closing quote is missing"),
        ('app: "iris"', "; write name = value; the name of a table stands in [brackets]"),
        ('image.base = "C:\\users\\x.tar"', "; put a path with \\ between single quotes"),
        ('instances.types = ["a.b" "c.d"]', "; close the list with ], and put commas between"),
        (
            "[update\nwatch = 5",
            "line 1, column 8: this is no TOML: Expected ']' at the end of a tab",
        ),
        ("= 5", "Invalid statement; correct it there; `onnxport deploy --init` in an empty folder"),
        (
            "app = 'a'\n[update]\nwatch = 60 # x\n\nwatch= 30\n",
            "onnxport.toml, line 5: watch stands there twice, first in line 3; keep one of them",
        ),
        ("[limits]\ntimeout = 9\n[update]\ntimeout = 9\ntimeout = 9", "first in line 4;"),
        (
            "[update]\nkeep = true\n[update]\nwatch = 5",
            "3: [update] stands there twice, first in lin",
        ),
        ("update = 5\n[update]", "line 2: [update] has a value already, or is a table; keep one"),
        ("instances.types = [\n]\ninstances.types = [\n]", "line 4: what is given there is given"),
    ],
    ids=range(24),
)
def test_what_is_no_toml_is_told_with_what_was_meant(tmp_path: Path, text: str, told: str) -> None:
    said = refusal(tmp_path, text)
    assert told in said
    assert text.startswith("app = iris") or "texts need quotes" not in said
    assert told in refusal(tmp_path, text.replace("\n", "\r\n"))


def test_a_second_fault_of_the_same_line_is_not_told_as_another(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'app = "iris"\nupdate = { wach = 5, kep = true }\n')
    assert "line 2: update.wach is no option" in told
    assert "faults in line" not in told


def test_a_base_image_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    intent = read(tmp_path, 'app = "iris"\n[image]\nbase = "slim.tar"\n')
    with pytest.raises(
        SettingsError, match=r"^onnxport\.toml, line 3: the base image slim\.tar isn't"
    ):
        find_base(intent, tmp_path)
    by_flag = read(tmp_path, 'app = "iris"\n[image]\nbase = "slim.tar"\n', base="./other")
    with pytest.raises(SettingsError, match=r"^the base image \./other isn't there; correct"):
        find_base(by_flag, tmp_path)
    (tmp_path / "slim.tar").touch()
    assert find_base(intent, tmp_path) == str(tmp_path / "slim.tar")
    assert find_base(replace(by_flag, image=Image(base="python:3.12")), tmp_path) == "python:3.12"


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


_PIECES = (
    '"',
    "'",
    '"""',
    "[",
    "]]",
    "{",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "\\",
    "nan",
    "\x00",
    "é",
    "[tags]",
    "9" * 30,
)


@pytest.mark.parametrize("seed", range(200))
def test_whatever_a_file_holds_is_told_in_a_sentence(tmp_path: Path, seed: int) -> None:
    """What --init writes, with a slip of the pen or three."""
    dice = random.Random(seed)
    text = template({option.name: option.default for option in OPTIONS} | {"app": "iris"})
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(text))
        text = text[:at] + dice.choice((*_PIECES, "")) + text[at + dice.choice((0, 0, 1, 30)) :]
    try:
        read(tmp_path, text)
    except SettingsError:
        refusal(tmp_path, text)


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
