"""Reads what the preflight asks beyond the plan's needs; nothing here changes anything, dry runs included."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import botocore.session
from botocore.exceptions import ClientError, NoCredentialsError

from onnxport.deploy.aws.reading import BRANCH
from onnxport.deploy.aws.session import Cloud, absent_is_fine, code_of, told
from onnxport.deploy.preflight.facts import (
    Certificate,
    Limit,
    Machine,
    PlatformVersion,
    Quota,
    Remark,
    Rights,
    Shelf,
    Statement,
    Subnet,
    Surroundings,
    Whereabouts,
)
from onnxport.errors import DeployError

_SHAPES = {
    "elasticbeanstalk": (
        *("ApplicationName", "EnvironmentName", "DNSCnamePrefix", "VersionLabel", "S3Key"),
    ),
    "ecr": ("RepositoryName",),
    "iam": ("roleNameType",),
}
_MEBIBYTE = 1 << 20
_DRY_RUN = "DryRunOperation"  # AWS's way to say that it would have been done
_DENIED = ("UnauthorizedOperation", "AccessDenied")


def name_limits() -> dict[str, Limit]:
    """Lengths and forms of names, from botocore's own models; needs no credentials."""
    session = botocore.session.get_session()
    found = {}
    for service, shapes in _SHAPES.items():
        model = session.get_service_model(service)
        for shape in shapes:
            facts = model.shape_for(shape).metadata
            least, most = int(facts.get("min", 1)), int(facts.get("max", 1024))
            found[shape] = Limit(least, most, str(facts.get("pattern", "")))
    return found


# ------------------------------------------------------------------------------------------------------- the account


def lacks_credentials(err: DeployError) -> bool:
    """Whether there are none at all, rather than wrong ones."""
    return isinstance(err.__cause__, NoCredentialsError)


def where_we_are(cloud: Cloud) -> Whereabouts:
    """AWS's clock beside ours, and whether the account has opted into the region."""
    with told("ask AWS for the time"):
        said = cloud.client("sts").get_caller_identity()
    headers = said["ResponseMetadata"]["HTTPHeaders"]
    date = headers.get("date")
    skew = parsedate_to_datetime(date).timestamp() - time.time() if date else 0.0
    with told("ask for the region"):
        regions = cloud.client("ec2").describe_regions(AllRegions=True, RegionNames=[cloud.region])[
            "Regions"
        ]
    status = regions[0].get("OptInStatus", "") if regions else "unknown"
    return Whereabouts(skew, status not in ("not-opted-in", "unknown"), status)


def read_quotas(cloud: Cloud) -> tuple[Quota, ...]:
    """How much of what Elastic Beanstalk and EC2 grant is used in this region."""
    with told("read the quotas"):
        granted = cloud.beanstalk.describe_account_attributes()["ResourceQuotas"]
        used = {
            "ApplicationQuota": len(cloud.beanstalk.describe_applications()["Applications"]),
            "ApplicationVersionQuota": _count(
                cloud, "describe_application_versions", "ApplicationVersions"
            ),
            "EnvironmentQuota": _count(
                cloud, "describe_environments", "Environments", IncludeDeleted=False
            ),
        }
    told_of = {"ApplicationQuota": "applications", "EnvironmentQuota": "environments"}
    quotas = [
        Quota(
            told_of.get(name, "application versions"), count, granted.get(name, {}).get("Maximum")
        )
        for name, count in used.items()
    ]
    return (*quotas, _addresses(cloud))


def _count(cloud: Cloud, operation: str, what: str, **given: Any) -> int:
    call, count = getattr(cloud.beanstalk, operation), 0
    while True:
        said = call(**given)
        count += len(said.get(what, []))
        if not said.get("NextToken"):
            return count
        given["NextToken"] = said["NextToken"]


def _addresses(cloud: Cloud) -> Quota:
    """A single instance gets an elastic IP address."""
    with told("count the elastic IP addresses"):
        ec2 = cloud.client("ec2")
        used = len(ec2.describe_addresses()["Addresses"])
        said = ec2.describe_account_attributes(AttributeNames=["vpc-max-elastic-ips"])
    values = {
        one["AttributeName"]: one["AttributeValues"][0]["AttributeValue"]
        for one in said["AccountAttributes"]
    }
    most = str(values.get("vpc-max-elastic-ips", ""))
    return Quota("elastic IP addresses", used, int(most) if most.isdecimal() else None)


def may_make_templates(cloud: Cloud) -> bool | None:
    """Whether these credentials may make launch templates, tried as a dry run; None where AWS doesn't tell."""
    with told("try to make a launch template, as a dry run"):
        try:
            cloud.client("ec2").create_launch_template(
                DryRun=True,
                LaunchTemplateName="onnxport-preflight",
                LaunchTemplateData={"Monitoring": {"Enabled": False}},
            )
        except ClientError as err:
            if code_of(err) == _DRY_RUN:
                return True
            if code_of(err) in _DENIED:
                return False
            raise
    return None


# ------------------------------------------------------------------------------------------------ network, machines


def read_surroundings(cloud: Cloud, vpc: str) -> Surroundings:
    """The VPCs, and the subnets of the one that is named, or of the default one."""
    with told("read the network"):
        ec2 = cloud.client("ec2")
        vpcs = {one["VpcId"]: bool(one.get("IsDefault")) for one in ec2.describe_vpcs()["Vpcs"]}
        chosen = vpc or next((name for name, is_default in vpcs.items() if is_default), "")
        if not chosen:
            return Surroundings(vpcs, ())
        within = [{"Name": "vpc-id", "Values": [chosen]}]
        tables = ec2.describe_route_tables(Filters=within)["RouteTables"]
        subnets = ec2.describe_subnets(Filters=within)["Subnets"]
    return Surroundings(vpcs, tuple(_subnet(one, tables) for one in subnets))


def _subnet(said: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> Subnet:
    routes = [
        route
        for route in _table_of(said["SubnetId"], tables).get("Routes", [])
        if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]
    to_gateway = any(str(route.get("GatewayId", "")).startswith("igw-") for route in routes)
    return Subnet(
        id=said["SubnetId"],
        vpc=said["VpcId"],
        zone=said["AvailabilityZone"],
        to_gateway=to_gateway,
        to_nat=bool(routes) and not to_gateway,
    )


def _table_of(subnet: str, tables: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The subnet's own route table, else the main one."""
    main: Mapping[str, Any] = {}
    for table in tables:
        for link in table.get("Associations", []):
            if link.get("SubnetId") == subnet:
                return table
            if link.get("Main"):
                main = table
    return main


def read_machines(cloud: Cloud, types: Sequence[str]) -> dict[str, Machine]:
    """Instance types by name; those that the region doesn't know are left out."""
    named = [{"Name": "instance-type", "Values": list(types)}]
    with told("read the instance types"):
        ec2 = cloud.client("ec2")
        said = ec2.describe_instance_types(Filters=named)["InstanceTypes"]
        offered = ec2.describe_instance_type_offerings(
            LocationType="availability-zone", Filters=named
        )["InstanceTypeOfferings"]
    return {
        one["InstanceType"]: Machine(
            name=one["InstanceType"],
            memory=int(one["MemoryInfo"]["SizeInMiB"]) * _MEBIBYTE,
            architectures=tuple(one["ProcessorInfo"]["SupportedArchitectures"]),
            zones=frozenset(
                each["Location"] for each in offered if each["InstanceType"] == one["InstanceType"]
            ),
        )
        for one in said
    }


# ------------------------------------------------------------------------------------------------------------ rights


def read_rights(cloud: Cloud, role: str) -> Rights | None:
    """All that a role may, by its attached and its own policies; None where there is no such role."""
    with told(f"read the rights of {role}"), absent_is_fine("NoSuchEntity"):
        iam = cloud.iam
        trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        own = iam.list_role_policies(RoleName=role)["PolicyNames"]
        documents = [_managed(cloud, policy["PolicyArn"]) for policy in attached]
        documents += [
            iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in own
        ]
        statements = tuple(one for document in documents for one in _statements(document))
        return Rights(role, frozenset(_principals(trust)), statements)
    return None


def _managed(cloud: Cloud, arn: str) -> Mapping[str, Any]:
    version = cloud.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    said = cloud.iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    document: Mapping[str, Any] = said["Document"]
    return document


def _statements(document: Mapping[str, Any]) -> list[Statement]:
    found = document.get("Statement", [])
    return found if isinstance(found, list) else [found]


def _principals(trust: Mapping[str, Any]) -> Iterator[str]:
    for statement in _statements(trust):
        principal = statement.get("Principal", {})
        if statement.get("Effect") == "Allow" and isinstance(principal, dict):
            services = principal.get("Service", [])
            yield from [services] if isinstance(services, str) else services


# -------------------------------------------------------------------------------------- certificate, image, platform


def read_certificate(cloud: Cloud, arn: str) -> Certificate | None:
    """ACM's certificate, or None."""
    with told("read the certificate"), absent_is_fine("ResourceNotFoundException"):
        said = cloud.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
        names = (said.get("DomainName", ""), *said.get("SubjectAlternativeNames", []))
        return Certificate(
            arn=arn,
            status=said.get("Status", ""),
            names=tuple(dict.fromkeys(filter(None, names))),
            key=said.get("KeyAlgorithm", ""),
            ends=said.get("NotAfter"),
        )
    return None


def read_shelf(cloud: Cloud, name: str, digest: str) -> Shelf | None:
    """The image repository, its rules, and the scan of one image; None where there is no repository."""
    with told("read the image repository"), absent_is_fine("RepositoryNotFoundException"):
        said = cloud.ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        holds = bool(digest) and _holds(cloud, name, digest)
        return Shelf(
            name=name,
            is_immutable=said.get("imageTagMutability") == "IMMUTABLE",
            lifecycle=_lifecycle(cloud, name),
            holds=holds,
            findings=_scan(cloud, name, digest) if holds else None,
        )
    return None


def _holds(cloud: Cloud, name: str, digest: str) -> bool:
    with absent_is_fine("ImageNotFoundException"):
        ids = [{"imageDigest": digest}]
        return bool(cloud.ecr.batch_get_image(repositoryName=name, imageIds=ids).get("images", []))
    return False


def _lifecycle(cloud: Cloud, name: str) -> tuple[Mapping[str, Any], ...] | None:
    with absent_is_fine("LifecyclePolicyNotFoundException"):
        said = cloud.ecr.get_lifecycle_policy(repositoryName=name)
        return tuple(json.loads(said["lifecyclePolicyText"]).get("rules", []))
    return None


def _scan(cloud: Cloud, name: str, digest: str) -> Mapping[str, int] | None:
    """How many weaknesses were found, by severity; None while there is no scan."""
    with absent_is_fine("ScanNotFoundException"):
        said = cloud.ecr.describe_image_scan_findings(
            repositoryName=name, imageId={"imageDigest": digest}
        )
        counts: Mapping[str, int] = said.get("imageScanFindings", {}).get(
            "findingSeverityCounts", {}
        )
        return counts
    return None


def read_platforms(cloud: Cloud) -> tuple[PlatformVersion, ...]:
    """All versions of Docker on Amazon Linux 2023 that the region offers."""
    filters = [{"Type": "PlatformBranchName", "Operator": "=", "Values": [BRANCH]}]
    found: list[Mapping[str, Any]] = []
    given: dict[str, Any] = {"Filters": filters}
    with told("read the platforms"):
        while True:
            said = cloud.beanstalk.list_platform_versions(**given)
            found += said.get("PlatformSummaryList", [])
            if not said.get("NextToken"):
                break
            given["NextToken"] = said["NextToken"]
    return tuple(
        PlatformVersion(
            arn=one["PlatformArn"],
            version=tuple(int(part) for part in one["PlatformVersion"].split(".")),
            state=one.get("PlatformBranchLifecycleState", ""),
        )
        for one in found
    )


def bucket_region(cloud: Cloud, bucket: str) -> str:
    """Where a bucket is; S3 says nothing for us-east-1."""
    with told(f"ask where the bucket {bucket} is"):
        said = cloud.s3.get_bucket_location(Bucket=bucket, ExpectedBucketOwner=cloud.account.id)
    return str(said.get("LocationConstraint") or "us-east-1")


def validate(
    cloud: Cloud, application: str, environment: str, settings: Iterable[Mapping[str, str]]
) -> tuple[Remark, ...]:
    """What Elastic Beanstalk says of settings for an environment, without taking them."""
    with told(f"have the settings of {environment} validated"):
        said = cloud.beanstalk.validate_configuration_settings(
            ApplicationName=application,
            EnvironmentName=environment,
            OptionSettings=list(settings),
        )
    return tuple(
        Remark(one.get("Severity", ""), one.get("Message", "")) for one in said.get("Messages", [])
    )
