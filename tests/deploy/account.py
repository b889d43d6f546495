"""An account of the fake as tests need it before their own calls: clients, roles, images, bundles, environments."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.deploy.fake_aws.images import PASSWORD, Registry
from tests.deploy.fake_aws.process import REGION, FakeAws

DOCKER = "64bit Amazon Linux 2023 v4.10.1 running Docker"
ACCOUNT = "123456789012"
WEB_TIER = "arn:aws:iam::aws:policy/AWSElasticBeanstalkWebTier"
PULL_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"
LAUNCH = "aws:autoscaling:launchconfiguration"
ENVIRONMENT = "aws:elasticbeanstalk:environment"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def client(fake: FakeAws, service: str, *, region: str = REGION, **more: Any) -> Any:
    """A client as users have one, but that it never tries twice."""
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=fake.url,
        region_name=region,
        aws_access_key_id=fake.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=fake.env["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 0}, **more),
    )


def refused(method: Any, **given: Any) -> str:
    """Code and message with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        method(**given)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def role(fake: FakeAws, name: str, service: str, policies: Sequence[str] = ()) -> None:
    iam = client(fake, "iam")
    principal = {"Effect": "Allow", "Principal": {"Service": service}}
    trust = {"Version": "2012-10-17", "Statement": [{**principal, "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    for policy in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=policy)


def profile(fake: FakeAws, name: str, policies: Sequence[str] = (WEB_TIER, PULL_ONLY)) -> None:
    """An instance profile, and a role of the same name in it."""
    role(fake, name, "ec2.amazonaws.com", policies)
    iam = client(fake, "iam")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def push(
    fake: FakeAws,
    repository: str,
    architecture: str = "amd64",
    port: int = 8080,
    layer: bytes = b"a layer",
) -> str:
    """A small image, sent to the fake's registry as clients do; gives its digest."""
    config = {"architecture": architecture, "os": "linux", "config": {}}
    config["config"] = {"ExposedPorts": {f"{port}/tcp": {}}}
    parts = [json.dumps(config).encode(), layer]
    digests = [_send_blob(fake, repository, part) for part in parts]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _described(digests[0], parts[0], "container.image.v1+json"),
        "layers": [_described(digests[1], parts[1], "image.rootfs.diff.tar.gzip")],
    }
    content = json.dumps(manifest).encode()
    url = f"http://{fake.registry}/v2/{repository}/manifests/{architecture}-{port}"
    _send(url, content, "PUT", _MANIFEST)
    return _digest(content)


def _described(digest: str, content: bytes, kind: str) -> dict[str, Any]:
    media = f"application/vnd.docker.{kind}"
    return {"mediaType": media, "size": len(content), "digest": digest}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _send_blob(fake: FakeAws, repository: str, content: bytes) -> str:
    begun = _send(f"http://{fake.registry}/v2/{repository}/blobs/uploads/", b"", "POST")
    digest = _digest(content)
    _send(f"{begun}&digest={digest}", content, "PUT", "application/octet-stream")
    return digest


def _send(url: str, content: bytes, method: str, kind: str = "text/plain") -> str:
    token = Registry("", PASSWORD).token
    headers = {"Authorization": f"Basic {token}", "Content-Type": kind}
    request = urllib.request.Request(url, content, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.headers.get("Location", ""))


def bundle(image: str, port: Any = "8080", **more: Any) -> bytes:
    """A zip with a Dockerrun.aws.json."""
    document = {
        "AWSEBDockerrunVersion": "1",
        "Image": {"Name": image, "Update": "true"},
        "Ports": [{"ContainerPort": port}],
        **more,
    }
    return zipped({"Dockerrun.aws.json": json.dumps(document)})


def zipped(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def setting(namespace: str, name: str, value: str) -> dict[str, str]:
    return {"Namespace": namespace, "OptionName": name, "Value": value}


SINGLE = (setting(ENVIRONMENT, "EnvironmentType", "SingleInstance"),)


@dataclass
class Account:
    """Application `iris` with a role `web`; labels of versions and names of environments are the caller's."""

    fake: FakeAws
    image: str = "nginx@sha256:" + "0" * 64
    eb: Any = field(init=False)

    def __post_init__(self) -> None:
        self.eb = client(self.fake, "elasticbeanstalk")
        self.bucket = self.eb.create_storage_location()["S3Bucket"]
        self.eb.create_application(ApplicationName="iris")
        profile(self.fake, "web")

    def version(self, label: str, content: bytes | None = None) -> dict[str, Any]:
        key = f"onnxport/{label}.zip"
        client(self.fake, "s3").put_object(
            Bucket=self.bucket, Key=key, Body=bundle(self.image) if content is None else content
        )
        made = self.eb.create_application_version(
            ApplicationName="iris",
            VersionLabel=label,
            SourceBundle={"S3Bucket": self.bucket, "S3Key": key},
            Process=True,
        )
        told: dict[str, Any] = made["ApplicationVersion"]
        return told

    def create(
        self,
        name: str,
        label: str,
        options: Sequence[dict[str, str]] = SINGLE,
        profile: str = "web",
        **more: Any,
    ) -> dict[str, Any]:
        """Begins a launch."""
        chosen = [*options, setting(LAUNCH, "IamInstanceProfile", profile)]
        made: dict[str, Any] = self.eb.create_environment(
            ApplicationName="iris",
            EnvironmentName=name,
            VersionLabel=label,
            SolutionStackName=DOCKER,
            OptionSettings=chosen,
            **more,
        )
        return made

    def launch(self, name: str, label: str, **more: Any) -> dict[str, Any]:
        """A launch, and the ten minutes after it."""
        self.create(name, label, **more)
        self.fake.advance(600)
        return self.look(name)

    def look(self, name: str) -> dict[str, Any]:
        """The newest environment of the name."""
        found = self.eb.describe_environments(EnvironmentNames=[name])["Environments"]
        newest: dict[str, Any] = max(found, key=lambda one: one["DateCreated"])
        return newest

    def told(self, name: str, severity: str = "TRACE") -> list[str]:
        """The messages of its events, in the order of time."""
        events = self.eb.describe_events(EnvironmentName=name, Severity=severity)["Events"]
        return [event["Message"] for event in reversed(events)]


def standing_still(fake: FakeAws) -> Account:
    """Versions v1 and v2, and a clock that moves only when it is told to."""
    fake.rate(0)
    made = Account(fake)
    made.version("v1")
    made.version("v2")
    return made
