"""Operations on environments: created, described, updated, swapped, terminated; their events."""

from __future__ import annotations

import re
import secrets
from typing import Any

from tests.deploy.fake_aws import courses, launching, options, platforms, updating
from tests.deploy.fake_aws.applications import quotas
from tests.deploy.fake_aws.finding import (
    Answer,
    Call,
    application,
    environment,
    living,
    tags,
    told_environment,
)
from tests.deploy.fake_aws.milestones import group_name
from tests.deploy.fake_aws.refusals import Refusal, combination, configuration, invalid, not_ready
from tests.deploy.fake_aws.state import Environment, Event

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,38}[A-Za-z0-9]")
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_PROFILE = ("aws:autoscaling:launchconfiguration", "IamInstanceProfile", "")
_WEB = {"Name": "WebServer", "Type": "Standard", "Version": "1.0"}
_LATE = 30.0  # seconds by which descriptions may lag, under "late_news"
_GONE_SHOWN = 3600.0  # seconds for which a terminated environment is still listed
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_MOST_TAGS = 47  # of 50, three are Elastic Beanstalk's own


# -------------------------------------------------------------------------------------------------------- creation


def check_dns_availability(call: Call) -> Answer:
    name = _full_name(call, call.text("CNAMEPrefix"))
    taken = any(one.cname == name for one in living(call.cloud))
    return {"Available": not taken, "FullyQualifiedCNAME": name}


def _full_name(call: Call, prefix: str) -> str:
    return call.cloud.world.fleet.cname(f"{prefix.lower()}.{call.cloud.region}")


def create_environment(call: Call) -> Answer:
    cloud, app = call.cloud, application(call)
    _check_request(call)
    name = call.text("EnvironmentName")
    if any(one.name == name for one in living(cloud)):
        raise invalid(f"Environment {name} already exists.")
    if len(living(cloud)) >= quotas(call)["EnvironmentQuota"]:
        raise Refusal("TooManyEnvironmentsException", "You have exceeded your environment limit.")
    template = app.templates.get(call.text("TemplateName"))
    platform = template.platform if template else platforms.chosen(cloud, call.parameters)
    chosen = dict(template.options) if template else {}
    chosen |= _options(call)
    _check_options({**chosen})
    if cloud.scripts.strikes("role_unknown", operation=call.operation):
        profile = chosen.get(_PROFILE, "")
        raise invalid(f"Invalid IamInstanceProfile: {profile}.")
    new = Environment(
        id=f"e-{_random(10)}",
        name=name,
        application=app.name,
        description=call.text("Description"),
        tier={**_WEB, **call.get("Tier", {})},
        platform=platform,
        version=_version(call),
        options=chosen,
        tags=tags(call),
        created=call.now,
        updated=call.now,
        request_id=call.request_id,
    )
    new.prefix, new.cname = _cname(call, name)
    cloud.environments.append(new)
    launching.launch(cloud, new, call.now)
    return told_environment(cloud, new)


def _check_request(call: Call) -> None:
    name = call.text("EnvironmentName")
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Value {name} at 'EnvironmentName' failed to satisfy constraint: Member must contain only letters, "
            "digits, and the dash character and may not start or end with a dash"
        )
    if "SolutionStackName" in call.parameters and "PlatformArn" in call.parameters:
        raise combination("PlatformArn and SolutionStackName can't both be specified.")
    if len(call.get("Tags", [])) > _MOST_TAGS:
        raise Refusal("TooManyTagsException", f"An environment has at most {_MOST_TAGS} tags.")


def _version(call: Call) -> str:
    label = call.text("VersionLabel")
    if not label:
        return ""
    found = application(call).versions.get(label)
    if found is None:
        raise invalid(f"No Application Version named '{label}' found.")
    if found.status in ("Failed", "Processing"):
        raise invalid(
            f"Application version {label} is unusable and cannot be used with an environment"
        )
    return label


def _options(call: Call) -> dict[tuple[str, str, str], str]:
    return options.read(call.get("OptionSettings", []))


def _check_options(chosen: dict[tuple[str, str, str], str]) -> None:
    for _, _, said in options.faults(chosen):
        raise configuration(said)


def _cname(call: Call, name: str) -> tuple[str, str]:
    prefix = call.text("CNAMEPrefix")
    if not prefix:
        return "", call.cloud.world.fleet.cname(
            f"{name.lower()}.eba-{_random(8)}.{call.cloud.region}"
        )
    if not _PREFIX.fullmatch(prefix):
        raise invalid(f"Value {prefix} at 'CNAMEPrefix' is not a valid DNS label.")
    full = _full_name(call, prefix)
    if any(one.cname == full for one in living(call.cloud)):
        raise invalid(f"DNS name ({full}) is not available.")
    return prefix.lower(), full


def _random(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


# ----------------------------------------------------------------------------------------------------- description


def describe_environments(call: Call) -> Answer:
    found = [one for one in call.cloud.environments if _is_wanted(call, one)]
    until, former = call.cloud.stale
    told = [told_environment(call.cloud, one) for one in found]
    if call.now < until:
        told = [former.get(one["EnvironmentName"], one) for one in told]
    return {"Environments": told}


def _is_wanted(call: Call, one: Environment) -> bool:
    names, ids = call.get("EnvironmentNames"), call.get("EnvironmentIds")
    if one.status == "Terminated":
        since = call.get("IncludedDeletedBackTo")
        back_to = since.timestamp() if since else call.now - _GONE_SHOWN
        if not call.get("IncludeDeleted", True) or one.updated < back_to:
            return False
    return (
        call.text("ApplicationName") in ("", one.application)
        and call.text("VersionLabel") in ("", one.version)
        and (not names or one.name in names)
        and (not ids or one.id in ids)
    )


_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def describe_events(call: Call) -> Answer:
    """Newest first."""
    found = [one for one in call.cloud.events if _is_told(call, one)]
    found.sort(key=lambda one: one.date)
    found.reverse()
    start, most = int(call.text("NextToken") or 0), int(call.get("MaxRecords") or 100)
    answer: Answer = {"Events": [_told_event(one) for one in found[start : start + most]]}
    if len(found) > start + most:
        answer["NextToken"] = str(start + most)
    return answer


def _is_told(call: Call, event: Event) -> bool:
    name = call.text("EnvironmentName")
    if call.text("EnvironmentId"):
        known = {one.id: one.name for one in call.cloud.environments}
        name = known.get(call.text("EnvironmentId"), "?")
    start, end = call.get("StartTime"), call.get("EndTime")
    least = _SEVERITIES.index(call.text("Severity") or "TRACE")
    return (
        call.text("ApplicationName") in ("", event.application)
        and name in ("", event.environment)
        and call.text("VersionLabel") in ("", event.version)
        and call.text("RequestId") in ("", event.request_id)
        and _SEVERITIES.index(event.severity) >= least
        and (start is None or event.date >= start.timestamp())
        and (end is None or event.date < end.timestamp())
    )


def _told_event(event: Event) -> Answer:
    from tests.deploy.fake_aws.clock import as_date

    told: dict[str, Any] = {
        "EventDate": as_date(event.date),
        "Message": event.message,
        "ApplicationName": event.application,
        "Severity": event.severity,
        "RequestId": event.request_id,
    }
    if event.environment:
        told["EnvironmentName"] = event.environment
    if event.version:
        told["VersionLabel"] = event.version
    return told


def describe_environment_resources(call: Call) -> Answer:
    one = environment(call)
    stack = f"awseb-{one.id}-stack"
    balanced = [] if one.is_single else [{"Name": f"awseb--AWSEB-{one.id[2:].upper()}"}]
    if one.option("aws:elasticbeanstalk:environment", "LoadBalancerType") == "application":
        where = (
            f"arn:aws:elasticloadbalancing:{call.cloud.region}:{call.cloud.account}:loadbalancer"
        )
        balanced = [{"Name": f"{where}/app/{stack}/0123456789abcdef"}] if balanced else []
    uses_template = one.option("aws:autoscaling:launchconfiguration", "DisableIMDSv1") == "true"
    kind = "LaunchTemplate" if uses_template else "LaunchConfiguration"
    name = f"{stack}-AWSEBEC2{kind}" if uses_template else f"{stack}-AWSEBAutoScaling{kind}"
    started = bool(one.group)
    return {
        "EnvironmentResources": {
            "EnvironmentName": one.name,
            "AutoScalingGroups": [{"Name": group_name(one)}] if started else [],
            "Instances": [{"Id": instance.id} for instance in one.instances],
            "LaunchConfigurations": [{"Name": name}] if started and not uses_template else [],
            "LaunchTemplates": [{"Id": f"lt-0{one.id[2:]}"}] if started and uses_template else [],
            "LoadBalancers": balanced if started else [],
            "Triggers": [],
            "Queues": [],
        }
    }


# ---------------------------------------------------------------------------------------------------------- change


def update_environment(call: Call) -> Answer:
    one = environment(call)
    if one.status != "Ready":
        raise not_ready(one.name)
    release = {"VersionLabel"} & call.parameters.keys()
    settings = {
        "OptionSettings",
        "OptionsToRemove",
        "TemplateName",
        "SolutionStackName",
        "PlatformArn",
    }
    if release and settings & call.parameters.keys():
        raise combination(
            "Attempting to update both the release and configuration is not allowed. "
            "Update VersionLabel and OptionSettings in two calls."
        )
    one.description = str(call.get("Description", one.description))
    one.before = one.version, dict(one.options), one.platform
    one.updated, one.request_id = call.now, call.request_id
    if release:
        one.version = _version_of(call, one)
        updating.deploy_version(call.cloud, one, call.now)
    elif settings & call.parameters.keys():
        _configure(call, one)
    return told_environment(call.cloud, one)


def _version_of(call: Call, one: Environment) -> str:
    named = {**call.parameters, "ApplicationName": one.application}
    return _version(Call(call.cloud, call.operation, named, call.request_id))


def _configure(call: Call, one: Environment) -> None:
    wanted = {**one.options, **_options(call)}
    for spec in call.get("OptionsToRemove", []):
        wanted.pop((spec["Namespace"], spec["OptionName"], spec.get("ResourceName", "")), None)
    _check_options(wanted)
    changed = {
        key for key in wanted.keys() | one.options.keys() if wanted.get(key) != one.options.get(key)
    }
    _check_immutable(one, wanted, changed)
    if {"SolutionStackName", "PlatformArn"} & call.parameters.keys():
        one.platform = platforms.chosen(call.cloud, call.parameters)
    one.options = wanted
    found = [options.find(space, name) for space, name, _ in changed]
    restarts = any(option is not None and option.severity == "E" for option in found)
    updating.configure(call.cloud, one, call.now, restarts=restarts)


def _check_immutable(
    one: Environment,
    wanted: dict[tuple[str, str, str], str],
    changed: set[tuple[str, str, str]],
) -> None:
    for space, name, _ in sorted(changed):
        value = wanted.get((space, name, ""), "")
        if (space, name) in options.IMMUTABLE:
            raise configuration(
                f"Invalid option value: '{value}' (Namespace: '{space}', OptionName: '{name}'): You can't change "
                f"{name} of a running environment."
            )
        if name == "SupportedArchitectures" and one.option(space, name):
            raise configuration(
                f"Invalid option value: '{value}' (Namespace: '{space}', OptionName: '{name}'): You can't change the "
                "architecture of a running environment."
            )


def abort_environment_update(call: Call) -> Answer:
    one = environment(call)
    if one.status != "Updating" or not one.abortable:
        raise invalid(
            f"Environment named {one.name} is in an invalid state for this operation. "
            "Must be pending deployment."
        )
    one.request_id = call.request_id
    updating.abort(call.cloud, one, call.now)
    return {}


def swap_environment_cnames(call: Call) -> Answer:
    source, destination = environment(call, "Source"), environment(call, "Destination")
    if source is destination:
        raise invalid("Source and destination environments must not be the same.")
    for one in (source, destination):
        if one.status != "Ready":
            raise not_ready(one.name)
    if call.cloud.scripts.strikes("swap_refused"):
        raise not_ready(destination.name)
    for one in (source, destination):
        one.request_id = call.request_id
    if call.cloud.scripts.strikes("late_news"):
        before = {one.name: told_environment(call.cloud, one) for one in (source, destination)}
        call.cloud.stale = (call.now + _LATE, before)
    courses.swap(call.cloud, source, destination, call.now)
    return {}


def restart_app_server(call: Call) -> Answer:
    return _ready_then(call, courses.restart)


def rebuild_environment(call: Call) -> Answer:
    return _ready_then(call, courses.rebuild)


def _ready_then(call: Call, course: Any) -> Answer:
    one = environment(call)
    if one.status != "Ready":
        raise not_ready(one.name)
    one.request_id = call.request_id
    course(call.cloud, one, call.now)
    return {}


def terminate_environment(call: Call) -> Answer:
    one = environment(call)
    if one.status not in ("Ready", "Launching") and not call.get("ForceTerminate"):
        raise not_ready(one.name)
    one.request_id = call.request_id
    courses.terminate(call.cloud, one, call.now)
    return told_environment(call.cloud, one)
