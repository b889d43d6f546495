"""What happens to an environment in the course of time: launch, update, restart, swap and termination, step by step.

The texts of events are those that users have posted of Elastic Beanstalk; the times between them are typical ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Self

from tests.deploy.fake_aws import policies, surroundings
from tests.deploy.fake_aws.deployments import examine
from tests.deploy.fake_aws.images import PASSWORD, Registry
from tests.deploy.fake_aws.state import Cloud, Environment, Fault, Instance, Milestone

Deed = Callable[[float], None]
_PROFILE = ("aws:autoscaling:launchconfiguration", "IamInstanceProfile")
_MANY = 3600.0  # what a launch waits for an instance that says nothing, at most


def registry(cloud: Cloud) -> Registry | None:
    address = cloud.world.registry
    return Registry(address, PASSWORD) if address else None


class Course:
    """Milestones of one environment, from a time on."""

    def __init__(self, cloud: Cloud, environment: Environment, start: float) -> None:
        self.cloud, self.environment, self.time = cloud, environment, start
        environment.course.clear()

    def wait(self, seconds: float) -> Self:
        self.time += seconds
        return self

    def do(self, deed: Deed) -> Self:
        self.environment.course.append(Milestone(self.time, deed))
        return self

    def tell(self, message: str, severity: str = "INFO") -> Self:
        def deed(at: float) -> None:
            self.cloud.tell(self.environment, at, message, severity)

        return self.do(deed)


# --------------------------------------------------------------------------------------------------------- launch


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
        _make(cloud, environment, at)


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
    course.do(lambda at: _terminated(cloud, environment, at))


def _make(cloud: Cloud, environment: Environment, at: float) -> None:
    course = Course(cloud, environment, at)
    course.wait(20).do(lambda at: _group(cloud, environment, at)).wait(16)
    if environment.is_single:
        course.tell(f"Created EIP: {_address(environment)}")
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


def _address(environment: Environment) -> str:
    number = int(environment.created * 1000)
    return f"3.{number % 200 + 10}.{number // 200 % 250}.{number // 50_000 % 250}"


def _load_balancer(cloud: Cloud, environment: Environment) -> str:
    name = f"awseb--AWSEB-{environment.id[2:].upper()}"
    where = f"{cloud.region}:{cloud.account}"
    return f"arn:aws:elasticloadbalancing:{where}:listener/app/{name}/0123456789abcdef"


def group_name(environment: Environment) -> str:
    return f"{surroundings.stack(environment)}-AWSEBAutoScalingGroup-{environment.id[2:].upper()}"


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
    environment.endpoint = _address(environment) if environment.is_single else f"awseb-{balanced}"


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
    course.do(lambda at: _ready(cloud, environment, at, "No data received from any instance."))


def _launched(cloud: Cloud, environment: Environment, at: float) -> None:
    fault = _deploy(cloud, environment)
    course = Course(cloud, environment, at)
    if fault is None:
        course.tell("Instance deployment completed successfully.").wait(5)
        course.tell(f"Application available at {environment.cname}.")
        course.do(lambda at: _now_ready(environment, at))
        course.tell(f"Successfully launched environment: {environment.name}").wait(15)
        course.do(lambda at: _ok(cloud, environment, at, "Pending"))
    elif fault.cause:
        course.tell("Instance deployment completed successfully.").wait(5)
        course.do(lambda at: _ready(cloud, environment, at, fault.cause))
        course.tell(
            f"Launched environment: {environment.name}. However, there were issues during launch. "
            "See event log for details."
        )
    else:
        _tell_failure(course, environment, fault)
        course.do(lambda at: _ready(cloud, environment, at, "Command failed on all instances."))
        course.tell(
            "Create environment operation is complete, but with errors. For more information, see "
            "troubleshooting documentation.",
            "ERROR",
        )


def _tell_failure(course: Course, environment: Environment, fault: Fault) -> None:
    ids = ", ".join(one.id for one in environment.instances)
    course.tell(
        f"Instance deployment failed. For details, see 'eb-engine.log'. {fault.message}", "ERROR"
    )
    course.tell(
        f"[Instance: {ids}] Command failed on instance. Return code: 1 Output: Engine execution has encountered "
        "an error.",
        "ERROR",
    )
    course.tell(
        "Command execution completed on all instances. Summary: [Successful: 0, Failed: "
        f"{len(environment.instances)}]."
    )
    course.wait(2)


def _deploy(cloud: Cloud, environment: Environment) -> Fault | None:
    environment.deployment += 1
    fault = examine(cloud, environment, registry(cloud))
    told = cloud.world.fleet.endpoint(environment)
    if told:
        environment.endpoint = told
        cloud.world.fleet.point(environment.cname, environment)
    log = fault.log if fault else cloud.world.fleet.log(environment)
    where = "nginx/error.log" if fault and fault.cause else surroundings.CONTAINER_LOG
    surroundings.write_log(cloud, environment, where, log)
    if fault and fault.message:
        surroundings.write_log(cloud, environment, "eb-engine.log", f"[ERROR] {fault.message}")
    return fault


def _now_ready(environment: Environment, at: float) -> None:
    environment.status, environment.abortable, environment.before = "Ready", False, None
    environment.updated = at


def _ok(cloud: Cloud, environment: Environment, at: float, before: str) -> None:
    environment.health, environment.health_status, environment.causes = "Green", "Ok", []
    cloud.tell(
        environment,
        at,
        f"Environment health has transitioned from {before} to Ok. Initialization completed "
        "15 seconds ago and took 2 minutes.",
    )


def _ready(cloud: Cloud, environment: Environment, at: float, cause: str) -> None:
    """Ready, but ill."""
    _now_ready(environment, at)
    _ill(cloud, environment, at, cause)


def _ill(cloud: Cloud, environment: Environment, at: float, cause: str) -> None:
    before = environment.health_status or "Unknown"
    environment.health, environment.health_status = "Red", "Severe"
    environment.causes = [cause]
    said = f"Environment health has transitioned from {before} to Severe. {cause}"
    cloud.tell(environment, at, said, "WARN")


# --------------------------------------------------------------------------------------------------------- update


def deploy_version(cloud: Cloud, environment: Environment, at: float) -> None:
    """The environment holds the new version already, and the old one in `before`."""
    course = _starting(cloud, environment, at)
    policy = environment.option("aws:elasticbeanstalk:command", "DeploymentPolicy", "AllAtOnce")
    for message, seconds in _DEPLOYMENTS[policy]:
        course.tell(message).wait(seconds)
    course.do(lambda at: _deployed(cloud, environment, at, is_safe=policy in _SAFE))


# What comes before the instances have the version, and how long it takes.
_DEPLOYMENTS: dict[str, tuple[tuple[str, float], ...]] = {
    "AllAtOnce": (("Deploying new version to instance(s).", 20),),
    "Rolling": (
        ("Rolling deployment policy enabled. Starting batch 1.", 5),
        ("Batch 1: Starting application deployment.", 60),
    ),
    "RollingWithAdditionalBatch": (
        (
            "Rolling with Additional Batch deployment policy enabled. Launching a new batch of 1 instance(s).",
            60,
        ),
        ("Batch 1: Starting application deployment.", 60),
    ),
    "Immutable": (
        (
            "Immutable deployment policy enabled. Launching one instance with the new settings to verify health.",
            30,
        ),
        ("Created temporary auto scaling group.", 90),
    ),
    "TrafficSplitting": (
        ("Traffic splitting deployment policy enabled. Launching a new set of instances.", 90),
        ("Diverting a part of the traffic to the new instances.", 300),
    ),
}
_SAFE = frozenset({"Immutable", "TrafficSplitting"})


def _starting(cloud: Cloud, environment: Environment, at: float) -> Course:
    environment.status, environment.abortable = "Updating", True
    environment.health, environment.health_status = "Grey", "Info"
    return Course(cloud, environment, at).tell("Environment update is starting.").wait(3)


def _deployed(cloud: Cloud, environment: Environment, at: float, *, is_safe: bool) -> None:
    fault = _deploy(cloud, environment)
    course = Course(cloud, environment, at)
    if fault is None:
        course.tell("Instance deployment completed successfully.").wait(4)
        course.tell("New application version was deployed to running EC2 instances.")
        course.tell("Environment update completed successfully.")
        course.do(lambda at: _now_ready(environment, at)).wait(10)
        course.do(lambda at: _ok(cloud, environment, at, "Info"))
    elif fault.cause and not is_safe:
        course.tell("New application version was deployed to running EC2 instances.")
        course.tell("Environment update completed successfully.")
        course.do(lambda at: _ready(cloud, environment, at, fault.cause))
    else:
        _fail_deployment(cloud, environment, course, fault, is_safe=is_safe)


def _fail_deployment(
    cloud: Cloud, environment: Environment, course: Course, fault: Fault, *, is_safe: bool
) -> None:
    if fault.cause:
        course.tell(f"Test instance failed health checks. {fault.cause}", "ERROR")
    else:
        _tell_failure(course, environment, fault)
    course.tell("Failed to deploy application.", "ERROR")
    course.tell(
        "During an aborted deployment, some instances may have deployed the new application version. To ensure all "
        "instances are running the same version, re-deploy the appropriate application version.",
        "ERROR",
    )
    course.do(lambda _: _back(environment))
    if is_safe:  # the old instances have served all the time
        course.do(lambda at: _back_as_it_was(cloud, environment, at))
    else:
        course.do(lambda at: _ready(cloud, environment, at, "Command failed on all instances."))


def _back(environment: Environment) -> None:
    """Version, options and platform as before the update."""
    if environment.before is not None:
        environment.version, environment.options, environment.platform = environment.before


def _back_as_it_was(cloud: Cloud, environment: Environment, at: float) -> None:
    _deploy(cloud, environment)
    _now_ready(environment, at)
    environment.health, environment.health_status, environment.causes = "Green", "Ok", []


def configure(cloud: Cloud, environment: Environment, at: float, *, restarts: bool) -> None:
    """The environment holds the new options already."""
    course = _starting(cloud, environment, at)
    course.tell(f"Updating environment {environment.name}'s configuration settings.")
    course.wait(120 if restarts else 25)
    course.do(lambda at: _configured(cloud, environment, at))


def _configured(cloud: Cloud, environment: Environment, at: float) -> None:
    is_scripted = cloud.scripts.strikes("reverted_update", environment=environment.name)
    fault = None if is_scripted else _deploy(cloud, environment)
    course = Course(cloud, environment, at)
    if is_scripted or (fault and not fault.cause):
        course.tell("Failed to deploy configuration.", "ERROR").wait(5)
        course.do(lambda _: _back(environment))
        course.tell("The environment was reverted to the previous configuration setting.", "INFO")
        course.do(lambda at: _back_as_it_was(cloud, environment, at))
        return
    course.tell("Successfully deployed new configuration to environment.").wait(3)
    course.tell("Environment update completed successfully.")
    if fault is None:
        course.do(lambda at: _now_ready(environment, at)).wait(10)
        course.do(lambda at: _ok(cloud, environment, at, "Info"))
    else:
        course.do(lambda at: _ready(cloud, environment, at, fault.cause))


def abort(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status, environment.abortable = "Aborting", False
    course = Course(cloud, environment, at)
    course.tell("Environment update is aborting.", "INFO").wait(10)
    course.do(lambda _: _back(environment))
    course.do(lambda at: _back_as_it_was(cloud, environment, at))
    course.tell("The environment was reverted to the previous configuration setting.")


# ---------------------------------------------------------------------------------------------- restart and swap


def restart(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status = "Updating"
    course = Course(cloud, environment, at)
    course.tell("restartAppServer is starting.").wait(15)
    course.do(lambda at: _restarted(cloud, environment, at))
    course.tell("restartAppServer completed successfully.")


def _restarted(cloud: Cloud, environment: Environment, at: float) -> None:
    _deploy(cloud, environment)
    _now_ready(environment, at)


def rebuild(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status, environment.health, environment.health_status = "Launching", "Grey", ""
    cloud.world.fleet.retire(environment)
    surroundings.delete_group(cloud, environment)
    environment.instances.clear()
    course = Course(cloud, environment, at).tell("rebuildEnvironment is starting.").wait(30)
    course.do(lambda at: _make(cloud, environment, at))


def retag(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status = "Updating"
    course = Course(cloud, environment, at).tell("Environment tag update is starting.").wait(5)
    course.tell("Environment tag update completed successfully.")
    course.do(lambda at: _now_ready(environment, at))


def swap(cloud: Cloud, source: Environment, destination: Environment, at: float) -> None:
    pair = f"'{source.name}' and '{destination.name}'"
    for one in (source, destination):
        one.status = "Updating"
        course = Course(cloud, one, at).tell("swapEnvironmentCNAMEs is starting.")
        course.tell(f"Swapping CNAMEs for environments {pair}.").wait(4)
        if one is source:
            course.do(lambda _: _swap_names(cloud, source, destination))
        course.wait(0.1)
        course.do(lambda at, one=one: _points(cloud, one, at)).wait(1)  # type: ignore[misc]
        course.tell(f"Completed swapping CNAMEs for environments {pair}.")
        course.do(lambda at, one=one: _now_ready(one, at))  # type: ignore[misc]


def _swap_names(cloud: Cloud, one: Environment, other: Environment) -> None:
    one.cname, other.cname = other.cname, one.cname
    one.prefix, other.prefix = other.prefix, one.prefix
    cloud.world.fleet.point(one.cname, one)
    cloud.world.fleet.point(other.cname, other)


def _points(cloud: Cloud, environment: Environment, at: float) -> None:
    said = f"'{environment.cname}' now points to '{environment.endpoint}'."
    cloud.tell(environment, at, said)


# ---------------------------------------------------------------------------------------------------- termination


def terminate(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status, environment.health, environment.health_status = "Terminating", "Grey", ""
    environment.abortable = False
    course = Course(cloud, environment, at).tell("terminateEnvironment is starting.")
    course.tell(
        "Validating environment's EC2 instances have termination protection disabled before performing termination."
    )
    course.tell("Finished validating environment's EC2 instances for termination protection.").wait(
        15
    )
    course.tell("Waiting for EC2 instances to terminate. This may take a few minutes.").wait(60)
    if environment.is_single:
        course.tell(f"Deleted EIP: {_address(environment)}")
    else:
        course.tell(f"Deleted Auto Scaling group named: {group_name(environment)}")
    course.wait(20).do(lambda at: _remove_group(cloud, environment, at)).wait(2)
    course.tell(f"Deleting SNS topic for environment {environment.name}.").wait(1)
    course.tell("terminateEnvironment completed successfully.")
    course.do(lambda at: _terminated(cloud, environment, at))


def _remove_group(cloud: Cloud, environment: Environment, at: float) -> None:
    group = environment.group
    if not group:
        return
    if cloud.scripts.strikes("security_group_left", environment=environment.name):
        said = f"Deleting security group named: {group} failed Reason: resource {group} has a dependent object"
        cloud.tell(environment, at, said, "ERROR")
        return
    surroundings.delete_group(cloud, environment)
    cloud.tell(environment, at, f"Deleted security group named: {group}")


def _terminated(cloud: Cloud, environment: Environment, at: float) -> None:
    cloud.world.fleet.retire(environment)
    surroundings.delete_logs(cloud, environment)
    environment.status, environment.health, environment.health_status = "Terminated", "Grey", ""
    environment.updated, environment.endpoint = at, ""
    environment.instances.clear()
    environment.cname = environment.prefix = ""
