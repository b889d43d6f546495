"""The courses of all else: restart, rebuilding, tags, swap and termination."""

from __future__ import annotations

from tests.deploy.fake_aws import surroundings
from tests.deploy.fake_aws.launching import make
from tests.deploy.fake_aws.milestones import (
    Course,
    address,
    deploy,
    group_name,
    now_ready,
    ready_but_ill,
    remove_group,
    terminated,
)
from tests.deploy.fake_aws.state import Cloud, Environment


def restart(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status = "Updating"
    course = Course(cloud, environment, at)
    course.tell("restartAppServer is starting.").wait(15)
    course.do(lambda at: _restarted(cloud, environment, at))
    course.tell("restartAppServer completed successfully.")


def _restarted(cloud: Cloud, environment: Environment, at: float) -> None:
    deploy(cloud, environment)
    now_ready(environment, at)


def rebuild(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status, environment.health, environment.health_status = "Launching", "Grey", ""
    cloud.world.fleet.retire(environment)
    surroundings.delete_group(cloud, environment)
    environment.instances.clear()
    course = Course(cloud, environment, at).tell("rebuildEnvironment is starting.").wait(30)
    course.do(lambda at: make(cloud, environment, at))


def retag(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status = "Updating"
    course = Course(cloud, environment, at).tell("Environment tag update is starting.").wait(5)
    course.tell("Environment tag update completed successfully.")
    course.do(lambda at: now_ready(environment, at))


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
        course.do(lambda at, one=one: now_ready(one, at))  # type: ignore[misc]
        if one is source and cloud.scripts.strikes("ill_after_swap", environment=one.name):
            course.do(lambda at: ready_but_ill(cloud, source, at, _OVERWHELMED))


_OVERWHELMED = "100.0 % of the requests are failing with HTTP 5xx."


def _swap_names(cloud: Cloud, one: Environment, other: Environment) -> None:
    one.cname, other.cname = other.cname, one.cname
    one.prefix, other.prefix = other.prefix, one.prefix
    cloud.world.fleet.point(one.cname, one)
    cloud.world.fleet.point(other.cname, other)


def _points(cloud: Cloud, environment: Environment, at: float) -> None:
    said = f"'{environment.cname}' now points to '{environment.endpoint}'."
    cloud.tell(environment, at, said)


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
        course.tell(f"Deleted EIP: {address(environment)}")
    else:
        course.tell(f"Deleted Auto Scaling group named: {group_name(environment)}")
    course.wait(20).do(lambda at: remove_group(cloud, environment, at)).wait(2)
    course.tell(f"Deleting SNS topic for environment {environment.name}.").wait(1)
    course.tell("terminateEnvironment completed successfully.")
    course.do(lambda at: terminated(cloud, environment, at))
