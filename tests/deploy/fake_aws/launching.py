"""The course of a launch: from what is looked at first to instances that are well, or not."""

from __future__ import annotations

import secrets

from tests.deploy.fake_aws import policies, surroundings
from tests.deploy.fake_aws.milestones import (
    Course,
    address,
    become_green,
    deploy,
    group_name,
    now_ready,
    ready_but_ill,
    tell_failure,
    terminated,
)
from tests.deploy.fake_aws.state import Cloud, Environment, Instance

_PROFILE = ("aws:autoscaling:launchconfiguration", "IamInstanceProfile")
_MANY = 3600.0  # what a launch waits for an instance that says nothing, at most


def launch(cloud: Cloud, environment: Environment, at: float) -> None:
    course = Course(cloud, environment, at)
    course.tell("createEnvironment is starting.").wait(1)
    course.tell(f"Using {cloud.bucket} as Amazon S3 storage bucket for environment data.").wait(2)
    course.do(lambda at: _first_look(cloud, environment, at))


def _first_look(cloud: Cloud, environment: Environment, at: float) -> None:
    """The profile and the network are looked at before anything is made."""
    told = _profile_fault(cloud, environment)
    if not told and not surroundings.has_network(cloud, environment):
        told = "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC"
    if told:
        _give_up(cloud, environment, at, told)
    else:
        make(cloud, environment, at)


def _profile_fault(cloud: Cloud, environment: Environment) -> str:
    profile = environment.option(*_PROFILE)
    if not profile:
        return "Environment must have instance profile associated with it."
    role = policies.role_of_profile(cloud.account, profile)
    is_scripted = cloud.scripts.strikes("missing_instance_profile", environment=environment.name)
    if role is None or is_scripted:
        name = profile.rpartition("/")[2]
        return f"The instance profile {name} associated with the environment does not exist."
    if not role:
        return (
            f"The instance profile {profile} associated with the environment has no role. "
            "Please attach a role to the instance profile."
        )
    return _service_role_fault(cloud, environment)


def _service_role_fault(cloud: Cloud, environment: Environment) -> str:
    """There need be none, but one that is named must be there, and let Elastic Beanstalk in."""
    named = environment.option("aws:elasticbeanstalk:environment", "ServiceRole").rpartition("/")[2]
    if not named or (
        policies.exists(cloud.account, named)
        and policies.trusts(cloud.account, named, "elasticbeanstalk.amazonaws.com")
    ):
        return ""
    return f"Elastic Beanstalk can't assume the service role {named}."


def _give_up(cloud: Cloud, environment: Environment, at: float, message: str) -> None:
    """A launch that fails this early takes everything back, the environment too."""
    course = Course(cloud, environment, at)
    course.tell(message, "ERROR").tell("Failed to launch environment.", "ERROR").wait(1)
    course.tell(f"Deleting SNS topic for environment {environment.name}.")
    course.do(lambda at: terminated(cloud, environment, at))


def make(cloud: Cloud, environment: Environment, at: float) -> None:
    course = Course(cloud, environment, at)
    course.wait(20).do(lambda at: _group(cloud, environment, at)).wait(16)
    if environment.is_single:
        course.tell(f"Created EIP: {address(environment)}")
    else:
        course.tell(f"Created Load Balancer listener named: {_load_balancer(cloud, environment)}")
        course.tell(f"Created Auto Scaling group named: {group_name(environment)}")
    course.do(lambda at: _pending(cloud, environment, at)).wait(30)
    course.tell("Waiting for EC2 instances to launch. This may take a few minutes.").wait(45)
    if cloud.scripts.strikes("launch_timeout", environment=environment.name):
        timeout = float(environment.option("aws:elasticbeanstalk:command", "Timeout", "600"))
        course.wait(min(timeout + 240, _MANY)).do(lambda at: _timed_out(cloud, environment, at))
        return
    course.do(lambda at: _instance(cloud, environment, at)).wait(40)
    course.do(lambda at: _launched(cloud, environment, at))


def _group(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.group = surroundings.create_group(cloud, environment)
    cloud.tell(environment, at, f"Created security group named: {environment.group}")


def _load_balancer(cloud: Cloud, environment: Environment) -> str:
    name = f"awseb--AWSEB-{environment.id[2:].upper()}"
    where = f"{cloud.region}:{cloud.account}"
    return f"arn:aws:elasticloadbalancing:{where}:listener/app/{name}/0123456789abcdef"


def _pending(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.health_status = "Pending"
    seconds = int(at - environment.created)
    cloud.tell(
        environment,
        at,
        "Environment health has transitioned to Pending. Initialization in progress "
        f"(running for {seconds} seconds). There are no instances.",
    )


def _instance(cloud: Cloud, environment: Environment, at: float) -> None:
    count = 1
    if not environment.is_single:
        count = int(environment.option("aws:autoscaling:asg", "MinSize", "1"))
    environment.instances = [Instance(f"i-0{secrets.token_hex(8)}", at) for _ in range(count)]
    ids = ", ".join(one.id for one in environment.instances)
    cloud.tell(environment, at, f"Added instance [{ids}] to your environment.")
    balanced = f"{environment.id}.{cloud.region}.elb.amazonaws.com"
    environment.endpoint = address(environment) if environment.is_single else f"awseb-{balanced}"


def _timed_out(cloud: Cloud, environment: Environment, at: float) -> None:
    """No instance ever reported. Elastic Beanstalk leaves the environment as it is, to be looked at."""
    stack = surroundings.stack(environment)
    course = Course(cloud, environment, at)
    course.tell(
        f"Stack named '{stack}' aborted operation. Current state: 'CREATE_FAILED'  Reason: The following resource(s) "
        "failed to create: [AWSEBInstanceLaunchWaitCondition].",
        "ERROR",
    )
    course.tell(
        "LaunchWaitCondition failed. The expected number of EC2 instances were not initialized within the given "
        "time. Rebuild the environment. If this persists, contact support.",
        "ERROR",
    )
    course.tell("Failed to launch environment.", "ERROR")
    course.do(
        lambda at: ready_but_ill(cloud, environment, at, "No data received from any instance.")
    )


def _launched(cloud: Cloud, environment: Environment, at: float) -> None:
    fault = deploy(cloud, environment)
    course = Course(cloud, environment, at)
    if fault is None:
        course.tell("Instance deployment completed successfully.").wait(5)
        course.tell(f"Application available at {environment.cname}.")
        course.do(lambda at: now_ready(environment, at))
        course.tell(f"Successfully launched environment: {environment.name}").wait(15)
        course.do(lambda at: become_green(cloud, environment, at, "Pending"))
    elif fault.cause:
        course.tell("Instance deployment completed successfully.").wait(5)
        course.do(lambda at: ready_but_ill(cloud, environment, at, fault.cause))
        course.tell(
            f"Launched environment: {environment.name}. However, there were issues during launch. "
            "See event log for details."
        )
    else:
        tell_failure(course, environment, fault)
        course.do(
            lambda at: ready_but_ill(cloud, environment, at, "Command failed on all instances.")
        )
        course.tell(
            "Create environment operation is complete, but with errors. For more information, see "
            "troubleshooting documentation.",
            "ERROR",
        )
