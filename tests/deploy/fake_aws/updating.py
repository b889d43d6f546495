"""The courses of updates: a version, options, and their way back."""

from __future__ import annotations

from tests.deploy.fake_aws.milestones import (
    Course,
    become_green,
    deploy,
    now_ready,
    ready_but_ill,
    tell_failure,
)
from tests.deploy.fake_aws.state import Cloud, Environment, Fault


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
    fault = deploy(cloud, environment)
    course = Course(cloud, environment, at)
    if fault is None:
        course.tell("Instance deployment completed successfully.").wait(4)
        course.tell("New application version was deployed to running EC2 instances.")
        course.tell("Environment update completed successfully.")
        course.do(lambda at: now_ready(environment, at)).wait(10)
        course.do(lambda at: become_green(cloud, environment, at, "Info"))
    elif fault.cause and not is_safe:
        course.tell("New application version was deployed to running EC2 instances.")
        course.tell("Environment update completed successfully.")
        course.do(lambda at: ready_but_ill(cloud, environment, at, fault.cause))
    else:
        _fail_deployment(cloud, environment, course, fault, is_safe=is_safe)


def _fail_deployment(
    cloud: Cloud, environment: Environment, course: Course, fault: Fault, *, is_safe: bool
) -> None:
    if fault.cause:
        course.tell(f"Test instance failed health checks. {fault.cause}", "ERROR")
    else:
        tell_failure(course, environment, fault)
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
        course.do(
            lambda at: ready_but_ill(cloud, environment, at, "Command failed on all instances.")
        )


def _back(environment: Environment) -> None:
    """Version, options and platform as before the update."""
    if environment.before is not None:
        environment.version, environment.options, environment.platform = environment.before


def _back_as_it_was(cloud: Cloud, environment: Environment, at: float) -> None:
    deploy(cloud, environment)
    now_ready(environment, at)
    environment.health, environment.health_status, environment.causes = "Green", "Ok", []


def configure(cloud: Cloud, environment: Environment, at: float, *, restarts: bool) -> None:
    """The environment holds the new options already."""
    course = _starting(cloud, environment, at)
    course.tell(f"Updating environment {environment.name}'s configuration settings.")
    course.wait(120 if restarts else 25)
    course.do(lambda at: _configured(cloud, environment, at))


def _configured(cloud: Cloud, environment: Environment, at: float) -> None:
    is_scripted = cloud.scripts.strikes("reverted_update", environment=environment.name)
    fault = None if is_scripted else deploy(cloud, environment)
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
        course.do(lambda at: now_ready(environment, at)).wait(10)
        course.do(lambda at: become_green(cloud, environment, at, "Info"))
    else:
        course.do(lambda at: ready_but_ill(cloud, environment, at, fault.cause))


def abort(cloud: Cloud, environment: Environment, at: float) -> None:
    environment.status, environment.abortable = "Aborting", False
    course = Course(cloud, environment, at)
    course.tell("Environment update is aborting.", "INFO").wait(10)
    course.do(lambda _: _back(environment))
    course.do(lambda at: _back_as_it_was(cloud, environment, at))
    course.tell("The environment was reverted to the previous configuration setting.")
