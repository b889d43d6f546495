"""What is planned for which account: pure, from made-up observations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from onnxport.deploy.bundle import make_bundle
from onnxport.deploy.images import ImageFacts
from onnxport.deploy.intent import Image, Intent, Network, Roles, Update
from onnxport.deploy.names import bucket_name, names_of
from onnxport.deploy.observed import (
    Account,
    Address,
    Application,
    Environment,
    Observed,
    Profile,
    Repository,
    Role,
    Version,
)
from onnxport.deploy.plan import BrokenOff, Plan
from onnxport.deploy.planner import plan_deploy
from onnxport.deploy.tags import own_tags, shared_tags, slot_tags
from onnxport.deploy.wanted import Wanted, put_together
from onnxport.errors import DeployError

MOMENT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
ACCOUNT = Account("123456789012", "eu-central-1")
INTENT = Intent(app="iris", region="eu-central-1")
NAMES = names_of(INTENT, ACCOUNT.id)
SUFFIX = ".eu-central-1.elasticbeanstalk.com"
LIVE, IDLE = NAMES.live_cname + SUFFIX, NAMES.idle_cname + SUFFIX
DIGEST = "sha256:" + "ab" * 32
IMAGE = ImageFacts(DIGEST, 54_000_000, 163_000_000, "x86_64", "iris", "1.0", "cd" * 32)
PLATFORM = "arn:aws:elasticbeanstalk:eu-central-1::platform/Docker running on 64bit Amazon Linux 2023/4.10.1"
BARE = Observed(
    ACCOUNT,
    live=Address(NAMES.live_cname, LIVE, True),
    idle=Address(NAMES.idle_cname, IDLE, True),
    bucket=bucket_name("eu-central-1", ACCOUNT.id),
    registry="123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    platform=PLATFORM,
)
MACHINE = frozenset({"arn:aws:iam::aws:policy/AWSElasticBeanstalkWebTier", "onnxport-pull-image"})
POLICIES = frozenset(
    f"arn:aws:iam::aws:policy/{name}"
    for name in (
        "service-role/AWSElasticBeanstalkEnhancedHealth",
        "AWSElasticBeanstalkManagedUpdatesCustomerRolePolicy",
    )
)


def wanted(observed: Observed, intent: Intent = INTENT, image: ImageFacts = IMAGE) -> Wanted:
    return put_together(intent, image, observed, key_lines=("deploy:" + "0" * 64,), moment=MOMENT)


def plan(
    observed: Observed, intent: Intent = INTENT, image: ImageFacts = IMAGE, **how: Any
) -> Plan:
    return plan_deploy(wanted(observed, intent, image), observed, **how)


def actions(told: Plan) -> list[str]:
    return [step.action for step in told.steps]


def grounded(intent: Intent = INTENT) -> Observed:
    """With all that environments stand on, image and version included."""
    arn = f"arn:aws:ecr:eu-central-1:{ACCOUNT.id}:repository/{NAMES.repository}"
    uri = f"{BARE.registry}/{NAMES.repository}"
    tags = own_tags(intent)
    role, service = NAMES.instance_profile, NAMES.service_role
    return replace(
        BARE,
        application=Application("iris", "arn", shared_tags(intent)),
        has_bucket=True,
        repository=Repository(NAMES.repository, arn, uri, shared_tags(intent), frozenset({DIGEST})),
        roles={
            role: Role(role, "arn", tags, MACHINE),
            service: Role(service, "arn", tags, POLICIES),
        },
        profiles={role: Profile(role, "arn", (role,), tags)},
        versions=(version("v-20261101-000000-abababab", intent, uri),),
    )


def version(label: str, intent: Intent = INTENT, uri: str = "", digest: str = DIGEST) -> Version:
    bundle = make_bundle(intent, f"{uri or BARE.registry + '/' + NAMES.repository}@{digest}")
    mark = f"iris 1.0, bundle {bundle.sha256[:16]}"
    return Version(
        label, "arn", "Processed", BARE.bucket, f"onnxport/iris/versions/{label}.zip", mark
    )


def environment(
    slot: str,
    cname: str,
    label: str = "v-20261101-000000-abababab",
    *,
    status: str = "Ready",
    health: str = "Green",
    intent: Intent = INTENT,
    settings: Mapping[str, str] = {},
) -> Environment:
    there = {
        (s["Namespace"], s["OptionName"]): settings.get(s["OptionName"], s["Value"])
        for s in wanted(grounded(), intent).settings
    }
    return Environment(
        f"iris-{slot}", f"e-{slot}", "arn", "iris", status, health, label, cname, PLATFORM,
        slot_tags(intent, slot), there,
    )  # fmt: skip


def with_environments(*found: Environment, **more: Any) -> Observed:
    taken = {each.cname for each in found}
    return replace(
        grounded(),
        environments=found,
        live=replace(BARE.live, is_free=LIVE not in taken),
        idle=replace(BARE.idle, is_free=IDLE not in taken),
        **{"record": _record(found), **more},
    )


def _record(found: tuple[Environment, ...]) -> dict[str, str]:
    """What the last deployment wrote down: that the live one was its."""
    live = next((each for each in found if each.cname == LIVE), None)
    return {"version": live.version or "", "environment": live.name} if live else {}


def ours(*names: str, kind: str = "deploy", goal: str = "", **made: str) -> BrokenOff:
    """A run of ours that broke off. names: of environments that it began to change; made: ids by slot."""
    ids = {f"iris-{slot}": id for slot, id in made.items()}
    changed = {name: name.replace("iris-", "e-") for name in names}
    return BrokenOff("a step", kind, goal, "", ids, changed)


OLD = "v-20261001-000000-00000000"


def test_an_empty_account_gets_everything_in_order() -> None:
    told = plan(BARE)
    assert actions(told) == [
        "create_role",
        "create_role",
        "create_profile",
        "create_application",
        "create_repository",
        "push_image",
        "create_bucket",
        "upload_bundle",
        "create_version",
        "create_environment",
        "verify",
        "write_record",
    ]
    create = told.steps[9].arguments
    assert create["cname"] == NAMES.live_cname
    assert create["platform"] == PLATFORM
    assert told.steps[10].commits
    assert "ecr:PutImage" in told.permissions


def test_what_is_there_is_not_made_again() -> None:
    assert actions(plan(grounded())) == ["create_environment", "verify", "write_record"]


def test_the_wanted_version_live_is_only_looked_at() -> None:
    told = plan(with_environments(environment("blue", LIVE)))
    assert actions(told) == ["verify"]
    assert told.is_harmless


def test_an_update_by_bluegreen_goes_through_the_other_slot() -> None:
    told = plan(with_environments(environment("green", LIVE, OLD)))
    assert actions(told) == [
        "create_environment",
        "verify",
        "point",
        "watch",
        "terminate",
        "write_record",
    ]
    create, verify, point, watch, terminate, _ = told.steps
    assert create.arguments["name"] == "iris-blue"
    assert create.arguments["cname"] == NAMES.idle_cname
    assert not verify.commits
    assert watch.commits
    assert point.undo is not None
    assert point.arguments["version"] == create.arguments["version"]
    assert create.undo is not None
    assert create.undo.arguments == {
        "name": "iris-blue",
        "idle": True,
        "version": create.arguments["version"],
        "made": True,
    }
    assert point.undo.arguments == {"name": "iris-green", "former": "iris-blue", "version": None}
    assert terminate.arguments == {"name": "iris-green", "idle": True, "launching": False}


def test_kept_slots_stay_and_are_used_again() -> None:
    keep = replace(INTENT, update=Update(keep=True))
    told = plan(with_environments(environment("blue", LIVE, OLD)), keep)
    assert "terminate" not in actions(told)
    both = with_environments(environment("blue", LIVE, OLD), environment("green", IDLE, "v-0"))
    assert actions(plan(both, keep))[:2] == ["update_version", "verify"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # killed while the new one launched
        (
            [environment("blue", LIVE, OLD), environment("green", IDLE, status="Launching")],
            ["await_ready", "verify", "point", "watch", "terminate", "write_record"],
        ),
        # killed after the swap
        (
            [environment("green", LIVE), environment("blue", IDLE, OLD)],
            ["await_ready", "point", "verify", "watch", "terminate", "write_record"],
        ),
        # killed in the watch of other settings of the same version
        (
            [environment("green", LIVE), environment("blue", IDLE, settings={"RootVolumeSize": "8"})],
            ["await_ready", "point", "verify", "watch", "terminate", "write_record"],
        ),
        # killed while the old one went
        (
            [environment("green", LIVE), environment("blue", "", OLD, status="Terminating")],
            ["verify", "write_record"],
        ),
        # the new one was found ill, and the run was killed before it was taken back
        (
            [environment("blue", LIVE, OLD), environment("green", IDLE, "v-0", health="Red")],
            ["terminate", "create_environment", "verify", "point", "watch", "terminate", "write_record"],
        ),
    ],
    ids=["launching", "swapped", "settings", "retiring", "ill"],
)  # fmt: skip
def test_what_broke_off_is_gone_on_with(found: list[Environment], expected: list[str]) -> None:
    observed = with_environments(*found, record={"version": OLD, "environment": "iris-blue"})
    run = ours("iris-green", "iris-blue", green="e-green")
    assert actions(plan(observed, going_on=run)) == expected


def test_what_broke_off_after_the_swap_is_swapped_back_if_it_is_ill() -> None:
    found = [environment("green", LIVE), environment("blue", IDLE, OLD)]
    observed = with_environments(*found, record={"version": OLD, "environment": "iris-blue"})
    told = plan(observed, going_on=ours(green="e-green"))
    assert actions(told)[:4] == ["await_ready", "point", "verify", "watch"]
    undos = [step.undo.title for step in told.steps[:4] if step.undo]
    assert undos == ["terminate environment iris-green", "swap back to iris-blue"]
    assert not told.steps[2].commits


def test_settings_that_changed_since_a_launch_broke_off_are_not_dropped() -> None:
    other = environment("green", IDLE, status="Launching", settings={"RootVolumeSize": "8"})
    found = [environment("blue", LIVE, OLD), other]
    told = plan(with_environments(*found), going_on=ours(green="e-green"))
    assert actions(told)[:2] == ["terminate", "create_environment"]


def test_what_is_written_down_as_deployed_is_never_taken_back() -> None:
    """The run that made it broke off, and somebody else has finished it."""
    live = environment("blue", LIVE, status="Updating")
    told = plan(with_environments(live), going_on=ours("iris-blue", blue="e-blue"))
    assert actions(told) == ["await_ready", "verify"]
    assert told.steps[0].undo is None


def test_an_idle_environment_that_callers_never_reached_is_not_swapped_back_to() -> None:
    """It is what an earlier run has left; the last one, in place, was killed before it wrote its deployment down."""
    found = [environment("blue", LIVE), environment("green", IDLE, OLD)]
    before = {"version": OLD, "environment": "iris-blue"}
    told = plan(with_environments(*found, record=before), going_on=ours("iris-blue"))
    assert "point" not in actions(told)
    swapped = plan(
        with_environments(*found, record=before), going_on=ours("iris-blue", "iris-green")
    )
    assert actions(swapped)[0] == "point"
    ill = [found[0], environment("green", IDLE, OLD, health="Red")]
    told = plan(with_environments(*ill, record=before), going_on=ours("iris-blue", "iris-green"))
    assert "point" not in actions(told)


def test_nobody_joins_what_another_run_launches_even_of_the_same_version() -> None:
    found = [environment("blue", LIVE, OLD), environment("green", IDLE, status="Launching")]
    with pytest.raises(DeployError, match="iris-green is Launching; another run has begun that"):
        plan(with_environments(*found))


def test_an_address_that_callers_know_is_not_dropped_for_another_name() -> None:
    stray = environment("blue", "iris-before.eu-central-1.elasticbeanstalk.com")
    with pytest.raises(DeployError, match=r'would lose it; write cname = "iris-before"'):
        plan(with_environments(stray))


def test_an_idle_environment_that_cannot_change_is_made_anew() -> None:
    keep = replace(INTENT, update=Update(keep=True))
    idle = environment("green", IDLE, "v-0", settings={"SupportedArchitectures": "arm64"})
    told = plan(with_environments(environment("blue", LIVE, OLD), idle), keep)
    assert actions(told)[:2] == ["terminate", "create_environment"]
    assert "can't change SupportedArchitectures while it runs" in told.steps[0].changes


def test_subnets_are_the_same_in_any_order() -> None:
    network = Network(vpc="vpc-0a1b2c3d", subnets=("subnet-0000000b", "subnet-0000000a"))
    intent = replace(INTENT, network=network)
    given_back = {"Subnets": "subnet-0000000a, subnet-0000000b"}
    live = environment("blue", LIVE, intent=intent, settings=given_back)
    assert actions(plan(with_environments(live), intent)) == ["verify"]


def test_each_deployment_takes_the_newest_platform() -> None:
    old = PLATFORM.replace("4.10.1", "4.9.2")
    live = replace(environment("blue", LIVE), platform=old)
    told = plan(with_environments(live))
    assert actions(told)[:2] == ["create_environment", "verify"]
    assert told.steps[0].arguments["platform"] == PLATFORM
    assert any("offers platform 4.10.1, and iris-blue is on 4.9.2" in note for note in told.notes)

    in_place = replace(INTENT, update=Update(strategy="immutable"))
    live = replace(environment("blue", LIVE, OLD, intent=in_place), platform=old)
    told = plan(with_environments(live), in_place)
    assert actions(told)[0] == "update_platform"
    assert told.steps[0].title == "put iris-blue on platform 4.10.1"
    assert told.steps[0].undo is not None
    assert told.steps[0].undo.arguments == {"name": "iris-blue", "platform": old}
    assert told.steps[-1].arguments["record"]["platform"] == PLATFORM

    keep = replace(INTENT, update=Update(keep=True))
    idle = replace(environment("green", IDLE, "v-0"), platform=old)
    told = plan(with_environments(environment("blue", LIVE, OLD), idle), keep)
    assert actions(told)[:2] == ["terminate", "create_environment"]
    assert told.steps[0].changes == "the idle environment has platform 4.9.2"


def test_a_platform_by_its_name_is_the_one_of_its_number() -> None:
    named = "64bit Amazon Linux 2023 v4.10.1 running Docker"
    live = replace(environment("blue", LIVE), platform=named)
    assert actions(plan(with_environments(live))) == ["verify"]


def test_a_first_deployment_that_broke_off() -> None:
    launching = with_environments(environment("blue", LIVE, status="Launching"), record={})
    told = plan(launching, going_on=ours(blue="e-blue"))
    assert actions(told) == ["await_ready", "verify", "write_record"]
    assert told.steps[0].undo is not None
    assert told.steps[0].undo.arguments["made"] is True
    other = with_environments(environment("blue", LIVE, OLD, status="Launching"), record={})
    assert actions(plan(other, going_on=ours(blue="e-blue")))[:2] == [
        "terminate",
        "create_environment",
    ]


def test_what_another_run_launches_is_left_to_it() -> None:
    found = [environment("blue", LIVE, OLD), environment("green", IDLE, "v-0", status="Launching")]
    with pytest.raises(DeployError, match="iris-green is Launching; another run has begun that"):
        plan(with_environments(*found))
    ended = plan(with_environments(*found), going_on=ours(green="e-green"))
    assert actions(ended)[0] == "terminate"
    with pytest.raises(DeployError, match="iris-green is Launching"):
        plan(with_environments(*found), going_on=ours(green="e-before"))
    with pytest.raises(DeployError, match="iris-green is Launching"):
        plan(with_environments(*found), going_on=ours("iris-blue"))
    of_another = BrokenOff("create environment iris-green", "deploy", "", "", {}, {})
    with pytest.raises(DeployError, match="iris-green is Launching"):
        plan(with_environments(*found), going_on=of_another)


def test_a_slot_that_is_still_going_is_waited_for() -> None:
    found = [environment("blue", LIVE, OLD), environment("green", "", "v-0", status="Terminating")]
    told = plan(with_environments(*found))
    assert actions(told)[:2] == ["await_gone", "create_environment"]


def test_an_address_that_a_going_environment_holds_is_not_taken() -> None:
    going = environment("green", "", OLD, status="Terminating")
    observed = replace(with_environments(going), live=replace(BARE.live, is_free=False))
    assert actions(plan(observed))[:2] == ["await_gone", "create_environment"]


@pytest.mark.parametrize(
    ("option", "written", "differs"),
    [
        ("ServiceRole", "arn:aws:iam::123456789012:role/x/onnxport-iris-eu-central-1-eb", False),
        ("ServiceRole", "arn:aws:iam::123456789012:role/another", True),
        ("HealthCheckSuccessThreshold", "Severe", True),
        ("ConfigDocument", "{}", True),
    ],
)
def test_settings_are_compared_by_what_they_mean(option: str, written: str, differs: bool) -> None:
    live = environment("blue", LIVE, settings={option: written})
    assert ("create_environment" in actions(plan(with_environments(live)))) == differs


def test_a_document_in_another_order_is_the_same() -> None:
    live = environment("blue", LIVE)
    key = ("aws:elasticbeanstalk:healthreporting:system", "ConfigDocument")
    rules = json.loads(live.settings[key])
    other = json.dumps(dict(reversed(rules.items())), indent=1)
    told = plan(with_environments(replace(live, settings={**live.settings, key: other})))
    assert actions(told) == ["verify"]


def test_in_place_configuration_and_version_are_two_updates_that_can_be_taken_back() -> None:
    intent = replace(INTENT, update=Update(strategy="immutable"))
    live = environment("blue", LIVE, OLD, intent=intent, settings={"RootVolumeSize": "8"})
    told = plan(with_environments(live), intent)
    assert actions(told) == ["update_settings", "update_version", "verify", "write_record"]
    settings, label = told.steps[0], told.steps[1]
    assert [s["Value"] for s in settings.arguments["settings"]] == ["16"]
    assert settings.undo is not None
    assert [s["Value"] for s in settings.undo.arguments["settings"]] == ["8"]
    assert label.undo is not None
    assert label.undo.arguments["version"] == OLD


def test_what_cannot_change_in_place_is_refused() -> None:
    intent = replace(INTENT, update=Update(strategy="immutable"))
    live = environment(
        "blue", LIVE, OLD, intent=intent, settings={"SupportedArchitectures": "arm64"}
    )
    with pytest.raises(DeployError, match=r"SupportedArchitectures.*bluegreen"):
        plan(with_environments(live), intent)


def test_an_upload_without_its_version_gives_the_label() -> None:
    label = "v-20261127-110000-abababab"
    observed = replace(grounded(), versions=(), bundles=(f"onnxport/iris/versions/{label}.zip",))
    told = plan(observed)
    assert actions(told)[:2] == ["upload_bundle", "create_version"]
    assert told.steps[1].arguments["label"] == label


def test_a_role_that_a_crash_left_without_policies_is_completed() -> None:
    role = NAMES.service_role
    bare = {**grounded().roles, role: Role(role, "arn", own_tags(INTENT))}
    told = plan(replace(grounded(), roles=bare))
    assert told.steps[0].action == "create_role"
    assert told.steps[0].arguments["name"] == role


def test_a_crash_between_role_and_profile_makes_the_profile_alone() -> None:
    assert actions(plan(replace(grounded(), profiles={})))[0] == "create_profile"


def test_the_accounts_own_service_role_is_used_as_it_is() -> None:
    name = "aws-elasticbeanstalk-service-role"
    observed = replace(BARE, roles={name: Role(name, "arn")})
    told = plan(observed)
    made = [s.arguments["name"] for s in told.steps if s.action == "create_role"]
    assert made == [NAMES.instance_profile]
    create = next(s for s in told.steps if s.action == "create_environment")
    values = {s["OptionName"]: s["Value"] for s in create.arguments["settings"]}
    assert values["ServiceRole"] == name


def test_a_repository_elsewhere_needs_no_ecr_and_is_warned_of() -> None:
    told = plan(BARE, replace(INTENT, image=Image(repository="me/iris")))
    assert "create_repository" not in actions(told)
    assert not any(name.startswith("ecr:") for name in told.permissions)
    assert any("100 images in 6 hours" in note for note in told.notes)


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "strange",
    [
        {"application": Application("iris", "arn")},
        {"repository": Repository(NAMES.repository, "arn", "uri")},
        {"roles": {NAMES.instance_profile: Role(NAMES.instance_profile, "arn")}},
        {"profiles": {NAMES.instance_profile: Profile(NAMES.instance_profile, "arn")}},
        {"environments": (replace(environment("blue", "x"), tags={}),)},
        {"environments": (replace(environment("green", "x"), application="theirs"),)},
        {
            "environments": (
                replace(environment("blue", "x"), tags=slot_tags(Intent(app="other"), "blue")),
            )
        },
    ],
    ids=["application", "repository", "role", "profile", "untagged", "application's", "other's"],
)
def test_what_is_not_ours_stops_the_plan(strange: dict[str, Any]) -> None:
    with pytest.raises(DeployError, match=r"stays as it is.*choose another"):
        plan(replace(grounded(), **strange))


def test_busy_taken_and_missing_are_refused_in_a_sentence() -> None:
    updating = with_environments(environment("blue", LIVE, OLD, status="Updating"))
    with pytest.raises(DeployError, match="iris-blue is Updating") as caught:
        plan(updating)
    assert caught.value.resumable
    assert plan(updating, going_on=ours("iris-blue")).steps
    with pytest.raises(DeployError, match=r"taken.*--cname"):
        plan(replace(grounded(), live=replace(BARE.live, is_free=False)))
    for roles in (Roles(service="nobody"), Roles(instance_profile="nobody")):
        with pytest.raises(DeployError, match="nobody, which isn't there"):
            plan(BARE, replace(INTENT, roles=roles))
