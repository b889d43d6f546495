"""Waiting: the events of an environment as they come, until it has settled, and what they mean.

The words that Beanstalk uses are those that its own command line, awsebcli, knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from onnxport.deploy.aws.reading import read_environment
from onnxport.deploy.aws.session import Cloud, told
from onnxport.deploy.observed import Environment, Event, HealthReport
from onnxport.errors import DeployError

FAILURES = (
    "Failed to launch environment",
    "Failed to deploy application",
    "Failed to deploy configuration",
    "operation is complete, but with errors",
    "but with command timeouts",
    "was reverted to the previous configuration",
    "there were issues during launch",
    "Unsuccessful command execution",
    "is being rolled back",
    "aborted",
)
GRACE = 300.0  # AWS gives an update 240 s beyond the timeout; its verdict says more than ours
_FIRST_PAUSE, _LONGEST_PAUSE = 0.3, 5.0
_MOVING = ("Launching", "Updating", "Terminating", "LinkingFrom", "LinkingTo", "Aborting")
_LATENESS = timedelta(seconds=60)  # an event may be told after later ones

Tell = Callable[[Event], None]


class Stream:
    """The events of one environment, each handed out once. Its time is AWS's, so that no clock has to agree.

    What happened before the stream was opened is no news.
    """

    def __init__(self, cloud: Cloud, application: str, environment: str) -> None:
        self._cloud = cloud
        self._asked = {"ApplicationName": application, "EnvironmentName": environment}
        self._since: datetime | None = None
        self.first = self._fetch()
        self._seen = set(self.first)
        self._opened = self.first[-1].time if self.first else None

    @classmethod
    def past(cls, cloud: Cloud, application: str, environment: str) -> list[Event]:
        """All that is known to have happened, oldest first."""
        return cls(cloud, application, environment).first

    def news(self) -> list[Event]:
        """What has come since the last call, oldest first; what is told late isn't missed."""
        fresh = [event for event in self._fetch() if event not in self._seen]
        self._seen.update(fresh)
        return [event for event in fresh if self._opened is None or event.time >= self._opened]

    def _fetch(self) -> list[Event]:
        since = {"StartTime": self._since} if self._since else {}
        with told(f"read the events of {self._asked['EnvironmentName']}"):
            said = self._cloud.beanstalk.describe_events(**self._asked, MaxRecords=1000, **since)
        found = sorted(map(event_of, said["Events"]), key=lambda event: event.time)
        if found:
            self._since = found[-1].time - _LATENESS
        return found


def event_of(said: dict[str, Any]) -> Event:
    return Event(
        said["EventDate"],
        said.get("Severity", "INFO"),
        said["Message"],
        said.get("EnvironmentName", ""),
    )


def pauses() -> Iterator[float]:
    """Short at first, so that what is quick is seen quickly."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.3, _LONGEST_PAUSE)


def settle(
    cloud: Cloud, name: str, stream: Stream, tell: Tell, *, seconds: float
) -> tuple[Environment | None, list[Event]]:
    """Waits until nothing moves there; None where the environment is gone. Tells each event.

    Raises DeployError, resumable, after so many seconds.
    """
    heard: list[Event] = []
    deadline = time.monotonic() + seconds
    for pause in pauses():
        found = read_environment(cloud, name)
        news = stream.news()
        for event in news:
            tell(event)
        heard += news
        if found is None or found.status not in _MOVING:
            return found, heard
        if time.monotonic() > deadline:
            raise DeployError(
                f"{name} is still {found.status} after {seconds:.0f} s",
                remedy="run the same command again to wait on; `onnxport logs --diagnose` looks for causes",
                resumable=True,
            )
        time.sleep(pause)
    raise AssertionError("pauses never end")


def failures(events: list[Event]) -> list[str]:
    """What went wrong, by the events: the words of a known failure, or an error."""
    return [
        event.message
        for event in events
        if event.severity in ("ERROR", "FATAL") or any(words in event.message for words in FAILURES)
    ]


def read_health(cloud: Cloud, name: str) -> HealthReport:
    """What enhanced health says of an environment."""
    with told(f"read the health of {name}"):
        said = cloud.beanstalk.describe_environment_health(
            EnvironmentName=name, AttributeNames=["All"]
        )
    return HealthReport(
        color=said.get("Color", "Grey"),
        status=said.get("HealthStatus", "Unknown"),
        causes=tuple(said.get("Causes", ())),
        instances={k: int(v) for k, v in said.get("InstancesHealth", {}).items()},
        requests=int(said.get("ApplicationMetrics", {}).get("RequestCount", 0)),
        failed=int(said.get("ApplicationMetrics", {}).get("StatusCodes", {}).get("Status5xx", 0)),
        moment=said.get("RefreshedAt"),
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of waiting for health."""

    is_well: bool
    report: HealthReport


def wait_for_health(
    cloud: Cloud,
    name: str,
    stream: Stream,
    tell: Tell,
    *,
    seconds: float,
    red_seconds: float = 120.0,
    checks: int = 2,
) -> Verdict:
    """Waits for so many green looks in a row. Red for too long, or no green in time, is a failure.

    Time is that of the reports, where they tell it, for AWS's clock is what health goes by.
    """
    green, red_since, began = 0, None, time.monotonic()
    first: datetime | None = None
    for pause in pauses():
        report = read_health(cloud, name)
        for event in stream.news():
            tell(event)
        first = first or report.moment
        now = _elapsed(first, report.moment, began)
        green = green + 1 if report.color == "Green" else 0
        if green >= checks:
            return Verdict(True, report)
        if report.color != "Red":
            red_since = None
        elif red_since is None:
            red_since = now
        if now > seconds or (red_since is not None and now - red_since > red_seconds):
            return Verdict(False, report)
        time.sleep(min(pause, 2.0))
    raise AssertionError("pauses never end")


def _elapsed(first: datetime | None, moment: datetime | None, began: float) -> float:
    by_aws = (moment - first).total_seconds() if moment and first else 0.0
    return max(by_aws, time.monotonic() - began)
