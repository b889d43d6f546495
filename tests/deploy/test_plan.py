"""A plan as people and programs read it."""

from __future__ import annotations

import json

from onnxport.deploy.plan import Plan, Step, Undo

LOOK = Step("verify", "verify iris-blue", "look", "golden requests", permissions=("eb:Describe",))
ADD = Step(
    "create_version",
    "create version v-1",
    "add",
    "iris 1.0",
    {"label": "v-1"},
    ("eb:CreateApplicationVersion", "s3:GetObject"),
    Undo("delete_version", {"label": "v-1"}, "delete version v-1", ("eb:Delete", "s3:GetObject")),
)
REMOVE = Step("terminate", "terminate environment iris-green", "remove", "", permissions=("eb:T",))


def plan(*steps: Step) -> Plan:
    return Plan(
        "deploy",
        "iris",
        "deploy iris",
        "account 1, eu-central-1",
        steps,
        notes=("callers use plain http",),
        cost={"expected": 24.0, "date": "2026-11-01"},
        cost_lines=("about 24 USD a month; prices of 2026-11-01",),
    )


def test_each_step_is_told_with_its_sign_and_what_changes() -> None:
    lines = list(plan(ADD, LOOK, REMOVE).lines())
    text = "\n".join(lines)
    assert lines[0] == "deploy iris"
    assert "   1 + create version v-1\n       iris 1.0" in text
    assert "   2 ? verify iris-blue" in text
    assert "   3 - terminate environment iris-green" in text
    assert "24 USD" in text
    assert lines[-1] == "note: callers use plain http"


def test_permissions_are_named_once_and_by_service() -> None:
    told = plan(ADD, ADD, LOOK)
    assert told.permissions == ("eb:CreateApplicationVersion", "eb:Describe", "s3:GetObject")
    assert "  eb: CreateApplicationVersion, Describe" in list(told.lines())


def test_permissions_of_taking_back_are_told_apart() -> None:
    told = plan(ADD, LOOK)
    assert told.permissions_to_undo == ("eb:Delete",)
    text = "\n".join(told.lines())
    assert "taking them back, should one fail, needs as well:\n  eb: Delete\n" in text
    assert told.to_json()["permissions_to_undo"] == ["eb:Delete"]
    assert plan(LOOK).permissions_to_undo == ()


def test_what_beanstalk_does_in_our_name_is_told_apart() -> None:
    made = Step("create_environment", "create it", "add", "", permissions=("ec2:*", "eb:Create"))
    told = plan(made)
    assert told.own_permissions == ("eb:Create",)
    assert any("in your name Elastic Beanstalk uses ec2" in line for line in told.lines())
    assert not any("ec2: *" in line for line in told.lines())


def test_what_only_looks_is_harmless_and_costs_nothing_new() -> None:
    assert plan(LOOK).is_harmless
    assert not plan(LOOK, ADD).is_harmless
    assert "24 USD" not in "\n".join(plan(LOOK).lines())


def test_a_plan_is_plain_data() -> None:
    document = json.loads(json.dumps(plan(ADD, LOOK).to_json()))
    assert document["steps"][0]["undo"] == "delete version v-1"
    assert document["steps"][0]["arguments"] == {"label": "v-1"}
    assert document["steps"][1]["undo"] is None
    assert document["cost"]["date"] == "2026-11-01"
