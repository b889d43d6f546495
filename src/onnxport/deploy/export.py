"""The intent as a CloudFormation template, for those who outgrow `onnxport deploy`: a way out, and only outwards.

What onnxport does in steps can't stand in a template: pushing the image, uploading the bundle, golden requests, the
swap. So image and bundle are there already, and where the bundle is are parameters. The stack has names of its own, and
not the tag by which onnxport knows what is its own: neither of the two touches what the other made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from onnxport.deploy.grants import (
    machine_policies,
    machine_trust,
    pull_policy,
    service_policies,
    service_trust,
)
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import PLATFORM_BRANCH, partition
from onnxport.deploy.options import option_settings
from onnxport.deploy.tags import APP, MANAGED_BY

FORMATS = ("cloudformation",)
_SUFFIX = "-stack"
# Stand-ins for what only the stack knows; no name of a role that a user gives begins with a slash.
_PROFILE, _SERVICE = "/InstanceProfile", "/ServiceRole"
_REFERENCES: dict[str, dict[str, Any]] = {
    _PROFILE: {"Ref": "InstanceProfile"},
    _SERVICE: {"Fn::GetAtt": ["ServiceRole", "Arn"]},
}

Template = dict[str, Any]


def cloudformation(intent: Intent, *, key_lines: Sequence[str], repository: str) -> str:
    """The template as JSON, the same for the same intent.

    key_lines: the hashes of keys, as `access.hash_lines` gives them. repository: the name in ECR that the machines may
    pull from; unused where the intent names a repository elsewhere. Raises SettingsError as `option_settings` does.
    """
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{intent.name}: a model behind an HTTP API, on Elastic Beanstalk",
        "Parameters": _parameters(),
        "Resources": {
            **_machine_role(intent, repository),
            **_service_role(intent),
            **_beanstalk(intent, key_lines),
        },
        "Outputs": _outputs(),
    }
    return json.dumps(document, indent=2) + "\n"


def _parameters() -> Template:
    return {
        "BundleBucket": {"Type": "String", "Description": "Bucket of the source bundle"},
        "BundleKey": {"Type": "String", "Description": "Key of the source bundle"},
        "Platform": {
            "Type": "String",
            "Description": f"Solution stack of the branch {PLATFORM_BRANCH}, the newest",
            "AllowedPattern": r"64bit Amazon Linux 2023 v[0-9.]+ running Docker",
        },
    }


def _machine_role(intent: Intent, repository: str) -> Template:
    """Role and instance profile, unless the intent names one."""
    if intent.roles.instance_profile:
        return {}
    role = _role(
        intent, machine_trust(partition(intent.region)), machine_policies(_sub("Partition"))
    )
    if not intent.image.repository:
        role["Properties"]["Policies"] = [
            {"PolicyName": "pull", "PolicyDocument": _pull(repository)}
        ]
    profile = {
        "Type": "AWS::IAM::InstanceProfile",
        "Properties": {"Roles": [{"Ref": "MachineRole"}]},
    }
    return {"MachineRole": role, "InstanceProfile": profile}


def _service_role(intent: Intent) -> Template:
    if intent.roles.service:
        return {}
    return {"ServiceRole": _role(intent, service_trust(), service_policies(_sub("Partition")))}


def _role(intent: Intent, trust: Template, policies: Sequence[str]) -> Template:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": trust,
            "ManagedPolicyArns": [{"Fn::Sub": arn} for arn in policies],
            "Tags": _tags(intent),
        },
    }


def _pull(repository: str) -> Template:
    document = pull_policy(_sub("Partition"), _sub("Region"), _sub("AccountId"), repository)
    for statement in document["Statement"]:
        if "${" in statement["Resource"]:
            statement["Resource"] = {"Fn::Sub": statement["Resource"]}
    return document


def _sub(name: str) -> str:
    return f"${{AWS::{name}}}"


def _beanstalk(intent: Intent, key_lines: Sequence[str]) -> Template:
    application = {"Ref": "Application"}
    version = {
        "ApplicationName": application,
        "Description": "The bundle names the image by its digest",
        "SourceBundle": {"S3Bucket": {"Ref": "BundleBucket"}, "S3Key": {"Ref": "BundleKey"}},
    }
    environment = {
        "ApplicationName": application,
        "EnvironmentName": f"{intent.name}{_SUFFIX}",
        "SolutionStackName": {"Ref": "Platform"},
        "VersionLabel": {"Ref": "Version"},
        "OptionSettings": _settings(intent, key_lines),
        "Tags": _tags(intent),
    }
    return {
        "Application": {
            "Type": "AWS::ElasticBeanstalk::Application",
            "Properties": {"ApplicationName": f"{intent.app}{_SUFFIX}"},
        },
        "Version": {"Type": "AWS::ElasticBeanstalk::ApplicationVersion", "Properties": version},
        "Environment": {"Type": "AWS::ElasticBeanstalk::Environment", "Properties": environment},
    }


def _settings(intent: Intent, key_lines: Sequence[str]) -> list[Template]:
    settings = option_settings(
        intent,
        instance_profile=intent.roles.instance_profile or _PROFILE,
        service_role=intent.roles.service or _SERVICE,
        key_lines=key_lines,
    )
    return [{**each, "Value": _REFERENCES.get(each["Value"], each["Value"])} for each in settings]


def _tags(intent: Intent) -> list[Template]:
    tags = {**dict(intent.tags), APP: intent.app, MANAGED_BY: "cloudformation"}
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _outputs() -> Template:
    return {
        "Environment": {"Value": {"Ref": "Environment"}, "Description": "The environment's name"},
        "Endpoint": {
            "Value": {"Fn::GetAtt": ["Environment", "EndpointURL"]},
            "Description": "The address of its load balancer or machine",
        },
    }
