"""The way to AWS: who we are there, and one client for each service. Endpoints and credentials come from where
botocore always looks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from onnxport.deploy.aws.complaints import translate
from onnxport.deploy.observed import Account
from onnxport.errors import DeployError

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_ATTEMPTS = 6  # with growing pauses between, about half a minute in all


class Cloud:
    """One account in one region. Every call of its clients belongs inside `told`, which names the step that fails."""

    def __init__(self, region: str | None = None, profile: str | None = None) -> None:
        with told("find the credentials"):
            self._session = boto3.Session(profile_name=profile or None, region_name=region or None)
        if not self._session.region_name:
            raise DeployError(
                "no AWS region is set",
                remedy="write region into onnxport.toml, give --region, or set AWS_DEFAULT_REGION",
            )
        self.region: str = self._session.region_name

    def client(self, service: str, *, attempts: int = _ATTEMPTS) -> Any:
        """A client of one service. attempts: how often a call is sent at most."""
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": attempts},
            user_agent_extra="onnxport",
        )
        return self._session.client(service, config=config)  # type: ignore[call-overload]

    @cached_property
    def beanstalk(self) -> Any:
        return self.client("elasticbeanstalk")

    @cached_property
    def beanstalk_once(self) -> Any:
        """For what must not be done twice: a call whose answer is lost isn't sent again."""
        return self.client("elasticbeanstalk", attempts=1)

    @cached_property
    def ecr(self) -> Any:
        return self.client("ecr")

    @cached_property
    def iam(self) -> Any:
        return self.client("iam")

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def logs(self) -> Any:
        return self.client("logs")

    @cached_property
    def account(self) -> Account:
        """Who we are. The first call of every command: it tells whether the credentials are any good."""
        with told("ask AWS who we are"):
            said = self.client("sts").get_caller_identity()
        partition = said["Arn"].split(":")[1]
        return Account(said["Account"], self.region, partition, said["Arn"])


@contextmanager
def told(step: str) -> Iterator[None]:
    """What AWS complains of inside becomes a DeployError, in one sentence with a remedy."""
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as err:
        raise translate(err, step) from err


def is_refusal(err: DeployError) -> bool:
    """Whether AWS itself has said no: then nothing was done. Else its answer may have been lost on the way."""
    return isinstance(err.__cause__, ClientError)


def code_of(err: ClientError) -> str:
    """AWS's own short name of an error."""
    return str(err.response.get("Error", {}).get("Code", ""))


@contextmanager
def absent_is_fine(*codes: str) -> Iterator[None]:
    """What says that a thing isn't there is no failure: it is removed already, or was never made."""
    try:
        yield
    except ClientError as err:
        if code_of(err) not in codes:
            raise
