"""Reads an account into frozen data; nothing here changes anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from onnxport.deploy.aws.session import Cloud, absent_is_fine, code_of, told
from onnxport.deploy.observed import (
    Address,
    Application,
    Environment,
    Profile,
    Repository,
    Role,
    Tags,
    Version,
)
from onnxport.errors import DeployError

BRANCH = "Docker running on 64bit Amazon Linux 2023"
_STACK = re.compile(r"64bit Amazon Linux 2023 v([0-9.]+) running Docker")
_GONE = "Terminated"
_ABSENT = ("404", "NoSuchKey", "NotFound", "NoSuchBucket")


def read_application(cloud: Cloud, name: str) -> Application | None:
    """The application of that name, or None."""
    with told("read the application"):
        found = cloud.beanstalk.describe_applications(ApplicationNames=[name])["Applications"]
    for each in found:
        if each["ApplicationName"] == name:
            arn = each.get("ApplicationArn", "")
            role = each.get("ResourceLifecycleConfig", {}).get("ServiceRole", "")
            return Application(name, arn, read_tags(cloud, arn), role.rpartition("/")[2])
    return None


def read_environments(cloud: Cloud, application: str, names: Iterable[str]) -> list[Environment]:
    """All of the application, and whatever else has one of the names, which are unique in a region."""
    with told("read the environments"):
        ours = _pages(cloud, "Environments", "describe_environments", ApplicationName=application)
        wanted = list(names)
        named = (
            _pages(cloud, "Environments", "describe_environments", EnvironmentNames=wanted)
            if wanted
            else []  # which AWS would take for all
        )
    found = {each["EnvironmentName"]: each for each in (*named, *ours) if each["Status"] != _GONE}
    return [_environment(cloud, each) for each in found.values()]


def read_environment(cloud: Cloud, name: str) -> Environment | None:
    """One environment without tags and settings, as it is now; None where it is gone."""
    with told(f"look at environment {name}"):
        found = _pages(cloud, "Environments", "describe_environments", EnvironmentNames=[name])
    living = [each for each in found if each["Status"] != _GONE]
    return _plain(living[0], {}) if living else None


def _environment(cloud: Cloud, told_of: Mapping[str, Any]) -> Environment:
    return _plain(told_of, read_tags(cloud, told_of.get("EnvironmentArn", "")))


def _plain(told_of: Mapping[str, Any], tags: Tags) -> Environment:
    return Environment(
        name=told_of["EnvironmentName"],
        id=told_of.get("EnvironmentId", ""),
        arn=told_of.get("EnvironmentArn", ""),
        application=told_of["ApplicationName"],
        status=told_of["Status"],
        health=told_of.get("Health", "Grey"),
        version=told_of.get("VersionLabel"),
        cname=told_of.get("CNAME", ""),
        platform=told_of.get("PlatformArn") or told_of.get("SolutionStackName", ""),
        tags=tags,
        created=told_of.get("DateCreated"),
        updated=told_of.get("DateUpdated"),
        is_abortable=bool(told_of.get("AbortableOperationInProgress")),
        endpoint=told_of.get("EndpointURL", ""),
    )


def read_settings(cloud: Cloud, environment: Environment) -> dict[tuple[str, str], str]:
    """The option settings in force."""
    with told(f"read the settings of {environment.name}"):
        said = cloud.beanstalk.describe_configuration_settings(
            ApplicationName=environment.application, EnvironmentName=environment.name
        )
    found = said["ConfigurationSettings"]
    options = found[0].get("OptionSettings", []) if found else []
    return {(o["Namespace"], o["OptionName"]): o.get("Value", "") for o in options}


def read_tags(cloud: Cloud, arn: str) -> dict[str, str]:
    """The tags of a Beanstalk resource; none for one that is gone."""
    if not arn:
        return {}
    with told("read tags"), absent_is_fine("ResourceNotFoundException"):
        said = cloud.beanstalk.list_tags_for_resource(ResourceArn=arn)
        return _tags(said.get("ResourceTags", []))
    return {}


def read_versions(cloud: Cloud, application: str, *, tagged: bool = False) -> list[Version]:
    """The versions of an application, newest first. tagged: read their tags too, a call for each."""
    with told("read the versions"), absent_is_fine("InvalidParameterValue"):
        found = _pages(
            cloud,
            "ApplicationVersions",
            "describe_application_versions",
            ApplicationName=application,
        )
        versions = [_version(cloud, each, tagged=tagged) for each in found]
        return sorted(versions, key=lambda one: (str(one.created), one.label), reverse=True)
    return []


def _version(cloud: Cloud, told_of: Mapping[str, Any], *, tagged: bool) -> Version:
    bundle, arn = told_of.get("SourceBundle", {}), told_of.get("ApplicationVersionArn", "")
    return Version(
        label=told_of["VersionLabel"],
        arn=arn,
        status=told_of.get("Status", ""),
        bucket=bundle.get("S3Bucket", ""),
        key=bundle.get("S3Key", ""),
        description=told_of.get("Description", ""),
        tags=read_tags(cloud, arn) if tagged else {},
        created=told_of.get("DateCreated"),
    )


def read_platform(cloud: Cloud) -> str:
    """The newest Docker platform on Amazon Linux 2023: the ARN of its version, or the name of its stack."""
    with told("look for the newest Docker platform"):
        found = _pages(
            cloud,
            "PlatformSummaryList",
            "list_platform_versions",
            Filters=[{"Type": "PlatformBranchName", "Operator": "=", "Values": [BRANCH]}],
        )
        usable = [each for each in found if each.get("PlatformStatus", "Ready") == "Ready"]
        if usable:
            newest = max(usable, key=lambda each: _number(each["PlatformVersion"]))
            return str(newest["PlatformArn"])
        stacks = cloud.beanstalk.list_available_solution_stacks()["SolutionStacks"]
    matches = [match for match in map(_STACK.fullmatch, stacks) if match]
    if not matches:
        raise DeployError(
            f"{cloud.region} offers no platform {BRANCH!r}", remedy="take another region"
        )
    return max(matches, key=lambda match: _number(match[1]))[0]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def read_address(cloud: Cloud, prefix: str) -> Address:
    """What a prefix stands for, and whether somebody has it."""
    with told(f"ask for the address {prefix}"):
        said = cloud.beanstalk.check_dns_availability(CNAMEPrefix=prefix)
    suffix = f".{cloud.region}.elasticbeanstalk.com"
    return Address(prefix, said.get("FullyQualifiedCNAME") or prefix + suffix, said["Available"])


def read_repository(cloud: Cloud, name: str, digest: str) -> Repository | None:
    """The ECR repository, and whether it holds the image."""
    with told("read the image repository"), absent_is_fine("RepositoryNotFoundException"):
        found = cloud.ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        arn = found["repositoryArn"]
        tags = _tags(cloud.ecr.list_tags_for_resource(resourceArn=arn).get("tags", []))
        held = _holds(cloud, name, digest)
        return Repository(name, arn, found["repositoryUri"], tags, held)
    return None


def _holds(cloud: Cloud, name: str, digest: str) -> frozenset[str]:
    if not digest:
        return frozenset()
    ids = [{"imageDigest": digest}]
    with absent_is_fine("ImageNotFoundException"):
        said = cloud.ecr.batch_get_image(repositoryName=name, imageIds=ids)
        return frozenset(image["imageId"]["imageDigest"] for image in said.get("images", []))
    return frozenset()


def read_role(cloud: Cloud, name: str) -> Role | None:
    """The IAM role of that name, or None."""
    with told(f"read the role {name}"), absent_is_fine("NoSuchEntity"):
        found = cloud.iam.get_role(RoleName=name)["Role"]
        attached = cloud.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        inside = cloud.iam.list_role_policies(RoleName=name)["PolicyNames"]
        policies = frozenset([*(policy["PolicyArn"] for policy in attached), *inside])
        return Role(name, found["Arn"], _tags(found.get("Tags", [])), policies)
    return None


def read_profile(cloud: Cloud, name: str) -> Profile | None:
    """The instance profile of that name, or None."""
    with told(f"read the instance profile {name}"), absent_is_fine("NoSuchEntity"):
        found = cloud.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        roles = tuple(role["RoleName"] for role in found.get("Roles", []))
        return Profile(name, found["Arn"], roles, _tags(found.get("Tags", [])))
    return None


def has_bucket(cloud: Cloud, name: str) -> bool:
    """Whether the account's Beanstalk bucket is there."""
    with told(f"look for the bucket {name}"), absent_is_fine(*_ABSENT):
        cloud.s3.head_bucket(Bucket=name, ExpectedBucketOwner=cloud.account.id)
        return True
    return False


def read_objects(cloud: Cloud, bucket: str, prefix: str) -> list[str]:
    """The keys under a prefix."""
    keys: list[str] = []
    with told("list what is in the bucket"), absent_is_fine(*_ABSENT):
        pages = cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            keys += [entry["Key"] for entry in page.get("Contents", [])]
    return keys


def read_document(cloud: Cloud, bucket: str, key: str) -> dict[str, Any] | None:
    """A JSON document of ours, or None where there is none or it isn't one."""
    with told(f"read s3://{bucket}/{key}"):
        try:
            content = cloud.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            document = json.loads(content)
        except ClientError as err:
            if code_of(err) in _ABSENT:
                return None
            raise
        except ValueError:
            return None
    return document if isinstance(document, dict) else None


def _tags(said: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in said}


def _pages(cloud: Cloud, what: str, operation: str, **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    call = getattr(cloud.beanstalk, operation)
    while True:
        said = call(**arguments)
        found += said.get(what, [])
        if not said.get("NextToken"):
            return found
        arguments["NextToken"] = said["NextToken"]
