"""What happens to an environment step by step, and the steps that launch, update and end have in common.

The texts of events are those that users have posted of Elastic Beanstalk; the times between them are typical ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from tests.deploy.fake_aws import surroundings
from tests.deploy.fake_aws.deployments import examine
from tests.deploy.fake_aws.images import PASSWORD, Registry
from tests.deploy.fake_aws.state import Cloud, Environment, Fault, Milestone

Deed = Callable[[float], None]


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


def address(environment: Environment) -> str:
    number = int(environment.created * 1000)
    return f"3.{number % 200 + 10}.{number // 200 % 250}.{number // 50_000 % 250}"


def group_name(environment: Environment) -> str:
    return f"{surroundings.stack(environment)}-AWSEBAutoScalingGroup-{environment.id[2:].upper()}"


def tell_failure(course: Course, environment: Environment, fault: Fault) -> None:
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


def deploy(cloud: Cloud, environment: Environment) -> Fault | None:
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


def now_ready(environment: Environment, at: float) -> None:
    environment.status, environment.abortable, environment.before = "Ready", False, None
    environment.updated = at


def become_green(cloud: Cloud, environment: Environment, at: float, before: str) -> None:
    environment.health, environment.health_status, environment.causes = "Green", "Ok", []
    cloud.tell(
        environment,
        at,
        f"Environment health has transitioned from {before} to Ok. Initialization completed "
        "15 seconds ago and took 2 minutes.",
    )


def ready_but_ill(cloud: Cloud, environment: Environment, at: float, cause: str) -> None:
    """Ready, but ill."""
    now_ready(environment, at)
    _ill(cloud, environment, at, cause)


def _ill(cloud: Cloud, environment: Environment, at: float, cause: str) -> None:
    before = environment.health_status or "Unknown"
    environment.health, environment.health_status = "Red", "Severe"
    environment.causes = [cause]
    said = f"Environment health has transitioned from {before} to Severe. {cause}"
    cloud.tell(environment, at, said, "WARN")


def remove_group(cloud: Cloud, environment: Environment, at: float) -> None:
    group = environment.group
    if not group:
        return
    if cloud.scripts.strikes("security_group_left", environment=environment.name):
        said = f"Deleting security group named: {group} failed Reason: resource {group} has a dependent object"
        cloud.tell(environment, at, said, "ERROR")
        return
    surroundings.delete_group(cloud, environment)
    cloud.tell(environment, at, f"Deleted security group named: {group}")


def terminated(cloud: Cloud, environment: Environment, at: float) -> None:
    cloud.world.fleet.retire(environment)
    surroundings.delete_logs(cloud, environment)
    environment.status, environment.health, environment.health_status = "Terminated", "Grey", ""
    environment.updated, environment.endpoint = at, ""
    environment.instances.clear()
    environment.cname = environment.prefix = ""
