"""Operations on applications, their versions and the bucket for their bundles."""

from __future__ import annotations

from moto.s3.models import s3_backends

from tests.deploy.fake_aws import bundles
from tests.deploy.fake_aws.finding import (
    Answer,
    Call,
    application,
    living,
    tags,
    told_application,
    told_version,
    version,
)
from tests.deploy.fake_aws.refusals import Refusal, invalid
from tests.deploy.fake_aws.state import Application, Event, Version

QUOTAS = {
    "ApplicationQuota": 75,
    "ApplicationVersionQuota": 1000,
    "ConfigurationTemplateQuota": 2000,
    "CustomPlatformQuota": 50,
    "EnvironmentQuota": 200,
}
_NO_LIFECYCLE = {
    "VersionLifecycleConfig": {
        "MaxCountRule": {"Enabled": False, "MaxCount": 200, "DeleteSourceFromS3": False},
        "MaxAgeRule": {"Enabled": False, "MaxAgeInDays": 180, "DeleteSourceFromS3": False},
    }
}


def quotas(call: Call) -> dict[str, int]:
    """What the account may have; under the script "quota" it is what it has."""
    if not call.cloud.scripts.strikes("quota", operation=call.operation):
        return QUOTAS
    applications = call.cloud.applications.values()
    return {
        **QUOTAS,
        "ApplicationQuota": len(applications),
        "ApplicationVersionQuota": sum(len(one.versions) for one in applications),
        "EnvironmentQuota": len(living(call.cloud)),
    }


def describe_account_attributes(call: Call) -> Answer:
    return {"ResourceQuotas": {name: {"Maximum": most} for name, most in quotas(call).items()}}


def create_storage_location(call: Call) -> Answer:
    cloud = call.cloud
    backend = s3_backends[cloud.account]["aws"]
    if cloud.bucket not in backend.buckets:
        backend.create_bucket(cloud.bucket, cloud.region)
    return {"S3Bucket": cloud.bucket}


# --------------------------------------------------------------------------------------------------- applications


def create_application(call: Call) -> Answer:
    name = call.text("ApplicationName")
    if name in call.cloud.applications:
        raise invalid(f"Application {name} already exists.")
    role = call.get("ResourceLifecycleConfig", {}).get("ServiceRole")
    if role and call.cloud.scripts.strikes("role_unknown", operation=call.operation):
        raise invalid(f"The service role {role} is invalid or can't be assumed.")
    return {"Application": told_application(call.cloud, _new_application(call, name))}


def _new_application(call: Call, name: str) -> Application:
    if "/" in name:
        raise invalid("Value for parameter ApplicationName contains invalid characters: '/'.")
    if len(call.cloud.applications) >= quotas(call)["ApplicationQuota"]:
        raise Refusal("TooManyApplicationsException", "You have too many applications.")
    lifecycle = {**_NO_LIFECYCLE, **call.get("ResourceLifecycleConfig", {})}
    description = call.text("Description") if call.operation == "CreateApplication" else ""
    new = Application(name, description, call.now, call.now, tags(call), lifecycle)
    call.cloud.applications[name] = new
    return new


def describe_applications(call: Call) -> Answer:
    names = call.get("ApplicationNames")
    found = [
        told_application(call.cloud, one)
        for one in call.cloud.applications.values()
        if names is None or one.name in names
    ]
    return {"Applications": found}


def update_application(call: Call) -> Answer:
    one = application(call)
    one.description = str(call.get("Description", one.description))
    one.updated = call.now
    return {"Application": told_application(call.cloud, one)}


def update_application_resource_lifecycle(call: Call) -> Answer:
    one = application(call)
    wanted = call.get("ResourceLifecycleConfig")
    if not wanted.get("ServiceRole") and not one.lifecycle.get("ServiceRole"):
        raise invalid("ServiceRole is required to set a version lifecycle policy.")
    one.lifecycle = {**one.lifecycle, **wanted}
    one.updated = call.now
    return {"ApplicationName": one.name, "ResourceLifecycleConfig": one.lifecycle}


def delete_application(call: Call) -> Answer:
    """No error for one that isn't there."""
    name = call.text("ApplicationName")
    running = [one for one in living(call.cloud) if one.application == name]
    if running and not call.get("TerminateEnvByForce"):
        raise Refusal(
            "OperationInProgressFailure",
            f"Unable to delete application {name} because it has running environments.",
        )
    for one in running:
        from tests.deploy.fake_aws.courses import terminate

        terminate(call.cloud, one, call.now)
    call.cloud.applications.pop(name, None)
    return {}


# -------------------------------------------------------------------------------------------------------- versions


def create_application_version(call: Call) -> Answer:
    cloud, name, label = call.cloud, call.text("ApplicationName"), call.text("VersionLabel")
    if name not in cloud.applications and call.get("AutoCreateApplication"):
        _new_application(call, name)
    one = application(call)
    if label in one.versions:
        raise invalid(f"Application Version {label} already exists.")
    count = sum(len(app.versions) for app in cloud.applications.values())
    if count >= quotas(call)["ApplicationVersionQuota"]:
        said = f"You cannot have more than {count} Application Versions. Either remove some or request an increase."
        raise Refusal("TooManyApplicationVersionsException", said)
    bucket, key = _bundle(call)
    status = "Processed" if call.get("Process") else "Unprocessed"
    if cloud.scripts.strikes("version_failed"):
        status = "Failed"
    new = Version(
        label, name, bucket, key, call.text("Description"), call.now, call.now, status, tags(call)
    )
    one.versions[label] = new
    said = f"Created new Application Version: {label}"
    cloud.events.append(
        Event(call.now, "INFO", said, name, version=label, request_id=call.request_id)
    )
    return {"ApplicationVersion": told_version(cloud, new)}


def _bundle(call: Call) -> tuple[str, str]:
    """The bucket and the key, which must be in this region, and there."""
    place = call.get("SourceBundle", {})
    bucket, key = place.get("S3Bucket", ""), place.get("S3Key", "")
    if not bucket or not key:
        raise invalid("SourceBundle must name S3Bucket and S3Key.")
    cloud = call.cloud
    region = bundles.region_of(cloud.account, bucket)
    if region is None or bundles.stored(cloud.account, bucket, key) is None:
        raise invalid(
            f"Unable to download from S3 location (Bucket: {bucket} Key: {key}). Reason: Not Found"
        )
    if region != cloud.region:
        said = f"The S3 bucket {bucket} is in {region}, and the service in {cloud.region}."
        raise Refusal("S3LocationNotInServiceRegionException", said)
    return bucket, key


def describe_application_versions(call: Call) -> Answer:
    """Newest first."""
    name, labels = call.text("ApplicationName"), call.get("VersionLabels")
    found = [
        one
        for app in call.cloud.applications.values()
        for one in app.versions.values()
        if name in ("", app.name) and (not labels or one.label in labels)
    ]
    found.sort(key=lambda one: one.created, reverse=True)
    start, most = int(call.text("NextToken") or 0), int(call.get("MaxRecords") or 1000)
    answer: Answer = {
        "ApplicationVersions": [
            told_version(call.cloud, one) for one in found[start : start + most]
        ]
    }
    if len(found) > start + most:
        answer["NextToken"] = str(start + most)
    return answer


def update_application_version(call: Call) -> Answer:
    one = version(call)
    one.description = str(call.get("Description", one.description))
    one.updated = call.now
    return {"ApplicationVersion": told_version(call.cloud, one)}


def delete_application_version(call: Call) -> Answer:
    """No error for one that isn't there; an environment that runs it holds it."""
    name, label = call.text("ApplicationName"), call.text("VersionLabel")
    for one in living(call.cloud):
        if (one.application, one.version) == (name, label):
            said = f"Application version {label} is deployed to environment {one.name}."
            raise Refusal("SourceBundleDeletionFailure", f"Unable to delete: {said}")
    gone = application(call).versions.pop(label, None)
    if gone is not None and call.get("DeleteSourceBundle"):
        backend = s3_backends[call.cloud.account]["aws"]
        backend.delete_object(gone.bucket, gone.key)
    return {}
