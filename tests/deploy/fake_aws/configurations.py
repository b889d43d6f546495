"""Operations on configurations and platforms: options described, settings read and validated, saved templates, tags."""

from __future__ import annotations

from typing import Any

from tests.deploy.fake_aws import courses, options, platforms
from tests.deploy.fake_aws.clock import as_date
from tests.deploy.fake_aws.finding import Answer, Call, application, environment
from tests.deploy.fake_aws.refusals import Refusal, configuration, invalid
from tests.deploy.fake_aws.state import Environment, Template


def list_available_solution_stacks(call: Call) -> Answer:
    names = platforms.stacks(call.cloud)
    details = [
        {"SolutionStackName": name, "PermittedFileTypes": platforms.file_types(name)}
        for name in names
    ]
    return {"SolutionStacks": names, "SolutionStackDetails": details}


def list_platform_versions(call: Call) -> Answer:
    filters = call.get("Filters", [])
    found = [one for one in platforms.summaries(call.cloud) if platforms.fits(one, filters, "Type")]
    return _page(call, "PlatformSummaryList", found)


def list_platform_branches(call: Call) -> Answer:
    filters = call.get("Filters", [])
    found = [
        one for one in platforms.branches(call.cloud) if platforms.fits(one, filters, "Attribute")
    ]
    return _page(call, "PlatformBranchSummaryList", found)


def _page(call: Call, name: str, found: list[dict[str, Any]]) -> Answer:
    start, most = int(call.text("NextToken") or 0), int(call.get("MaxRecords") or 100)
    answer: Answer = {name: found[start : start + most]}
    if len(found) > start + most:
        answer["NextToken"] = str(start + most)
    return answer


def describe_platform_version(call: Call) -> Answer:
    for one in platforms.summaries(call.cloud):
        if one["PlatformArn"] == call.get("PlatformArn"):
            return {"PlatformDescription": {**one, "PlatformName": one["PlatformBranchName"]}}
    raise invalid(f"Platform version '{call.get('PlatformArn')}' does not exist.")


# -------------------------------------------------------------------------------------------------------- settings


def describe_configuration_options(call: Call) -> Answer:
    asked = call.get("Options")
    wanted = {(one.get("Namespace"), one.get("OptionName")) for one in asked} if asked else None
    found = [
        option.described()
        for key, option in options.table().items()
        if wanted is None or key in wanted
    ]
    answer: Answer = {"Options": found}
    if call.text("EnvironmentName"):
        answer["SolutionStackName"] = environment(call).platform
    return answer


def describe_configuration_settings(call: Call) -> Answer:
    app = application(call)
    if call.text("TemplateName"):
        return {"ConfigurationSettings": [_told_template(app.name, _template(call))]}
    one = environment(call)
    status = "pending" if one.status in ("Launching", "Updating") else "deployed"
    return {
        "ConfigurationSettings": [
            {
                "SolutionStackName": one.platform,
                "PlatformArn": platforms.arn_of(call.cloud, one.platform),
                "ApplicationName": one.application,
                "Description": one.description,
                "EnvironmentName": one.name,
                "DeploymentStatus": status,
                "DateCreated": as_date(one.created),
                "DateUpdated": as_date(one.updated),
                "OptionSettings": options.settings(one.options),
            }
        ]
    }


def validate_configuration_settings(call: Call) -> Answer:
    application(call)
    base = dict(environment(call).options) if call.text("EnvironmentName") else {}
    wanted = {**base, **options.read(call.get("OptionSettings", []))}
    messages = [
        {"Message": said, "Severity": "error", "Namespace": space, "OptionName": name}
        for space, name, said in options.faults(wanted)
    ]
    return {"Messages": messages}


def delete_environment_configuration(call: Call) -> Answer:
    """Drafts are what a failed update leaves; the fake keeps none."""
    application(call)
    environment(call)
    return {}


# ------------------------------------------------------------------------------------------------------- templates


def create_configuration_template(call: Call) -> Answer:
    app, name = application(call), call.text("TemplateName")
    if name in app.templates:
        raise invalid(f"Configuration Template {name} already exists.")
    source = _source(call)
    chosen = dict(source.options) if source else {}
    chosen |= options.read(call.get("OptionSettings", []))
    for _, _, said in options.faults(chosen):
        raise configuration(said)
    platform = source.platform if source else platforms.chosen(call.cloud, call.parameters)
    new = Template(name, call.text("Description"), platform, chosen, call.now, call.now)
    app.templates[name] = new
    return _told_template(app.name, new)


def _source(call: Call) -> Environment | None:
    return environment(call) if call.text("EnvironmentId") else None


def update_configuration_template(call: Call) -> Answer:
    one = _template(call)
    one.options |= options.read(call.get("OptionSettings", []))
    for spec in call.get("OptionsToRemove", []):
        one.options.pop((spec["Namespace"], spec["OptionName"], ""), None)
    one.updated = call.now
    return _told_template(application(call).name, one)


def delete_configuration_template(call: Call) -> Answer:
    application(call).templates.pop(call.text("TemplateName"), None)
    return {}


def _template(call: Call) -> Template:
    name = call.text("TemplateName")
    found = application(call).templates.get(name)
    if found is None:
        raise invalid(f"No Configuration Template named '{name}' found.")
    return found


def _told_template(app: str, one: Template) -> Answer:
    return {
        "ApplicationName": app,
        "TemplateName": one.name,
        "Description": one.description,
        "SolutionStackName": one.platform,
        "DateCreated": as_date(one.created),
        "DateUpdated": as_date(one.updated),
        "OptionSettings": options.settings(one.options),
    }


# ------------------------------------------------------------------------------------------------------------ tags


def list_tags_for_resource(call: Call) -> Answer:
    arn = call.text("ResourceArn")
    found = tags_by_arn(call).get(arn)
    if found is None:
        raise Refusal("ResourceNotFoundException", f"Resource not found for ARN '{arn}'.")
    listed = [{"Key": key, "Value": value} for key, value in found.items()]
    one = _environment_of(call, arn)
    if one is not None:
        own = {
            "elasticbeanstalk:environment-name": one.name,
            "elasticbeanstalk:environment-id": one.id,
            "Name": one.name,
        }
        listed += [{"Key": key, "Value": value} for key, value in own.items()]
    return {"ResourceArn": arn, "ResourceTags": listed}


def update_tags_for_resource(call: Call) -> Answer:
    arn = call.text("ResourceArn")
    found = tags_by_arn(call).get(arn)
    if found is None:
        raise Refusal("ResourceNotFoundException", f"Resource not found for ARN '{arn}'.")
    one = _environment_of(call, arn)
    if one is not None and one.status != "Ready":
        said = f"Environment {one.name} is {one.status}; its tags can't be changed now."
        raise Refusal("OperationInProgressFailure", said)
    for pair in call.get("TagsToAdd", []):
        found[pair["Key"]] = pair.get("Value", "")
    for key in call.get("TagsToRemove", []):
        found.pop(key, None)
    if one is not None:
        one.request_id = call.request_id
        courses.retag(call.cloud, one, call.now)
    return {}


def _environment_of(call: Call, arn: str) -> Environment | None:
    cloud = call.cloud
    for one in cloud.environments:
        path = f"{one.application}/{one.name}"
        if one.status != "Terminated" and cloud.arn("environment", path) == arn:
            return one
    return None


def tags_by_arn(call: Call) -> dict[str, dict[str, str]]:
    """The user's tags of all that has an ARN."""
    cloud = call.cloud
    found: dict[str, dict[str, str]] = {}
    for app in cloud.applications.values():
        found[cloud.arn("application", app.name)] = app.tags
        for version in app.versions.values():
            path = f"{app.name}/{version.label}"
            found[cloud.arn("applicationversion", path)] = version.tags
    for one in cloud.environments:
        if one.status != "Terminated":
            found[cloud.arn("environment", f"{one.application}/{one.name}")] = one.tags
    return found
