"""The exported template: clean for cfn-lint, with the same settings, and never mistaken for what onnxport made."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxport.deploy.export import cloudformation
from onnxport.deploy.intent import Image, Instances, Intent, Network, Roles, Update
from onnxport.deploy.options import option_settings
from onnxport.deploy.tags import belongs_to, is_ours
from onnxport.keys import new_key

ARN = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
SINGLE = Intent(app="iris", tags=(("team", "forecasting"),))
SECURE = Intent(
    app="iris",
    instances=Instances(layout="load-balanced", min=2, max=4),
    update=Update(strategy="canary"),
    network=Network(
        domain="api.example.com",
        certificate=ARN,
        vpc="vpc-0a1b2c3d",
        subnets=("subnet-00000001", "subnet-00000002"),
    ),
)
GIVEN = replace(
    SINGLE,
    region="cn-north-1",
    roles=Roles(instance_profile="machines", service="beanstalk"),
    image=Image(repository="docker.io/me/iris"),
)
INTENTS = {"single": SINGLE, "secure": SECURE, "given": GIVEN}


def template(intent: Intent, key_lines: tuple[str, ...] = ()) -> dict[str, Any]:
    text = cloudformation(intent, key_lines=key_lines, repository="onnxport/iris")
    told: dict[str, Any] = json.loads(text)
    return told


def lint(*paths: Path) -> tuple[int, str]:
    program = Path(sys.executable).with_name("cfn-lint")
    options = ("--regions", "us-east-1", "--include-checks", "I", "--")
    said = subprocess.run([program, *options, *paths], capture_output=True, text=True, check=False)
    return said.returncode, said.stdout + said.stderr


def test_cfn_lint_has_nothing_to_say(tmp_path: Path) -> None:
    lines = (new_key("deploy").line,)
    for name, intent in INTENTS.items():
        text = cloudformation(intent, key_lines=lines, repository="onnxport/iris")
        (tmp_path / f"{name}.json").write_text(text, "utf-8")
    assert lint(*sorted(tmp_path.iterdir())) == (0, "")


def test_cfn_lint_would_find_a_slip(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    told = template(SINGLE)
    properties = told["Resources"]["Environment"]["Properties"]
    properties["VersionLabl"] = properties.pop("VersionLabel")
    path.write_text(json.dumps(told), "utf-8")
    code, said = lint(path)
    assert code != 0
    assert "VersionLabl" in said


@pytest.mark.parametrize("name", INTENTS)
def test_it_has_the_settings_of_a_deployment(name: str) -> None:
    intent = INTENTS[name]
    told = template(intent)["Resources"]["Environment"]["Properties"]["OptionSettings"]
    ours = option_settings(intent, instance_profile="p", service_role="s", key_lines=())
    assert [s["OptionName"] for s in told] == [s["OptionName"] for s in ours]
    roles = {
        s["OptionName"]: s["Value"]
        for s in told
        if s["OptionName"] in ("IamInstanceProfile", "ServiceRole")
    }
    if name == "given":
        assert roles == {"IamInstanceProfile": "machines", "ServiceRole": "beanstalk"}
    else:
        assert roles == {
            "IamInstanceProfile": {"Ref": "InstanceProfile"},
            "ServiceRole": {"Fn::GetAtt": ["ServiceRole", "Arn"]},
        }


def test_roles_are_made_where_none_is_named_with_the_least_rights() -> None:
    resources = template(SINGLE)["Resources"]
    (pull,) = resources["MachineRole"]["Properties"]["Policies"]
    read, token = pull["PolicyDocument"]["Statement"]
    assert read["Resource"]["Fn::Sub"].endswith(":repository/onnxport/iris")
    assert {*token["Action"].split()} == {"ecr:GetAuthorizationToken"}
    assert set(resources) - set(template(GIVEN)["Resources"]) == {
        "MachineRole",
        "InstanceProfile",
        "ServiceRole",
    }
    elsewhere = template(replace(SINGLE, image=Image(repository="me/iris")))["Resources"]
    assert "Policies" not in elsewhere["MachineRole"]["Properties"]


def test_onnxport_never_takes_a_stack_for_its_own() -> None:
    """`destroy` removes what has our tags; the stack's things have the user's, and other names."""
    resources = template(SINGLE)["Resources"]
    for resource in resources.values():
        tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"].get("Tags", [])}
        assert not is_ours(tags)
        assert not belongs_to(tags, SINGLE)
        assert not tags or tags["team"] == "forecasting"
    name = resources["Environment"]["Properties"]["EnvironmentName"]
    assert name not in ("iris-blue", "iris-green")
    assert re.fullmatch(r"[a-z0-9-]{4,40}", name)


def test_no_secret_and_the_same_text_each_time() -> None:
    key = new_key("deploy")
    texts = {
        cloudformation(SINGLE, key_lines=(key.line,), repository="onnxport/iris") for _ in range(2)
    }
    assert len(texts) == 1
    assert key.key not in texts.pop()
