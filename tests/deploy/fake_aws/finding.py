"""A call to the fake, and what it names: applications, versions, environments; told as answers tell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.deploy.fake_aws.clock import as_date
from tests.deploy.fake_aws.platforms import arn_of
from tests.deploy.fake_aws.refusals import invalid
from tests.deploy.fake_aws.state import Application, Cloud, Environment, Version

Answer = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """parameters: as botocore's model names them."""

    cloud: Cloud
    operation: str
    parameters: Mapping[str, Any]
    request_id: str

    @property
    def now(self) -> float:
        return self.cloud.now()

    def get(self, name: str, default: Any = None) -> Any:
        return self.parameters.get(name, default)

    def text(self, name: str) -> str:
        return str(self.parameters.get(name, ""))


def application(call: Call) -> Application:
    name = call.text("ApplicationName")
    if name not in call.cloud.applications:
        raise invalid(f"No Application named '{name}' found.")
    return call.cloud.applications[name]


def version(call: Call) -> Version:
    label = call.text("VersionLabel")
    found = application(call).versions.get(label)
    if found is None:
        raise invalid(f"No Application Version named '{label}' found.")
    return found


def environment(call: Call, prefix: str = "") -> Environment:
    """The one that the request names by name, id or both. prefix: of the parameters, such as Source."""
    name, own = call.text(f"{prefix}EnvironmentName"), call.text(f"{prefix}EnvironmentId")
    if not name and not own:
        raise invalid(f"{prefix}EnvironmentName or {prefix}EnvironmentId must be specified.")
    for one in living(call.cloud):
        if name in ("", one.name) and own in ("", one.id):
            return one
    what = f"EnvironmentName = '{name}'" if name else f"EnvironmentId = '{own}'"
    raise invalid(f"No Environment found for {what}.")


def living(cloud: Cloud) -> list[Environment]:
    return [one for one in cloud.environments if one.status != "Terminated"]


# --------------------------------------------------------------------------------------------------- as answers


def told_application(cloud: Cloud, one: Application) -> Answer:
    return {
        "ApplicationArn": cloud.arn("application", one.name),
        "ApplicationName": one.name,
        **_if("Description", one.description),
        "DateCreated": as_date(one.created),
        "DateUpdated": as_date(one.updated),
        "Versions": list(reversed(one.versions)),
        "ConfigurationTemplates": list(one.templates),
        "ResourceLifecycleConfig": one.lifecycle,
    }


def told_version(cloud: Cloud, one: Version) -> Answer:
    return {
        "ApplicationVersionArn": cloud.arn("applicationversion", f"{one.application}/{one.label}"),
        "ApplicationName": one.application,
        **_if("Description", one.description),
        "VersionLabel": one.label,
        "SourceBundle": {"S3Bucket": one.bucket, "S3Key": one.key},
        "DateCreated": as_date(one.created),
        "DateUpdated": as_date(one.updated),
        "Status": one.status,
    }


def told_environment(cloud: Cloud, one: Environment) -> Answer:
    return {
        "EnvironmentName": one.name,
        "EnvironmentId": one.id,
        "ApplicationName": one.application,
        **_if("VersionLabel", one.version),
        "SolutionStackName": one.platform,
        "PlatformArn": arn_of(cloud, one.platform),
        **_if("Description", one.description),
        **_if("EndpointURL", one.endpoint),
        **_if("CNAME", one.cname),
        "DateCreated": as_date(one.created),
        "DateUpdated": as_date(one.updated),
        "Status": one.status,
        "AbortableOperationInProgress": one.abortable,
        "Health": one.health,
        **_if("HealthStatus", one.health_status),
        "Tier": one.tier,
        "EnvironmentLinks": [],
        "EnvironmentArn": cloud.arn("environment", f"{one.application}/{one.name}"),
    }


def _if(name: str, value: str) -> Answer:
    return {name: value} if value else {}


def tags(call: Call) -> dict[str, str]:
    return {one["Key"]: one.get("Value", "") for one in call.get("Tags", [])}
