"""Actions on environments: asked for, waited for, verified, swapped. Whether AWS has done it is looked at each time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxport.deploy import golden
from onnxport.deploy.aws import beanstalk, reading
from onnxport.deploy.aws.events import (
    Stream,
    failures,
    read_health,
    settle,
    wait_for_health,
)
from onnxport.deploy.aws.logging import fetch_tail
from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.diagnosis import diagnose, remedy_for
from onnxport.deploy.drift import is_same_platform
from onnxport.deploy.images import Prepared
from onnxport.deploy.names import Names
from onnxport.deploy.observed import Address, Environment, Event
from onnxport.deploy.slots import has_address
from onnxport.deploy.tags import APP, is_ours
from onnxport.errors import DeployError

_TRIES = 5
_TERMINATION_SECONDS = 1800.0
_GRACE = 300.0  # AWS gives an update 240 s beyond the timeout; its verdict says more than ours
_READY_SECONDS = 180.0  # until a new address is known everywhere
_ILL_EVERY = 5.0
_UNCERTAIN_SECONDS = 5.0  # until AWS shows what a call has begun whose answer was lost
_RESERVED = ("aws:", "elasticbeanstalk:")  # tags that AWS gives, and takes from nobody
_EVIDENCE_SECONDS = 20.0  # a machine that is well answers sooner

Settings = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Site:
    """Where steps are run. model: the model file, where it is here. api_key: for golden requests.

    prepared: the built image, bundle: the source bundle's bytes, both where a plan pushes and uploads.
    """

    cloud: Cloud
    names: Names
    live: Address
    timeout: float
    say: Callable[[str], None]
    tell_event: Callable[[Event], None]
    model: Path | None = None
    api_key: str | None = None
    prepared: Prepared | None = None
    bundle: bytes = b""


def _stream(site: Site, name: str) -> Stream:
    return Stream(site.cloud, site.names.application, name)


def create_environment(site: Site, *, name: str, version: str, **arguments: Any) -> None:
    step = f"create environment {name}"
    stream = _stream(site, name)
    try:
        beanstalk.create_environment(site.cloud, name=name, version=version, **arguments)
    except DeployError as err:
        if "already exists" not in err.said or not _is_as_asked(site, name, version):
            raise  # somebody else's, or of another run that goes on: nothing of it is taken back
    _settled(site, name, stream, step, version=version)


def _is_as_asked(site: Site, name: str, version: str) -> bool:
    """Whether an environment is what we asked for, and only the answer was lost."""
    found = reading.read_environment(site.cloud, name)
    return found is not None and found.version == version and _is_ours(site, found)


def _is_ours(site: Site, environment: Environment) -> bool:
    tags = reading.read_tags(site.cloud, environment.arn)
    return is_ours(tags) and tags.get(APP) == site.names.application


def _settled(
    site: Site, name: str, stream: Stream, step: str, *, version: str | None = None
) -> Environment:
    """Waits until it is Ready, with the version if one is given. Raises DeployError with what AWS says went wrong."""
    found, heard = settle(site.cloud, name, stream, site.tell_event, seconds=site.timeout + _GRACE)
    bad = failures(heard)
    if found is None:
        bad = bad or [f"{name} is gone"]
    elif version and found.version != version:
        bad = bad or [f"{name} has version {found.version}, not {version}"]
    if bad or found is None:
        raise _failed(step, bad, _evidence(site, found, heard) if found else [])
    return found


def _failed(step: str, bad: list[str], evidence: Sequence[str] = ()) -> DeployError:
    """The last word is what failed, the first why. evidence: what else was heard and found."""
    causes = [text for text in (*bad, *evidence) if text != bad[-1]]
    what, why = bad[-1].rstrip("."), causes[0].rstrip(".") if causes else ""
    told = f"{what}, because: {why}" if why else what
    remedy = remedy_for("\n".join([*bad, *evidence]))
    return DeployError(told, step=step, said=why or what, remedy=remedy)


def _evidence(site: Site, environment: Environment, heard: Sequence[Event]) -> list[str]:
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


def await_ready(site: Site, *, name: str) -> None:
    found = _settled(site, name, _stream(site, name), f"wait for {name}")
    if not found.is_ready:
        raise DeployError(f"{name} is {found.status}", remedy="`onnxport status` tells more")


def await_gone(site: Site, *, name: str) -> None:
    _gone(site, name, _stream(site, name))


def _gone(site: Site, name: str, stream: Stream) -> None:
    found, heard = settle(site.cloud, name, stream, site.tell_event, seconds=_TERMINATION_SECONDS)
    bad = failures(heard)
    if found is not None or bad:
        state = f"it is {found.status}" if found else "something is left"
        raise _failed(f"terminate environment {name}", bad or [state])


def terminate(site: Site, *, name: str, idle: bool = False, version: str | None = None) -> None:
    """idle: only while callers don't reach it. version: only as long as it has that one."""
    found = reading.read_environment(site.cloud, name)
    if found is None:
        return
    if found.status != "Terminating":
        if not _is_ours(site, found):
            site.say(f"environment {name} hasn't our tags, and stays")
            return
        if version is not None and found.version != version:
            site.say(f"environment {name} has version {found.version} by now, and stays")
            return
        if idle:
            _must_be_idle(site, found, f"terminate environment {name}")

    def end() -> None:
        """Unless it ends already: a call whose answer was lost is taken for one that is to be made again."""
        now = reading.read_environment(site.cloud, name)
        if now is not None and now.status != "Terminating":
            beanstalk.terminate(site.cloud, name=name)

    stream = _stream(site, name)
    _call_when_ready(site, name, stream, end)
    _gone(site, name, stream)


def _must_be_idle(site: Site, environment: Environment, step: str) -> None:
    """Raises DeployError where callers reach it: when the plan was made, they didn't."""
    if has_address(environment, site.live):
        raise DeployError(
            f"{environment.name} has the address {site.live.full} by now; another run has changed that",
            step=step,
            remedy="wait until that run has ended, then run the same command again",
            resumable=True,
        )


def update_settings(
    site: Site, *, name: str, settings: Settings, remove: Settings, idle: bool = False
) -> None:
    """idle: only while callers don't reach it."""
    if idle:
        _must_be_idle(site, _current(site, name), f"change settings of {name}")

    def change() -> None:
        beanstalk.update_settings(site.cloud, name=name, settings=settings, remove=remove)

    stream = _stream(site, name)
    _call_when_ready(site, name, stream, change)
    _settled(site, name, stream, f"change settings of {name}")


def update_platform(site: Site, *, name: str, platform: str) -> None:
    def change() -> None:
        beanstalk.update_platform(site.cloud, name=name, platform=platform)

    stream = _stream(site, name)
    _call_when_ready(site, name, stream, change)
    found = _settled(site, name, stream, f"put {name} on another platform")
    if not is_same_platform(found.platform, platform):
        raise DeployError(
            f"{name} is on {found.platform}, not on {platform}", remedy="run the same command again"
        )


def update_version(
    site: Site, *, name: str, version: str, tags: Mapping[str, str], idle: bool = False
) -> None:
    """idle: only while callers don't reach it."""
    step = f"put version {version} on {name}"
    stream = _stream(site, name)
    found = _current(site, name)
    if idle:
        _must_be_idle(site, found, step)
    if found.version != version or not found.is_ready:
        _call_when_ready(
            site,
            name,
            stream,
            lambda: beanstalk.update_version(site.cloud, name=name, version=version),
        )
        found = _settled(site, name, stream, step, version=version)
    own = {key: tags[key] for key in tags if not key.startswith(_RESERVED) and key != "Name"}
    if not own.items() <= reading.read_tags(site.cloud, found.arn).items():
        beanstalk.update_tags(site.cloud, arn=found.arn, tags=own)
        _settled(site, name, stream, step, version=version)


def _call_when_ready(site: Site, name: str, stream: Stream, change: Callable[[], None]) -> None:
    """An environment that is still busy, with what we asked for before, is waited for once."""
    try:
        change()
    except DeployError as err:
        if "Must be Ready" not in err.said:
            raise
        settle(site.cloud, name, stream, site.tell_event, seconds=site.timeout + _GRACE)
        change()


def _current(site: Site, name: str) -> Environment:
    found = reading.read_environment(site.cloud, name)
    if found is None:
        raise DeployError(
            f"environment {name} is gone", remedy="run `onnxport deploy` to make it again"
        )
    return found


def abort(site: Site, *, name: str) -> None:
    stream = _stream(site, name)
    if _current(site, name).status == "Updating":
        beanstalk.abort(site.cloud, name=name)
    found, _ = settle(site.cloud, name, stream, site.tell_event, seconds=site.timeout + _GRACE)
    if found is None or not found.is_ready:
        raise DeployError(
            f"{name} isn't Ready after the abort", remedy="`onnxport status` tells more"
        )


# --------------------------------------------------------------------------------------------- golden requests, swap


def url_of(environment: Environment) -> str:
    """Where an environment answers by itself. Its name may come from a swap, and resolvers may still know the other's;
    its endpoint, a load balancer or a machine's address, stays.
    """
    return f"http://{environment.endpoint or environment.cname}"


def verify(site: Site, *, name: str, latency_ms: float, model_digest: str) -> None:
    step = f"verify {name}"
    stream = _stream(site, name)
    verdict = wait_for_health(site.cloud, name, stream, site.tell_event, seconds=site.timeout)
    if not verdict.is_well:
        report = verdict.report
        causes = "; ".join(report.causes) or "no cause is told"
        evidence = _evidence(site, _current(site, name), [])
        raise DeployError(
            f"health is {report.color} ({report.status}): {causes.rstrip('.')}",
            step=step,
            said=causes,
            remedy=remedy_for("\n".join([causes, *evidence])),
        )
    url = url_of(_current(site, name))
    if site.model is not None and golden.is_model(site.model, model_digest):
        found = golden.judge(
            url, site.model, site.api_key, latency_ms=latency_ms, seconds=_READY_SECONDS
        )
    else:
        found = golden.judge_other(url, model_digest, site.api_key, seconds=_READY_SECONDS)
    if found.fault:
        raise DeployError(found.fault, step=step, remedy=remedy_for(found.fault))
    site.say(f"{url}: {found}")


def point(site: Site, *, name: str, former: str, version: str | None) -> None:
    """The live address comes to `name`, if it has that version. Looked at after each try, for a swap that is done twice
    is none.
    """
    step = f"swap {name} and {former}"
    streams = {each: _stream(site, each) for each in (name, former)}
    complaint: DeployError | None = None
    for _ in range(_TRIES):
        for each, stream in streams.items():
            settle(site.cloud, each, stream, site.tell_event, seconds=site.timeout + _GRACE)
        found = _current(site, name)
        if has_address(found, site.live):
            return
        if not has_address(_current(site, former), site.live):
            raise DeployError(
                f"neither {name} nor {former} has the address {site.live.full}",
                step=step,
                remedy="run the same command again, it looks anew",
                resumable=True,
            )
        if version is not None and found.version != version:
            raise DeployError(
                f"{name} has version {found.version} by now, and {version} was verified; another run has changed it",
                step=step,
                remedy="wait until that run has ended, then run the same command again",
                resumable=True,
            )
        try:
            beanstalk.swap(site.cloud, source=name, destination=former)
        except DeployError as err:
            if not err.resumable:
                raise
            complaint = err
            site.say(f"no answer to the swap that counts ({err.said or err}); looking again")
            time.sleep(_UNCERTAIN_SECONDS)
    if not has_address(_settle_and_read(site, name, streams[name]), site.live):
        raise complaint or DeployError(
            f"{site.live.full} still leads to {former}",
            step=step,
            remedy="run the same command again",
        )


def _settle_and_read(site: Site, name: str, stream: Stream) -> Environment:
    settle(site.cloud, name, stream, site.tell_event, seconds=site.timeout + _GRACE)
    return _current(site, name)


def watch(site: Site, *, name: str, seconds: int, model_digest: str) -> None:
    known = site.model is not None and golden.is_model(site.model, model_digest)
    fault = golden.watch(
        url_of(_current(site, name)),
        site.model if known else None,
        model_digest,
        site.api_key,
        seconds=seconds,
        ill=_Complaints(site, name),
    )
    if fault:
        raise DeployError(fault, step=f"watch {name}", said=fault, remedy=remedy_for(fault))


class _Complaints:
    """What Beanstalk says is wrong, asked now and then."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name
        self._stream = _stream(site, name)
        self._asked = 0.0

    def __call__(self) -> str:
        if time.monotonic() - self._asked < _ILL_EVERY:
            return ""
        self._asked = time.monotonic()
        for event in self._stream.news():
            self._site.tell_event(event)
        report = read_health(self._site.cloud, self._name)
        if report.color != "Red":
            return ""
        causes = "; ".join(report.causes) or report.status
        return f"health is Red: {causes}"
