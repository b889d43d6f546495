"""The logs of the live environment: since when, how many lines, on and on, and what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from onnxport.deploy.aws import logging
from onnxport.deploy.aws.events import Stream, read_health
from onnxport.deploy.aws.reading import read_address, read_environments
from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.diagnosis import Finding, diagnose
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import SLOTS, names_of
from onnxport.deploy.observed import Environment, LogLine
from onnxport.deploy.slots import has_address, slot_of
from onnxport.deploy.tags import belongs_to
from onnxport.errors import DeployError, SettingsError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SINCE = re.compile(r"(\d{1,6})([smhd])")
_TOLD_SECONDS = 3600  # of what is looked at when nothing is said


@dataclass(frozen=True, slots=True)
class Source:
    """Whose logs. group: of CloudWatch, or "" where none are streamed."""

    environment: Environment
    group: str
    prefix: str


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """A time: so long ago, as in 90s, 10m, 2h, 1d, or one of ISO 8601. Raises SettingsError for anything else."""
    now = now or datetime.now(UTC)
    match = _SINCE.fullmatch(text)
    if match:
        return now - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise SettingsError(
            f"--since is {text[:40]!r}, and must be such as 90s, 10m, 2h, 1d, or 2026-01-31T12:00"
        ) from err
    return moment if moment.tzinfo else moment.astimezone()


def find_environment(cloud: Cloud, intent: Intent, slot: str | None = None) -> Environment:
    """The live environment, or that of a slot; where none is live, whichever there is.

    Raises DeployError where there is none of ours.
    """
    names = names_of(intent, cloud.account.id)
    named = {names.environment(each): each for each in SLOTS}
    found = read_environments(cloud, names.application, named)
    ours = [each for each in found if each.name in named and belongs_to(each.tags, intent)]
    if slot:
        chosen = [each for each in ours if named[each.name] == slot]
    else:
        live = read_address(cloud, names.live_cname)
        chosen = [each for each in ours if has_address(each, live)] or ours
    if not chosen:
        what = f"slot {slot} has no environment" if slot else f"{intent.name} isn't deployed"
        raise DeployError(what, remedy="`onnxport status` shows what there is")
    return chosen[0]


def find_source(cloud: Cloud, intent: Intent, slot: str | None = None) -> Source:
    """Whose logs, and where they are."""
    names = names_of(intent, cloud.account.id)
    environment = find_environment(cloud, intent, slot)
    its_slot = slot_of(names, environment)
    prefix, group = names.log_groups(its_slot), names.log_group(its_slot)
    is_known = group in logging.groups(cloud, prefix)
    return Source(environment, group if is_known else "", prefix)


def read_log(
    cloud: Cloud, source: Source, *, since: datetime | None, tail: int | None
) -> list[LogLine]:
    """The lines, oldest first: from CloudWatch, else the last ones of each machine."""
    if source.group:
        lines = logging.read_lines(cloud, source.group, since)
    else:
        lines = list(_tails(cloud, source.environment.name))
    return lines[-tail:] if tail is not None else lines


def _tails(cloud: Cloud, name: str) -> Iterator[LogLine]:
    now = datetime.now(UTC)
    for machine, text in logging.fetch_tail(cloud, name).items():
        for line in text.splitlines():
            yield LogLine(now, machine, line)


def follow_log(cloud: Cloud, source: Source, since: datetime) -> Iterator[LogLine]:
    """Lines as they come. Raises DeployError where nothing is streamed."""
    if not source.group:
        raise DeployError(
            f"the logs of {source.environment.name} aren't in CloudWatch",
            remedy="set stream = true in [logs] and deploy, or leave --follow out",
        )
    return logging.follow(cloud, source.group, since)


def diagnose_environment(cloud: Cloud, source: Source) -> list[Finding]:
    """What events, health, all log groups and the last lines of the machines show of known troubles."""
    name = source.environment.name
    lines = [event.message for event in Stream.past(cloud, source.environment.application, name)]
    if source.environment.status in ("Ready", "Updating"):
        lines += read_health(cloud, name).causes
        for text in logging.fetch_tail(cloud, name).values():
            lines += text.splitlines()
    since = datetime.now(UTC) - timedelta(seconds=_TOLD_SECONDS)
    for group in logging.groups(cloud, source.prefix):
        lines += [line.text for line in logging.read_lines(cloud, group, since)]
    return diagnose(lines)
