"""Operations that look at running instances: health, and the logs that are asked for."""

from __future__ import annotations

import boto3
from botocore.config import Config
from moto.s3.models import s3_backends

from tests.deploy.fake_aws import surroundings
from tests.deploy.fake_aws.clock import as_date
from tests.deploy.fake_aws.deployments import architecture
from tests.deploy.fake_aws.finding import Answer, Call, environment
from tests.deploy.fake_aws.refusals import Refusal
from tests.deploy.fake_aws.state import Cloud, Environment, Instance

_HEALTH = "aws:elasticbeanstalk:healthreporting:system"
_COUNTS = ("NoData", "Unknown", "Pending", "Ok", "Info", "Warning", "Degraded", "Severe")
_LATENCY = {"P10": 0.001, "P50": 0.001, "P75": 0.002, "P85": 0.003, "P90": 0.003}
_PERCENTILES = {**_LATENCY, "P95": 0.004, "P99": 0.004, "P999": 0.004}


def describe_environment_health(call: Call) -> Answer:
    one = _enhanced(call)
    wanted = set(call.get("AttributeNames", []))
    status = one.health_status or "Unknown"
    told: Answer = {
        "Status": one.health,
        "Color": one.health,
        "HealthStatus": status,
        "Causes": one.causes,
        "ApplicationMetrics": _metrics(one),
        "InstancesHealth": {name: len(one.instances) if name == status else 0 for name in _COUNTS},
        "RefreshedAt": as_date(call.now),
    }
    if wanted and "All" not in wanted:
        told = {name: value for name, value in told.items() if name in wanted}
    return {"EnvironmentName": one.name, **told}


def _enhanced(call: Call) -> Environment:
    """Only enhanced health can be asked for; the platform's recent versions have it unless it is turned off."""
    one = environment(call)
    if one.option(_HEALTH, "SystemType", "enhanced") != "enhanced":
        raise Refusal(
            "InvalidRequestException",
            f"The environment {one.name} does not have enhanced health reporting enabled.",
        )
    return one


def _metrics(one: Environment) -> Answer:
    is_ill = one.health == "Red"
    return {
        "Duration": 10,
        "RequestCount": 45,
        "StatusCodes": {
            "Status2xx": 0 if is_ill else 45,
            "Status3xx": 0,
            "Status4xx": 0,
            "Status5xx": 45 if is_ill else 0,
        },
        "Latency": _PERCENTILES,
    }


def describe_instances_health(call: Call) -> Answer:
    one = _enhanced(call)
    listed = [_instance(call, one, instance) for instance in one.instances]
    return {"InstanceHealthList": listed, "RefreshedAt": as_date(call.now)}


def _instance(call: Call, one: Environment, instance: Instance) -> Answer:
    types = one.option("aws:ec2:instances", "InstanceTypes", "t3.micro")
    return {
        "InstanceId": instance.id,
        "HealthStatus": one.health_status or "Unknown",
        "Color": one.health,
        "Causes": one.causes,
        "LaunchedAt": as_date(instance.launched),
        "ApplicationMetrics": _metrics(one),
        "System": {
            "CPUUtilization": {
                "User": 1.5,
                "Nice": 0.1,
                "System": 0.3,
                "Idle": 97.8,
                "IOWait": 0.2,
                "IRQ": 0.0,
                "SoftIRQ": 0.1,
            },
            "LoadAverage": [0.0, 0.02, 0.05],
        },
        "Deployment": {
            "VersionLabel": one.version,
            "DeploymentId": one.deployment,
            "Status": "Deployed" if one.status == "Ready" else "In Progress",
            "DeploymentTime": as_date(one.updated),
        },
        "AvailabilityZone": f"{call.cloud.region}a",
        "InstanceType": types.split(",")[0],
    }


# ------------------------------------------------------------------------------------------------------------ logs


def request_environment_info(call: Call) -> Answer:
    one = environment(call)
    one.requested[call.text("InfoType")] = call.now
    one.request_id = call.request_id
    call.cloud.tell(one, call.now, "requestEnvironmentInfo is starting.")
    return {}


_COLLECTING = 5.0  # seconds until an instance has put its logs into the bucket


def retrieve_environment_info(call: Call) -> Answer:
    """Nothing until the instance has answered; then links to what it has put into the bucket."""
    one, kind = environment(call), call.text("InfoType")
    asked = one.requested.get(kind)
    if asked is None or call.now < asked + _COLLECTING:
        return {"EnvironmentInfo": []}
    listed = [
        {
            "InfoType": kind,
            "Ec2InstanceId": instance.id,
            "SampleTimestamp": as_date(asked),
            "Message": _link(call.cloud, one, instance, kind),
        }
        for instance in one.instances
    ]
    return {"EnvironmentInfo": listed}


def _link(cloud: Cloud, one: Environment, instance: Instance, kind: str) -> str:
    key = (
        f"resources/environments/logs/{kind}/{one.id}/{instance.id}/TailLogs-{int(cloud.now())}.out"
    )
    backend = s3_backends[cloud.account]["aws"]
    if cloud.bucket not in backend.buckets:
        backend.create_bucket(cloud.bucket, cloud.region)
    backend.put_object(cloud.bucket, key, _logs(cloud, one).encode())
    client = boto3.client(
        "s3",
        endpoint_url=cloud.world.url,
        region_name=cloud.region,
        aws_access_key_id="fake",
        aws_secret_access_key="fake",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    return str(
        client.generate_presigned_url("get_object", Params={"Bucket": cloud.bucket, "Key": key})
    )


def _logs(cloud: Cloud, one: Environment) -> str:
    """The tails of all logs, one after another under their names."""
    told = cloud.world.fleet.log(one)
    parts = {
        f"/var/log/{surroundings.CONTAINER_LOG}": told,
        "/var/log/eb-engine.log": "\n".join(
            f"{as_date(event.date):%Y/%m/%d %H:%M:%S} [{event.severity}] {event.message}"
            for event in cloud.events
            if event.environment == one.name
        ),
        "/var/log/nginx/error.log": "; ".join(one.causes),
        "/var/log/messages": f"Linux {architecture(cloud, one)}",
    }
    line = "-" * 40
    return "\n\n".join(f"{line}\n{name}\n{line}\n{text}" for name, text in parts.items())
