"""What is done to Elastic Beanstalk, one function for one thing. None of them waits; `events` does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from botocore.exceptions import ClientError

from onnxport.deploy.aws.session import Cloud, absent_is_fine, told

_PROPAGATION_SECONDS = 90.0  # until IAM's news are everywhere
_PROPAGATION_PAUSE = 3.0
_NOT_KNOWN_YET = re.compile(
    r"Invalid IamInstanceProfile|(role|instance ?profile)\b.*(invalid|not exist|not found|assume)",
    re.IGNORECASE,
)

Settings = Sequence[Mapping[str, str]]
Answer = TypeVar("Answer")


def create_application(
    cloud: Cloud, *, name: str, tags: Mapping[str, str], keep: int, service_role: str
) -> None:
    """keep: how many versions stay; their bundles in the bucket stay all. service_role: an ARN, for the deletions."""
    rule = {"Enabled": True, "MaxCount": keep, "DeleteSourceFromS3": False}
    lifecycle = {"ServiceRole": service_role, "VersionLifecycleConfig": {"MaxCountRule": rule}}

    def create() -> None:
        cloud.beanstalk.create_application(
            ApplicationName=name,
            Description="made by onnxport",
            ResourceLifecycleConfig=lifecycle,
            Tags=tag_list(tags),
        )

    with told(f"create application {name}"):
        _when_known(create)


def delete_application(cloud: Cloud, *, name: str) -> None:
    """Only where no environment is left: nothing is terminated by force."""
    with told(f"delete application {name}"), absent_is_fine("ResourceNotFoundException"):
        cloud.beanstalk.delete_application(ApplicationName=name, TerminateEnvByForce=False)


def create_storage(cloud: Cloud) -> str:
    """The account's Beanstalk bucket, made if it isn't there."""
    with told("prepare the bucket of Elastic Beanstalk"):
        return str(cloud.beanstalk.create_storage_location()["S3Bucket"])


def create_version(
    cloud: Cloud,
    *,
    application: str,
    label: str,
    description: str,
    bucket: str,
    key: str,
    tags: Mapping[str, str],
) -> None:
    with told(f"create version {label}"):
        cloud.beanstalk.create_application_version(
            ApplicationName=application,
            VersionLabel=label,
            Description=description,
            SourceBundle={"S3Bucket": bucket, "S3Key": key},
            AutoCreateApplication=False,
            Process=True,
            Tags=tag_list(tags),
        )


def delete_version(cloud: Cloud, *, application: str, label: str) -> None:
    """The bundle stays: whoever wrote it removes it."""
    with told(f"delete version {label}"), absent_is_fine("ResourceNotFoundException"):
        cloud.beanstalk.delete_application_version(
            ApplicationName=application, VersionLabel=label, DeleteSourceBundle=False
        )


def create_environment(
    cloud: Cloud,
    *,
    application: str,
    name: str,
    cname: str,
    version: str,
    platform: str,
    settings: Settings,
    tags: Mapping[str, str],
) -> str:
    """Gives its id. Sent once: a resumable DeployError leaves it open whether AWS has done it."""

    def create() -> str:
        said = cloud.beanstalk_once.create_environment(
            ApplicationName=application,
            EnvironmentName=name,
            CNAMEPrefix=cname,
            VersionLabel=version,
            OptionSettings=list(settings),
            Tags=tag_list(tags),
            **_platform(platform),
        )
        return str(said["EnvironmentId"])

    with told(f"create environment {name}"):
        return _when_known(create)


def _when_known(call: Callable[[], Answer]) -> Answer:
    """Calls again while the news of a role or an instance profile, made seconds ago, are on their way through IAM."""
    deadline = time.monotonic() + _PROPAGATION_SECONDS
    while True:
        try:
            return call()
        except ClientError as err:
            said = str(err.response.get("Error", {}).get("Message", ""))
            if not _NOT_KNOWN_YET.search(said) or time.monotonic() > deadline:
                raise
            time.sleep(_PROPAGATION_PAUSE)


def _platform(platform: str) -> dict[str, str]:
    return {"PlatformArn" if platform.startswith("arn:") else "SolutionStackName": platform}


def update_settings(cloud: Cloud, *, name: str, settings: Settings, remove: Settings = ()) -> None:
    """The configuration alone: a version goes in an update of its own."""
    removed = {"OptionsToRemove": list(remove)} if remove else {}
    with told(f"change the settings of {name}"):
        cloud.beanstalk.update_environment(
            EnvironmentName=name, OptionSettings=list(settings), **removed
        )


def update_version(cloud: Cloud, *, name: str, version: str) -> None:
    with told(f"put version {version} on {name}"):
        cloud.beanstalk.update_environment(EnvironmentName=name, VersionLabel=version)


def update_platform(cloud: Cloud, *, name: str, platform: str) -> None:
    with told(f"put {name} on another platform"):
        cloud.beanstalk.update_environment(EnvironmentName=name, **_platform(platform))


def update_tags(cloud: Cloud, *, arn: str, tags: Mapping[str, str]) -> None:
    with told("write tags"):
        cloud.beanstalk.update_tags_for_resource(ResourceArn=arn, TagsToAdd=tag_list(tags))


def swap(cloud: Cloud, *, source: str, destination: str) -> None:
    """Sent once: a second one would undo it, so whoever calls looks first. A resumable DeployError leaves it open
    whether AWS has done it.
    """
    with told(f"swap the addresses of {source} and {destination}"):
        cloud.beanstalk_once.swap_environment_cnames(
            SourceEnvironmentName=source, DestinationEnvironmentName=destination
        )


def terminate(cloud: Cloud, *, id: str) -> None:
    """By its id: another one may have its name by now."""
    with told(f"terminate environment {id}"):
        cloud.beanstalk.terminate_environment(EnvironmentId=id, TerminateResources=True)


def abort(cloud: Cloud, *, name: str) -> None:
    with told(f"abort the update of {name}"):
        cloud.beanstalk.abort_environment_update(EnvironmentName=name)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
