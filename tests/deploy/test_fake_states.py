"""The fake's environments in the course of time: which states they pass, and what is refused in which."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from tests.deploy.account import (
    DOCKER,
    ENVIRONMENT,
    LAUNCH,
    Account,
    client,
    refused,
    setting,
    standing_still,
)
from tests.deploy.fake_aws.process import FakeAws

COMMAND = "aws:elasticbeanstalk:command"
ASG = "aws:autoscaling:asg"


@pytest.fixture
def account(fake_aws: FakeAws) -> Account:
    return standing_still(fake_aws)


def test_a_launch_is_ready_before_it_is_green(account: Account) -> None:
    made = account.create("iris-blue", "v1", CNAMEPrefix="iris")
    assert (made["Status"], made["Health"]) == ("Launching", "Grey")
    assert made["CNAME"] == "iris.eu-central-1.elasticbeanstalk.com"
    account.fake.advance(165)
    seen = account.look("iris-blue")
    assert (seen["Status"], seen["Health"], seen["HealthStatus"]) == ("Ready", "Grey", "Pending")
    account.fake.advance(20)
    assert account.look("iris-blue")["Health"] == "Green"
    told = account.told("iris-blue")
    assert told[0] == "createEnvironment is starting."
    assert "Successfully launched environment: iris-blue" in told


def test_time_passes_by_itself_too(fake_aws: FakeAws) -> None:
    fake_aws.rate(2000)
    account = Account(fake_aws)
    account.version("v1")
    account.create("iris-blue", "v1")
    for _ in range(100):
        seen = account.look("iris-blue")
        if seen["Health"] == "Green":
            break
    assert seen["Status"] == "Ready"


def test_a_version_is_deployed(account: Account) -> None:
    account.launch("iris-blue", "v1")
    account.eb.update_environment(EnvironmentName="iris-blue", VersionLabel="v2")
    seen = account.look("iris-blue")
    assert (seen["Status"], seen["VersionLabel"]) == ("Updating", "v2")
    assert seen["AbortableOperationInProgress"] is True
    account.fake.advance(60)
    seen = account.look("iris-blue")
    assert (seen["Status"], seen["Health"]) == ("Ready", "Green")
    assert "Environment update completed successfully." in account.told("iris-blue")


def test_version_and_options_go_in_two_updates(account: Account) -> None:
    account.launch("iris-blue", "v1")
    said = refused(
        account.eb.update_environment,
        EnvironmentName="iris-blue",
        VersionLabel="v2",
        OptionSettings=[setting(ASG, "MaxSize", "2")],
    )
    assert said.startswith("InvalidParameterCombination: Attempting to update both")
    assert account.look("iris-blue")["VersionLabel"] == "v1"


@pytest.mark.parametrize("deed", ["update", "swap", "terminate", "restart"])
def test_what_is_updated_is_left_alone(account: Account, deed: str) -> None:
    account.launch("iris-blue", "v1")
    account.launch("iris-green", "v1")
    account.eb.update_environment(EnvironmentName="iris-blue", VersionLabel="v2")
    calls: dict[str, tuple[Any, dict[str, str]]] = {
        "update": (account.eb.update_environment, {"EnvironmentName": "iris-blue"}),
        "swap": (
            account.eb.swap_environment_cnames,
            {
                "SourceEnvironmentName": "iris-green",
                "DestinationEnvironmentName": "iris-blue",
            },
        ),
        "terminate": (account.eb.terminate_environment, {"EnvironmentName": "iris-blue"}),
        "restart": (account.eb.restart_app_server, {"EnvironmentName": "iris-blue"}),
    }
    method, given = calls[deed]
    said = refused(method, **given)
    assert said == (
        "InvalidParameterValue: Environment named iris-blue is in an invalid state for this operation. Must be Ready."
    )


def test_names_are_swapped_together_with_what_they_lead_to(account: Account) -> None:
    blue = account.launch("iris-blue", "v1", CNAMEPrefix="iris")
    green = account.launch("iris-green", "v2", CNAMEPrefix="iris-idle")
    account.eb.swap_environment_cnames(
        SourceEnvironmentName="iris-blue", DestinationEnvironmentName="iris-green"
    )
    assert account.look("iris-blue")["Status"] == "Updating"
    account.fake.advance(10)
    now = {
        one["EnvironmentName"]: one for one in account.eb.describe_environments()["Environments"]
    }
    assert now["iris-green"]["CNAME"] == blue["CNAME"]
    assert now["iris-blue"]["CNAME"] == green["CNAME"]
    assert now["iris-green"]["EndpointURL"] == green["EndpointURL"]
    assert now["iris-blue"]["Status"] == now["iris-green"]["Status"] == "Ready"
    pair = "'iris-blue' and 'iris-green'"
    assert f"Completed swapping CNAMEs for environments {pair}." in account.told("iris-green")
    found = account.eb.check_dns_availability(CNAMEPrefix="iris")
    assert found == {**found, "Available": False, "FullyQualifiedCNAME": blue["CNAME"]}


def test_an_update_is_aborted_and_taken_back(account: Account) -> None:
    account.launch("iris-blue", "v1")
    said = refused(account.eb.abort_environment_update, EnvironmentName="iris-blue")
    assert "Must be pending deployment" in said
    account.eb.update_environment(EnvironmentName="iris-blue", VersionLabel="v2")
    account.eb.abort_environment_update(EnvironmentName="iris-blue")
    assert account.look("iris-blue")["Status"] == "Aborting"
    account.fake.advance(30)
    seen = account.look("iris-blue")
    assert (seen["Status"], seen["VersionLabel"]) == ("Ready", "v1")


def test_a_terminated_environment_is_listed_for_an_hour(account: Account) -> None:
    account.launch("iris-blue", "v1", CNAMEPrefix="iris")
    account.eb.terminate_environment(EnvironmentName="iris-blue")
    said = refused(account.create, name="iris-blue", label="v1")
    assert said == "InvalidParameterValue: Environment iris-blue already exists."
    account.fake.advance(200)
    assert account.look("iris-blue")["Status"] == "Terminated"
    assert account.told("iris-blue")[-1] == "terminateEnvironment completed successfully."
    assert account.eb.check_dns_availability(CNAMEPrefix="iris")["Available"] is True
    assert account.eb.describe_environments(IncludeDeleted=False)["Environments"] == []
    groups = client(account.fake, "ec2").describe_security_groups()["SecurityGroups"]
    assert [group["GroupName"] for group in groups if "awseb" in group["GroupName"]] == []
    account.fake.advance(3600)
    assert account.eb.describe_environments()["Environments"] == []


def test_options_are_kept(account: Account) -> None:
    chosen = [
        setting(ENVIRONMENT, "EnvironmentType", "SingleInstance"),
        setting(LAUNCH, "RootVolumeSize", "16"),
        setting("aws:elasticbeanstalk:application:environment", "ONNXPORT_HOSTS", "a,b"),
    ]
    account.launch("iris-blue", "v1", options=chosen)
    told = account.eb.describe_configuration_settings(
        ApplicationName="iris", EnvironmentName="iris-blue"
    )["ConfigurationSettings"][0]
    found = {
        (one["Namespace"], one["OptionName"]): one.get("Value") for one in told["OptionSettings"]
    }
    for one in chosen:
        assert found[one["Namespace"], one["OptionName"]] == one["Value"]
    assert found[COMMAND, "Timeout"] == "600"  # a default
    assert told["DeploymentStatus"] == "deployed"


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (setting("aws:autoscaling:asg", "MinSze", "1"), "Unknown configuration setting."),
        (setting("aws:elb:loadbalancer", "LoadBalancerType", "x"), "Unknown configuration setting"),
        (setting(COMMAND, "Timeout", "3601"), "integer from 1 to 3600"),
        (setting(COMMAND, "DeploymentPolicy", "immutable"), "Allowed values: [AllAtOnce"),
        (setting(COMMAND, "DeploymentPolicy", "TrafficSplitting"), "Application Load Balancer"),
        (setting(ASG, "MinSize", "9"), "must not be larger than MaxSize"),
        (
            setting("aws:elasticbeanstalk:application:environment", "BIG", "x" * 4100),
            "more than 4096",
        ),
    ],
)
def test_options_that_nobody_knows_or_may_have_are_refused(
    account: Account, bad: dict[str, str], rule: str
) -> None:
    single = setting(ENVIRONMENT, "EnvironmentType", "SingleInstance")
    said = refused(account.create, name="iris-blue", label="v1", options=[single, bad])
    assert said.startswith("ConfigurationValidationException: Configuration validation exception:")
    assert rule in said
    account.launch("iris-blue", "v1")
    messages = account.eb.validate_configuration_settings(
        ApplicationName="iris", EnvironmentName="iris-blue", OptionSettings=[bad]
    )["Messages"]
    assert [one["Severity"] for one in messages] == ["error"]


def test_what_is_fixed_at_creation_stays(account: Account) -> None:
    kind = [setting(ENVIRONMENT, "LoadBalancerType", "application")]
    account.launch("iris-blue", "v1", options=kind)
    other = [setting(ENVIRONMENT, "LoadBalancerType", "network")]
    said = refused(account.eb.update_environment, EnvironmentName="iris-blue", OptionSettings=other)
    assert "You can't change LoadBalancerType" in said


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"EnvironmentName": "-iris"}, "may not start or end with a dash"),
        ({"VersionLabel": "v9"}, "No Application Version named 'v9' found."),
        ({"ApplicationName": "rose"}, "No Application named 'rose' found."),
        ({"SolutionStackName": "Docker"}, "No Solution Stack named 'Docker' found."),
        ({"PlatformArn": "arn:aws:x"}, "can't both be specified"),
        ({"Tags": [{"Key": str(n), "Value": "x"} for n in range(48)]}, "at most 47 tags"),
        ({"CNAMEPrefix": "not_dns"}, "not a valid DNS label"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(
    account: Account, change: dict[str, Any], rule: str
) -> None:
    given = {
        "ApplicationName": "iris",
        "EnvironmentName": "iris-blue",
        "VersionLabel": "v1",
        "SolutionStackName": DOCKER,
        **change,
    }
    assert rule in refused(account.eb.create_environment, **given)
    assert account.eb.describe_environments()["Environments"] == []


def test_a_taken_name_is_told(account: Account) -> None:
    account.launch("iris-blue", "v1", CNAMEPrefix="iris")
    said = refused(account.create, name="iris-green", label="v1", CNAMEPrefix="Iris")
    assert "DNS name (iris.eu-central-1.elasticbeanstalk.com) is not available." in said


def test_the_newest_platform_stands_in_no_first_place(account: Account) -> None:
    branch = "Docker running on 64bit Amazon Linux 2023"
    filters = [{"Type": "PlatformBranchName", "Operator": "=", "Values": [branch]}]
    found = account.eb.list_platform_versions(Filters=filters)["PlatformSummaryList"]
    assert [one["PlatformVersion"] for one in found] == ["4.10.1", "4.9.2", "4.6.0"]
    assert found[0]["PlatformLifecycleState"] == "Recommended"
    stacks = account.eb.list_available_solution_stacks()["SolutionStacks"]
    docker = [name for name in stacks if name.endswith("2023 v4.6.0 running Docker")]
    assert stacks.index(docker[0]) < stacks.index(DOCKER)
    branches = account.eb.list_platform_branches(
        Filters=[{"Attribute": "BranchName", "Operator": "=", "Values": [branch]}]
    )["PlatformBranchSummaryList"]
    assert [one["LifecycleState"] for one in branches] == ["Supported"]


def test_a_bundle_must_be_there_and_in_the_region(account: Account) -> None:
    s3 = client(account.fake, "s3", region="eu-west-1")
    where = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="far-away", CreateBucketConfiguration=where)
    s3.put_object(Bucket="far-away", Key="a.zip", Body=b"x")
    given = {"ApplicationName": "iris", "VersionLabel": "v3"}
    create = account.eb.create_application_version
    far = {"S3Bucket": "far-away", "S3Key": "a.zip"}
    assert refused(create, **given, SourceBundle=far).startswith("S3LocationNotInServiceRegion")
    gone = {"S3Bucket": account.bucket, "S3Key": "none.zip"}
    assert "Unable to download from S3 location" in refused(create, **given, SourceBundle=gone)
    assert "already exists" in refused(account.version, label="v1")


def test_a_version_in_use_is_not_deleted_and_its_bundle_only_on_request(account: Account) -> None:
    account.launch("iris-blue", "v1")
    delete = account.eb.delete_application_version
    given = {"ApplicationName": "iris", "DeleteSourceBundle": True}
    assert "SourceBundleDeletionFailure" in refused(delete, **given, VersionLabel="v1")
    delete(**given, VersionLabel="v2")
    listed = client(account.fake, "s3").list_objects_v2(Bucket=account.bucket)["Contents"]
    assert [one["Key"] for one in listed] == ["onnxport/v1.zip"]
    assert "OperationInProgressFailure" in refused(
        account.eb.delete_application, ApplicationName="iris"
    )


def test_tags_are_kept_and_found(account: Account) -> None:
    tags = [{"Key": "onnxport:slot", "Value": "blue"}]
    arn = account.launch("iris-blue", "v1", Tags=tags)["EnvironmentArn"]
    told = account.eb.list_tags_for_resource(ResourceArn=arn)["ResourceTags"]
    assert tags[0] in told
    assert {"Key": "elasticbeanstalk:environment-name", "Value": "iris-blue"} in told
    account.eb.update_tags_for_resource(
        ResourceArn=arn, TagsToAdd=[{"Key": "onnxport:slot", "Value": "green"}]
    )
    account.fake.advance(10)
    found = client(account.fake, "resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "onnxport:slot", "Values": ["green"]}]
    )["ResourceTagMappingList"]
    assert arn in [one["ResourceARN"] for one in found]
    groups = client(account.fake, "ec2").describe_security_groups(
        Filters=[{"Name": "tag:elasticbeanstalk:environment-name", "Values": ["iris-blue"]}]
    )
    assert len(groups["SecurityGroups"]) == 1


def test_logs_are_asked_for_and_fetched_by_a_link(account: Account) -> None:
    streams = [setting("aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs", "true")]
    account.launch("iris-blue", "v1", options=streams)
    account.eb.request_environment_info(EnvironmentName="iris-blue", InfoType="tail")
    given = {"EnvironmentName": "iris-blue", "InfoType": "tail"}
    assert account.eb.retrieve_environment_info(**given)["EnvironmentInfo"] == []
    account.fake.advance(10)
    link = account.eb.retrieve_environment_info(**given)["EnvironmentInfo"][0]["Message"]
    with urllib.request.urlopen(link, timeout=10) as answer:
        text = answer.read().decode()
    assert "/var/log/eb-docker/containers/eb-current-app/stdouterr.log" in text
    groups = client(account.fake, "logs").describe_log_groups()["logGroups"]
    assert groups[0]["logGroupName"].startswith("/aws/elasticbeanstalk/iris-blue/var/log/")


def test_two_regions_know_nothing_of_each_other(account: Account) -> None:
    account.launch("iris-blue", "v1")
    there = client(account.fake, "elasticbeanstalk", region="us-east-1")
    assert there.describe_environments()["Environments"] == []
    assert there.create_storage_location()["S3Bucket"] == "elasticbeanstalk-us-east-1-123456789012"
