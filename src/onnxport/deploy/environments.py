"""Actions on environments: asked for, waited for, changed, ended. Whether AWS has done it is looked at each time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxport.deploy.aws import beanstalk, reading
from onnxport.deploy.aws.events import GRACE, Stream, failures, read_health, settle
from onnxport.deploy.aws.logging import fetch_tail
from onnxport.deploy.aws.session import is_refusal
from onnxport.deploy.diagnosis import diagnose, remedy_for
from onnxport.deploy.drift import is_same_platform
from onnxport.deploy.observed import Environment, Event
from onnxport.deploy.site import Site, changed, current, owns, stream_of
from onnxport.deploy.slots import has_address
from onnxport.deploy.tags import RUN
from onnxport.errors import DeployError

_TRIES = 5
_TERMINATION_SECONDS = 1800.0
_UNCERTAIN_SECONDS = 5.0  # before a call is sent again whose answer was lost
_RESERVED = ("aws:", "elasticbeanstalk:")  # tags that AWS gives, and takes from nobody
_EVIDENCE_SECONDS = 20.0  # a machine that is well answers sooner

Settings = Sequence[Mapping[str, str]]


def create_environment(
    site: Site, *, name: str, version: str, tags: Mapping[str, str], **arguments: Any
) -> None:
    stream = stream_of(site, name)
    mark = {RUN: secrets.token_hex(8)}
    id = _create(site, name, mark, version=version, tags={**tags, **mark}, **arguments)
    site.notes.note_made(name, id)
    _settled(site, name, stream, f"create environment {name}", version=version, id=id)


def _create(site: Site, name: str, mark: Mapping[str, str], **arguments: Any) -> str:
    """The id of the environment that this call has made; where its answer was lost, of the one with its mark."""
    lost = False
    for _ in range(_TRIES):
        try:
            return beanstalk.create_environment(site.cloud, name=name, **arguments)
        except DeployError as err:
            if not err.resumable or ("already exists" in err.said and not lost):
                raise
            lost = lost or not is_refusal(err)
            complaint = err
        time.sleep(_UNCERTAIN_SECONDS)
        found = reading.read_environment(site.cloud, name)
        if found and mark.items() <= reading.read_tags(site.cloud, found.arn).items():
            return found.id
    raise complaint


def _settled(
    site: Site,
    name: str,
    stream: Stream,
    step: str,
    *,
    version: str | None = None,
    id: str = "",
) -> Environment:
    """Waits until it is Ready, with the version and the id if they are given.

    Raises DeployError with what AWS says went wrong.
    """
    found, heard = settle(site.cloud, name, stream, site.tell_event, seconds=site.timeout + GRACE)
    bad = failures(heard)
    if found is None:
        bad = bad or [f"{name} is gone"]
    elif id and found.id != id:
        raise changed(f"{name} is another environment by now", step)
    elif version and found.version != version:
        bad = bad or [f"{name} has version {found.version}, not {version}"]
    if bad or found is None:
        raise _failed(step, bad, evidence_of(site, found, heard) if found else [])
    return found


def _failed(step: str, bad: list[str], evidence: Sequence[str] = ()) -> DeployError:
    """The last word is what failed, the first why. evidence: what else was heard and found."""
    causes = [text for text in (*bad, *evidence) if text != bad[-1]]
    what, why = bad[-1].rstrip("."), causes[0].rstrip(".") if causes else ""
    told = f"{what}, because: {why}" if why else what
    remedy = remedy_for("\n".join([*bad, *evidence]))
    return DeployError(told, step=step, said=why or what, remedy=remedy)


def evidence_of(site: Site, environment: Environment, heard: Sequence[Event]) -> list[str]:
    """Why an environment is ill: causes, warnings, and lines of its logs, read before it may be taken back."""
    found = [event.message for event in heard if event.severity == "WARN"]
    try:
        if environment.is_ready:
            found = [*read_health(site.cloud, environment.name).causes, *found]
        tails = fetch_tail(site.cloud, environment.name, seconds=_EVIDENCE_SECONDS)
    except DeployError as err:
        site.say(f"the logs of {environment.name} can't be read: {err}")
        return found
    findings = diagnose(line for text in tails.values() for line in text.splitlines())
    for finding in findings:
        site.say(f"{finding.signature.meaning}: {finding.line[:200]}")
    return [*found, *(finding.line for finding in findings)]


def await_ready(site: Site, *, name: str, id: str = "") -> None:
    """id: of one that a broken-off run of ours has made, and this one goes on with."""
    if id:
        site.notes.note_made(name, id)
    found = _settled(site, name, stream_of(site, name), f"wait for {name}")
    if not found.is_ready:
        raise DeployError(f"{name} is {found.status}", remedy="`onnxport status` tells more")


def await_gone(site: Site, *, name: str) -> None:
    _gone(site, name, stream_of(site, name))


def _gone(site: Site, name: str, stream: Stream) -> None:
    found, heard = settle(site.cloud, name, stream, site.tell_event, seconds=_TERMINATION_SECONDS)
    bad = failures(heard)
    if found is not None or bad:
        state = f"it is {found.status}" if found else "something is left"
        raise _failed(f"terminate environment {name}", bad or [state])


def terminate(
    site: Site,
    *,
    name: str,
    idle: bool = False,
    launching: bool = False,
    version: str | None = None,
    made: bool = False,
) -> None:
    """idle: only while callers don't reach it. launching: only as long as it never was ready. version: only as long as
    it has that one. made: only if this run has made it, or one that it goes on with.
    """
    if reading.read_environment(site.cloud, name) is None:
        return
    stays = ""

    def end() -> None:
        """Looks right before: it may have been waited for. A call whose answer was lost is taken for one to be made."""
        nonlocal stays
        now = reading.read_environment(site.cloud, name)
        if now is None or now.status == "Terminating":
            return
        if stays := _why_it_stays(site, now, version, made=made):
            return
        step = f"terminate environment {name}"
        if idle:
            _must_be_idle(site, now, step)
        if launching and now.status != "Launching":
            raise changed(f"{name} is {now.status} by now", step)
        beanstalk.terminate(site.cloud, id=now.id)

    stream = stream_of(site, name)
    _call_when_ready(site, name, stream, end)
    if stays:
        site.say(f"environment {name} {stays}, and stays")
        return
    _gone(site, name, stream)


def _why_it_stays(site: Site, environment: Environment, version: str | None, *, made: bool) -> str:
    if not owns(site, environment):
        return "hasn't our tags"
    if version is not None and environment.version != version:
        return f"has version {environment.version} by now"
    if made and site.notes.made.get(environment.name) != environment.id:
        return "wasn't made by this run"
    return ""


def _must_be_idle(site: Site, environment: Environment, step: str) -> None:
    """Raises DeployError where callers reach it: when the plan was made, they didn't."""
    if has_address(environment, site.live):
        raise changed(f"{environment.name} has the address {site.live.full} by now", step)


def _begin(site: Site, name: str, step: str, *, idle: bool) -> Environment:
    """Right before a change: what is there, noted as ours. idle: only while callers don't reach it."""
    found = current(site, name)
    if idle:
        _must_be_idle(site, found, step)
    site.notes.note_change(name, found.id)
    return found


def update_settings(
    site: Site, *, name: str, settings: Settings, remove: Settings, idle: bool = False
) -> None:
    """idle: only while callers don't reach it."""
    step = f"change settings of {name}"

    def change() -> None:
        _begin(site, name, step, idle=idle)
        beanstalk.update_settings(site.cloud, name=name, settings=settings, remove=remove)

    stream = stream_of(site, name)
    _call_when_ready(site, name, stream, change)
    _settled(site, name, stream, step)


def update_platform(site: Site, *, name: str, platform: str) -> None:
    step = f"put {name} on another platform"

    def change() -> None:
        _begin(site, name, step, idle=False)
        beanstalk.update_platform(site.cloud, name=name, platform=platform)

    stream = stream_of(site, name)
    _call_when_ready(site, name, stream, change)
    found = _settled(site, name, stream, step)
    if not is_same_platform(found.platform, platform):
        raise DeployError(
            f"{name} is on {found.platform}, not on {platform}", remedy="run the same command again"
        )


def update_version(
    site: Site, *, name: str, version: str, tags: Mapping[str, str], idle: bool = False
) -> None:
    """idle: only while callers don't reach it."""
    step = f"put version {version} on {name}"
    stream = stream_of(site, name)

    def change() -> None:
        _begin(site, name, step, idle=idle)
        beanstalk.update_version(site.cloud, name=name, version=version)

    found = current(site, name)
    if idle:
        _must_be_idle(site, found, step)
    if found.version != version or not found.is_ready:
        _call_when_ready(site, name, stream, change)
        found = _settled(site, name, stream, step, version=version)
    own = {key: tags[key] for key in tags if not key.startswith(_RESERVED) and key != "Name"}
    _write_tags(site, found, stream, step, own)


def _write_tags(
    site: Site, environment: Environment, stream: Stream, step: str, tags: Mapping[str, str]
) -> None:
    """That is an update, too; where its answer was lost, what is there says whether it was made."""
    for attempt in range(_TRIES):
        if tags.items() <= reading.read_tags(site.cloud, environment.arn).items():
            return
        try:
            beanstalk.update_tags(site.cloud, arn=environment.arn, tags=tags)
        except DeployError as err:
            if not err.resumable or attempt + 1 == _TRIES:
                raise
        _settled(site, environment.name, stream, step)


def _call_when_ready(site: Site, name: str, stream: Stream, change: Callable[[], None]) -> None:
    """An environment that is still busy, with what we asked for before, is waited for once."""
    try:
        change()
    except DeployError as err:
        if "Must be Ready" not in err.said:
            raise
        settle(site.cloud, name, stream, site.tell_event, seconds=site.timeout + GRACE)
        change()


def abort(site: Site, *, name: str) -> None:
    stream = stream_of(site, name)
    if current(site, name).status == "Updating":
        beanstalk.abort(site.cloud, name=name)
    found, _ = settle(site.cloud, name, stream, site.tell_event, seconds=site.timeout + GRACE)
    if found is None or not found.is_ready:
        raise DeployError(
            f"{name} isn't Ready after the abort", remedy="`onnxport status` tells more"
        )
