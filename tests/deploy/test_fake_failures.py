"""The fake's failures: those on request, and those that follow from what was asked of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import BotoCoreError

from tests.deploy.account import (
    DOCKER,
    ENVIRONMENT,
    PULL_ONLY,
    SINGLE,
    WEB_TIER,
    Account,
    bundle,
    client,
    push,
    refused,
    role,
    setting,
    standing_still,
    zipped,
)
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.fake_aws.scripts import FAILURES

COMMAND = "aws:elasticbeanstalk:command"


@pytest.fixture
def account(fake_aws: FakeAws) -> Account:
    return standing_still(fake_aws)


# ------------------------------------------------------------------------------------------------ on request: calls


def test_throttling_strikes_as_often_as_asked(account: Account) -> None:
    account.fake.script("throttling", times=2, operation="DescribeEnvironments")
    for _ in range(2):
        assert refused(account.eb.describe_environments) == "Throttling: Rate exceeded"
    assert account.eb.describe_environments()["Environments"] == []
    errors = [call["error"] for call in account.fake.calls() if call["error"]]
    assert errors == ["Throttling", "Throttling"]


@pytest.mark.parametrize(
    ("service", "method", "code"),
    [
        ("elasticbeanstalk", "describe_applications", "ExpiredToken"),
        ("sts", "get_caller_identity", "ExpiredToken"),
        ("s3", "list_buckets", "ExpiredToken"),
        ("ec2", "describe_vpcs", "ExpiredToken"),
        ("ecr", "describe_repositories", "ExpiredTokenException"),
        ("logs", "describe_log_groups", "ExpiredTokenException"),
    ],
)
def test_expired_credentials_are_told_in_each_protocol(
    fake_aws: FakeAws, service: str, method: str, code: str
) -> None:
    fake_aws.script("expired_credentials", times=99)
    said = refused(getattr(client(fake_aws, service), method))
    assert said == f"{code}: The security token included in the request is expired"


def test_a_right_that_lacks_is_named(account: Account) -> None:
    account.fake.script("access_denied", operation="CreateRepository")
    said = refused(client(account.fake, "ecr").create_repository, repositoryName="iris")
    assert said.startswith("AccessDeniedException")
    assert "not authorized to perform: ecr:CreateRepository" in said


def test_an_answer_that_is_lost_leaves_its_effect(account: Account) -> None:
    account.launch("iris-blue", "v1", CNAMEPrefix="iris")
    account.launch("iris-green", "v1")
    account.fake.script("answer_lost", operation="SwapEnvironmentCNAMEs")
    with pytest.raises(BotoCoreError):
        account.eb.swap_environment_cnames(
            SourceEnvironmentName="iris-blue", DestinationEnvironmentName="iris-green"
        )
    account.fake.advance(10)
    assert account.look("iris-green")["CNAME"].startswith("iris.eu-central-1")


def test_a_connection_that_is_lost_leaves_nothing(account: Account) -> None:
    account.fake.script("connection_lost", operation="CreateApplication")
    with pytest.raises(BotoCoreError):
        account.eb.create_application(ApplicationName="rose")
    names = [one["ApplicationName"] for one in account.eb.describe_applications()["Applications"]]
    assert names == ["iris"]


def test_an_error_of_the_service_is_no_fault_of_the_fake(account: Account) -> None:
    account.fake.script("internal_error", operation="DescribeEvents")
    assert "InternalFailure" in refused(account.eb.describe_events)


# ---------------------------------------------------------------------------------------- on request: environments


def test_a_missing_profile_ends_the_environment(account: Account) -> None:
    account.fake.script("missing_instance_profile")
    gone = account.launch("iris-blue", "v1")
    assert gone["Status"] == "Terminated"
    assert account.told("iris-blue", "ERROR") == [
        "The instance profile web associated with the environment does not exist.",
        "Failed to launch environment.",
    ]


@pytest.mark.parametrize(
    ("fail", "said", "cause"),
    [
        ("image_not_found", "Failed to pull Docker image", "Command failed on all instances."),
        ("wrong_architecture", "exec format error", "Command failed on all instances."),
        ("bad_gateway", "", "100.0 % of the requests are failing with HTTP 5xx."),
        ("health_404", "", "Target.ResponseCodeMismatch"),
    ],
)
def test_a_container_that_fails_leaves_a_red_environment(
    account: Account, fail: str, said: str, cause: str
) -> None:
    account.fake.script(fail)
    seen = account.launch("iris-blue", "v1")
    assert (seen["Status"], seen["Health"], seen["HealthStatus"]) == ("Ready", "Red", "Severe")
    assert any(said in message for message in account.told("iris-blue"))
    told = account.eb.describe_environment_health(
        EnvironmentName="iris-blue", AttributeNames=["Causes", "Color"]
    )
    assert cause in told["Causes"][0]
    last = account.told("iris-blue")
    is_done = any("However, there were issues during launch" in one for one in last)
    assert is_done == (fail in ("bad_gateway", "health_404"))


def test_a_script_for_one_environment_spares_the_other(account: Account) -> None:
    account.fake.script("bad_gateway", environment="iris-green")
    healths = [account.launch(name, "v1")["Health"] for name in ("iris-blue", "iris-green")]
    assert healths == ["Green", "Red"]


def test_an_instance_that_never_reports_runs_into_the_timeout(account: Account) -> None:
    account.fake.script("launch_timeout")
    account.create("iris-blue", "v1")
    account.fake.advance(800)
    assert account.look("iris-blue")["Status"] == "Launching"
    account.fake.advance(200)
    seen = account.look("iris-blue")
    assert (seen["Status"], seen["Health"]) == ("Ready", "Red")
    assert "LaunchWaitCondition failed." in account.told("iris-blue", "ERROR")[1]


@pytest.mark.parametrize("policy", ["AllAtOnce", "Immutable"])
def test_a_deployment_that_fails_keeps_the_old_version(account: Account, policy: str) -> None:
    options = [*SINGLE, setting(COMMAND, "DeploymentPolicy", policy)]
    account.launch("iris-blue", "v1", options=options)
    account.fake.script("image_not_found", times=1)
    account.eb.update_environment(EnvironmentName="iris-blue", VersionLabel="v2")
    account.fake.advance(600)
    seen = account.look("iris-blue")
    assert (seen["Status"], seen["VersionLabel"]) == ("Ready", "v1")
    assert seen["Health"] == ("Green" if policy == "Immutable" else "Red")
    assert "Failed to deploy application." in account.told("iris-blue", "ERROR")


def test_an_update_of_options_is_taken_back(account: Account) -> None:
    account.launch("iris-blue", "v1")
    account.fake.script("reverted_update")
    account.eb.update_environment(
        EnvironmentName="iris-blue", OptionSettings=[setting(COMMAND, "Timeout", "900")]
    )
    account.fake.advance(200)
    told = account.told("iris-blue")
    assert "The environment was reverted to the previous configuration setting." in told
    found = account.eb.describe_configuration_settings(
        ApplicationName="iris", EnvironmentName="iris-blue"
    )["ConfigurationSettings"][0]["OptionSettings"]
    assert [one["Value"] for one in found if one["OptionName"] == "Timeout"][-1] != "900"


def test_a_swap_is_refused_once(account: Account) -> None:
    account.launch("iris-blue", "v1")
    account.launch("iris-green", "v1")
    account.fake.script("swap_refused")
    given = {
        "SourceEnvironmentName": "iris-blue",
        "DestinationEnvironmentName": "iris-green",
    }
    assert "Must be Ready." in refused(account.eb.swap_environment_cnames, **given)
    account.eb.swap_environment_cnames(**given)


def test_a_security_group_is_left(account: Account) -> None:
    account.launch("iris-blue", "v1")
    account.fake.script("security_group_left")
    account.eb.terminate_environment(EnvironmentName="iris-blue")
    account.fake.advance(200)
    assert account.look("iris-blue")["Status"] == "Terminated"
    left = client(account.fake, "ec2").describe_security_groups(
        Filters=[{"Name": "tag:elasticbeanstalk:environment-name", "Values": ["iris-blue"]}]
    )["SecurityGroups"]
    assert len(left) == 1
    assert left[0]["GroupId"] in account.told("iris-blue", "ERROR")[0]


def test_a_quota_is_told_and_enforced(account: Account) -> None:
    account.launch("iris-blue", "v1")
    account.fake.script("quota")
    quotas = account.eb.describe_account_attributes()["ResourceQuotas"]
    assert quotas["EnvironmentQuota"] == {"Maximum": 1}
    said = refused(account.create, name="iris-green", label="v1")
    assert said.startswith("TooManyEnvironmentsException")
    assert refused(account.version, label="v3").startswith("TooManyApplicationVersionsException")


def test_a_version_that_is_not_processed_is_not_deployed(account: Account) -> None:
    account.fake.script("version_failed")
    assert account.version("v3")["Status"] == "Failed"
    assert "unusable" in refused(account.create, name="iris-blue", label="v3")


# ------------------------------------------------------------------------------------------ from what was asked for


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped({"iris/Dockerrun.aws.json": "{}"}), "are missing in your source bundle"),
        (zipped({"Dockerrun.aws.json": "{"}), "Failed to parse Dockerrun.aws.json"),
        (zipped({"Dockerrun.aws.json": "{}"}), "Invalid Dockerrun.aws.json version"),
        (bundle("nginx", AWSEBDockerrunVersion="2"), "needs the ECS platform"),
        (bundle("nginx", Ports=[]), "No EXPOSE directive"),
        (bundle(""), "missing Image.Name"),
        (b"no zip", "Failed to parse Dockerrun.aws.json"),
        (json.dumps({"AWSEBDockerrunVersion": 1, "image": {}}).encode(), "missing Image.Name"),
    ],
)
def test_a_bundle_that_is_none_fails_on_the_instance(
    account: Account, content: bytes, said: str
) -> None:
    account.version("v3", content)
    assert account.launch("iris-blue", "v3")["Health"] == "Red"
    assert any(said in message for message in account.told("iris-blue", "ERROR"))


def test_images_are_looked_for_in_the_real_registry(account: Account) -> None:
    ecr = client(account.fake, "ecr")
    uri = ecr.create_repository(repositoryName="iris")["repository"]["repositoryUri"]
    assert uri == f"{account.fake.registry}/iris"
    digest = push(account.fake, "iris")
    account.version("here", bundle(f"{uri}@{digest}"))
    account.version("gone", bundle(f"{uri}@sha256:{'1' * 64}"))
    assert account.launch("iris-here", "here")["Health"] == "Green"
    assert account.launch("iris-gone", "gone")["Health"] == "Red"
    assert any("manifest for" in told for told in account.told("iris-gone", "ERROR"))


def test_what_was_pushed_is_an_image_of_the_repository(account: Account) -> None:
    ecr = client(account.fake, "ecr")
    ecr.create_repository(repositoryName="iris", imageTagMutability="IMMUTABLE")
    digest = push(account.fake, "iris")
    told = ecr.describe_images(repositoryName="iris")["imageDetails"]
    assert [(one["imageDigest"], one["imageTags"]) for one in told] == [(digest, ["amd64-8080"])]
    by_digest = ecr.batch_get_image(repositoryName="iris", imageIds=[{"imageDigest": digest}])
    assert json.loads(by_digest["images"][0]["imageManifest"])["schemaVersion"] == 2
    ecr.batch_delete_image(repositoryName="iris", imageIds=[{"imageDigest": digest}])
    assert ecr.describe_images(repositoryName="iris")["imageDetails"] == []
    token = ecr.get_authorization_token()["authorizationData"][0]
    assert token["proxyEndpoint"] == f"http://{account.fake.registry}"


@pytest.mark.parametrize(
    ("types", "architecture", "health"),
    [
        ("t3.small", "amd64", "Green"),
        ("t3.small", "arm64", "Red"),
        ("t4g.small", "arm64", "Green"),
        ("t4g.small,t4g.medium", "amd64", "Red"),
    ],
)
def test_an_image_must_fit_its_instance(
    account: Account, types: str, architecture: str, health: str
) -> None:
    client(account.fake, "ecr").create_repository(repositoryName="iris")
    digest = push(account.fake, "iris", architecture)
    account.version("v3", bundle(f"{account.fake.registry}/iris@{digest}"))
    options = [*SINGLE, setting("aws:ec2:instances", "InstanceTypes", types)]
    assert account.launch("iris-blue", "v3", options=options)["Health"] == health


def test_a_port_where_nothing_listens_is_a_502(account: Account) -> None:
    client(account.fake, "ecr").create_repository(repositoryName="iris")
    digest = push(account.fake, "iris", port=8080)
    image = f"{account.fake.registry}/iris@{digest}"
    account.version("v3", bundle(image, port="5000"))
    assert account.launch("iris-blue", "v3")["Health"] == "Red"
    variable = setting("aws:elasticbeanstalk:application:environment", "PORT", "5000")
    assert account.launch("iris-green", "v3", options=[*SINGLE, variable])["Health"] == "Green"


def test_a_profile_without_a_role_is_told(account: Account) -> None:
    client(account.fake, "iam").create_instance_profile(InstanceProfileName="hollow")
    account.launch("iris-blue", "v1", profile="hollow")
    assert "has no role" in account.told("iris-blue", "ERROR")[0]
    account.launch("iris-green", "v1", profile="")
    said = "Environment must have instance profile associated with it."
    assert account.told("iris-green", "ERROR")[0] == said


def test_a_service_role_must_let_elastic_beanstalk_in(account: Account) -> None:
    role(account.fake, "stranger", "ec2.amazonaws.com")
    role(account.fake, "service", "elasticbeanstalk.amazonaws.com")
    statuses = []
    for number, name in enumerate(("nobody", "stranger", "service")):
        options = [*SINGLE, setting(ENVIRONMENT, "ServiceRole", name)]
        statuses.append(account.launch(f"iris-{number}", "v1", options=options)["Status"])
    assert statuses == ["Terminated", "Terminated", "Ready"]
    assert "stranger" in account.told("iris-1", "ERROR")[0]


def test_an_image_without_a_repository_is_none(account: Account) -> None:
    digest = push(account.fake, "orphan")
    account.version("v3", bundle(f"{account.fake.registry}/orphan@{digest}"))
    assert account.launch("iris-blue", "v3")["Health"] == "Red"
    assert any("name unknown" in told for told in account.told("iris-blue", "ERROR"))


def test_without_a_network_nothing_is_launched(account: Account) -> None:
    ec2 = client(account.fake, "ec2")
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    assert account.launch("iris-blue", "v1")["Status"] == "Terminated"
    assert "No default VPC" in account.told("iris-blue", "ERROR")[0]


# ------------------------------------------------------------------------------------------------------ the control


def test_calls_are_shown_with_their_parameters(account: Account) -> None:
    account.create("iris-blue", "v1")
    call = account.fake.calls("elasticbeanstalk")[-1]
    assert (call["operation"], call["region"]) == ("CreateEnvironment", "eu-central-1")
    assert call["parameters"]["EnvironmentName"] == "iris-blue"
    assert call["parameters"]["SolutionStackName"] == DOCKER
    assert {one["service"] for one in account.fake.calls()} == {"elasticbeanstalk", "iam", "s3"}


def test_an_unknown_failure_is_refused(fake_aws: FakeAws) -> None:
    with pytest.raises(AssertionError, match="is none of throttling"):
        fake_aws.script("earthquake")
    assert set(fake_aws.control("scripts")) == set(FAILURES)


def test_what_the_fake_cannot_do_is_told_at_once_and_loudly(fake_aws: FakeAws) -> None:
    said = refused(client(fake_aws, "elasticbeanstalk").describe_environment_managed_actions)
    assert said.startswith("NotImplemented: fake AWS:")
    seen = fake_aws.calls()[-1]
    assert (seen["operation"], seen["status"]) == ("DescribeEnvironmentManagedActions", 501)
    fake_aws.reset()


def test_the_registry_lets_nobody_in_without_the_token(fake_aws: FakeAws) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401") as caught:
        urllib.request.urlopen(f"http://{fake_aws.registry}/v2/", timeout=10)
    caught.value.close()


def test_a_reset_forgets_all(account: Account) -> None:
    account.launch("iris-blue", "v1")
    account.fake.script("throttling", times=9)
    account.fake.reset()
    assert account.eb.describe_applications()["Applications"] == []
    assert client(account.fake, "s3").list_buckets()["Buckets"] == []
    roles = client(account.fake, "iam").list_roles()["Roles"]
    assert roles == []


def test_policies_attached_before_a_reset_are_free_after_it(fake_aws: FakeAws) -> None:
    Account(fake_aws)
    fake_aws.reset()
    iam = client(fake_aws, "iam")
    for policy in (WEB_TIER, PULL_ONLY):
        assert iam.get_policy(PolicyArn=policy)["Policy"]["AttachmentCount"] == 0


def test_a_load_balanced_environment_tells_its_resources(account: Account) -> None:
    options = [
        setting(ENVIRONMENT, "LoadBalancerType", "application"),
        setting("aws:autoscaling:asg", "MinSize", "2"),
        setting("aws:autoscaling:launchconfiguration", "DisableIMDSv1", "true"),
    ]
    account.launch("iris-blue", "v1", options=options)
    told = account.eb.describe_environment_resources(EnvironmentName="iris-blue")
    resources = told["EnvironmentResources"]
    assert len(resources["Instances"]) == 2
    assert ":loadbalancer/app/" in resources["LoadBalancers"][0]["Name"]
    assert len(resources["LaunchTemplates"]) == 1
    assert resources["LaunchConfigurations"] == []
