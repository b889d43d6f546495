"""What an environment has outside of Elastic Beanstalk: its security group and its log groups, in moto."""

from __future__ import annotations

import contextlib
import time

from moto.core.exceptions import ServiceException
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.logs.models import logs_backends

from tests.deploy.fake_aws.state import Cloud, Environment

_LOGS = ("eb-engine.log", "nginx/access.log", "nginx/error.log")
CONTAINER_LOG = "eb-docker/containers/eb-current-app/stdouterr.log"


def stack(environment: Environment) -> str:
    return f"awseb-{environment.id}-stack"


def own_tags(environment: Environment) -> dict[str, str]:
    """Those that Elastic Beanstalk puts on all that belongs to an environment, after the user's."""
    return {
        **environment.tags,
        "Name": environment.name,
        "elasticbeanstalk:environment-name": environment.name,
        "elasticbeanstalk:environment-id": environment.id,
    }


def has_network(cloud: Cloud, environment: Environment) -> bool:
    """Whether there is a VPC: the one of its options, or the account's default."""
    named = environment.option("aws:ec2:vpc", "VPCId")
    vpcs = ec2_backends[cloud.account][cloud.region].vpcs.values()
    return any(vpc.id == named if named else vpc.is_default for vpc in vpcs)


def create_group(cloud: Cloud, environment: Environment) -> str:
    """A security group; gives its id."""
    name = f"{stack(environment)}-AWSEBSecurityGroup-{environment.id[2:].upper()}"
    backend = ec2_backends[cloud.account][cloud.region]
    vpc = environment.option("aws:ec2:vpc", "VPCId") or _default_vpc(cloud)
    group = backend.create_security_group(
        name, "SecurityGroup for ElasticBeanstalk environment.", vpc, own_tags(environment)
    )
    return str(group.id)


def _default_vpc(cloud: Cloud) -> str:
    vpcs = ec2_backends[cloud.account][cloud.region].vpcs.values()
    return next(str(vpc.id) for vpc in vpcs if vpc.is_default)


def delete_group(cloud: Cloud, environment: Environment) -> None:
    if environment.group:
        with contextlib.suppress(EC2ClientError):
            backend = ec2_backends[cloud.account][cloud.region]
            backend.delete_security_group(group_id=environment.group)
        environment.group = ""


def log_group(environment: Environment, log: str) -> str:
    return f"/aws/elasticbeanstalk/{environment.name}/var/log/{log}"


def streams_logs(environment: Environment) -> bool:
    return environment.option("aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs") == "true"


def write_log(cloud: Cloud, environment: Environment, log: str, text: str) -> None:
    """Lines into CloudWatch, if the environment streams its logs; groups and streams are made when needed."""
    if not streams_logs(environment) or not environment.instances or not text:
        return
    backend = logs_backends[cloud.account][cloud.region]
    group, stream = log_group(environment, log), environment.instances[0].id
    for make in (
        lambda: backend.create_log_group(group, own_tags(environment)),
        lambda: backend.create_log_stream(group, stream),
    ):
        with contextlib.suppress(ServiceException, Exception):
            make()
    millis = int(time.time() * 1000)
    entries = [{"timestamp": millis, "message": line} for line in text.splitlines() if line]
    backend.put_log_events(group, stream, entries)


def delete_logs(cloud: Cloud, environment: Environment) -> None:
    """At termination, where the environment asked for it."""
    space = "aws:elasticbeanstalk:cloudwatch:logs"
    if environment.option(space, "DeleteOnTerminate") != "true":
        return
    backend = logs_backends[cloud.account][cloud.region]
    for log in (*_LOGS, CONTAINER_LOG):
        backend.groups.pop(log_group(environment, log), None)
