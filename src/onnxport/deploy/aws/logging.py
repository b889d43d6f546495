"""Logs: from CloudWatch where they are streamed, else the last lines that Beanstalk fetches from the machines."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from onnxport.deploy.aws.reading import read_environment
from onnxport.deploy.aws.session import Cloud, absent_is_fine, told
from onnxport.deploy.observed import LogLine
from onnxport.errors import DeployError

_GONE = "ResourceNotFoundException"
_PAUSE = 2.0
_MAX_BYTES = 16 * 1024 * 1024
_OVERLAP = timedelta(seconds=30)  # lines may arrive late


def groups(cloud: Cloud, prefix: str) -> list[str]:
    """The log groups whose names begin so."""
    with told("list the log groups"):
        pages = cloud.logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
        return [group["logGroupName"] for page in pages for group in page.get("logGroups", [])]


def read_lines(cloud: Cloud, group: str, since: datetime | None) -> list[LogLine]:
    """The lines of a group since a time, oldest first; none where there is no such group."""
    start = {"startTime": int(since.timestamp() * 1000)} if since else {}
    lines: list[LogLine] = []
    with told(f"read the log {group}"), absent_is_fine(_GONE):
        pages = cloud.logs.get_paginator("filter_log_events").paginate(logGroupName=group, **start)
        for page in pages:
            for event in page.get("events", []):
                moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                source = event.get("logStreamName", "")
                lines.append(
                    LogLine(moment, source, event["message"].rstrip("\n"), event["eventId"])
                )
    return sorted(lines, key=lambda line: (line.moment, line.id))


def follow(cloud: Cloud, group: str, since: datetime) -> Iterator[LogLine]:
    """Lines as they come, for ever; what was handed out isn't again."""
    seen: dict[str, datetime] = {}
    while True:
        for line in read_lines(cloud, group, since - _OVERLAP):
            if line.id not in seen and line.moment >= since - _OVERLAP:
                seen[line.id] = line.moment
                yield line
        newest = max(seen.values(), default=since)
        since = max(since, newest)
        seen = {key: moment for key, moment in seen.items() if moment >= since - 2 * _OVERLAP}
        time.sleep(_PAUSE)


def delete_group(cloud: Cloud, name: str) -> None:
    with told(f"delete the log group {name}"), absent_is_fine(_GONE):
        cloud.logs.delete_log_group(logGroupName=name)


def fetch_tail(cloud: Cloud, environment: str, *, seconds: float = 120.0) -> dict[str, str]:
    """The last lines of all logs of each machine, by its id; none where none has answered in so many seconds."""
    if read_environment(cloud, environment) is None:
        return {}
    with told(f"ask {environment} for its logs"):
        cloud.beanstalk.request_environment_info(EnvironmentName=environment, InfoType="tail")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(_PAUSE)
        with told(f"fetch the logs of {environment}"):
            said = cloud.beanstalk.retrieve_environment_info(
                EnvironmentName=environment, InfoType="tail"
            )
        found = said.get("EnvironmentInfo", [])
        if found:
            return {entry["Ec2InstanceId"]: _download(entry["Message"]) for entry in found}
    return {}


def _download(url: str) -> str:
    """The text behind a presigned address, which says who may read it: no credentials go along."""
    if not url.startswith(("https://", "http://")):
        return url
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            content: bytes = answer.read(_MAX_BYTES)
    except (urllib.error.URLError, OSError) as err:
        raise DeployError(
            f"the logs can't be downloaded ({getattr(err, 'reason', err)})",
            remedy="check the network, then run the same command again",
            resumable=True,
        ) from err
    return content.decode("utf-8", "replace")
