"""Which environment callers reach: verified before, swapped, and watched afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping

from onnxport.deploy import golden
from onnxport.deploy.aws import beanstalk
from onnxport.deploy.aws.events import (
    GRACE,
    Stream,
    pauses,
    read_health,
    settle,
    wait_for_health,
)
from onnxport.deploy.aws.session import is_refusal
from onnxport.deploy.diagnosis import remedy_for
from onnxport.deploy.environments import evidence_of
from onnxport.deploy.observed import Environment
from onnxport.deploy.site import Site, changed, current, stream_of
from onnxport.deploy.slots import has_address
from onnxport.errors import DeployError

_TRIES = 5
_READY_SECONDS = 180.0  # until a new address is known everywhere
_ILL_EVERY = 5.0
_UNCERTAIN_SECONDS = 5.0  # before a swap that AWS refused is asked for again
_LOST_SECONDS = 30.0  # until a swap shows whose answer was lost
_SHOWN_SECONDS = 180.0  # until one shows that AWS took
_PATIENCE = 60.0  # for health that can't be read in a watch


def url_of(environment: Environment) -> str:
    """Where an environment answers by itself. Its name may come from a swap, and resolvers may still know the other's;
    its endpoint, a load balancer or a machine's address, stays.
    """
    return f"http://{environment.endpoint or environment.cname}"


def verify(site: Site, *, name: str, latency_ms: float, model_digest: str) -> None:
    step = f"verify {name}"
    stream = stream_of(site, name)
    verdict = wait_for_health(site.cloud, name, stream, site.tell_event, seconds=site.timeout)
    if not verdict.is_well:
        report = verdict.report
        causes = "; ".join(report.causes) or "no cause is told"
        evidence = evidence_of(site, current(site, name), [])
        raise DeployError(
            f"health is {report.color} ({report.status}): {causes.rstrip('.')}",
            step=step,
            said=causes,
            remedy=remedy_for("\n".join([causes, *evidence])),
        )
    url = url_of(current(site, name))
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
    """The live address comes to `name`, if it has that version. A swap that is done twice is none: it is sent again
    only where AWS has refused it, or where nothing shows after its answer was lost.
    """
    step = f"swap {name} and {former}"
    streams = {each: stream_of(site, each) for each in (name, former)}
    complaint: DeployError | None = None
    for _ in range(_TRIES):
        _settle_all(site, streams)
        found = current(site, name)
        if has_address(found, site.live):
            return
        holder = current(site, former)
        if not has_address(holder, site.live):
            raise changed(f"neither {name} nor {former} has the address {site.live.full}", step)
        if version is not None and found.version != version:
            raise changed(
                f"{name} has version {found.version} by now, and {version} was verified", step
            )
        site.notes.note_change(name, found.id)
        site.notes.note_change(former, holder.id)
        complaint, seconds = _swap(site, name, former)
        if _has_come(site, name, streams, seconds=seconds):
            return
        if complaint is None:
            raise DeployError(
                f"{site.live.full} still leads to {former}, {seconds:.0f} s after AWS took the swap",
                step=step,
                remedy="look with `onnxport status`, then run the same command again",
                resumable=True,
            )
    assert complaint is not None
    raise complaint


def _swap(site: Site, name: str, former: str) -> tuple[DeployError | None, float]:
    """Asks once. Gives what came instead of a yes, and for how many seconds its effect may be awaited."""
    try:
        beanstalk.swap(site.cloud, source=name, destination=former)
    except DeployError as err:
        if not err.resumable:
            raise
        site.say(f"no yes to the swap ({err.said or err}); looking again")
        return err, _UNCERTAIN_SECONDS if is_refusal(err) else _LOST_SECONDS
    return None, _SHOWN_SECONDS


def _has_come(site: Site, name: str, streams: Mapping[str, Stream], *, seconds: float) -> bool:
    """Whether the live address comes to an environment: what AWS tells may lag behind what it does."""
    deadline = time.monotonic() + seconds
    for pause in pauses():
        if has_address(current(site, name), site.live):
            break
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        _settle_all(site, streams)
    _settle_all(site, streams)
    return True


def _settle_all(site: Site, streams: Mapping[str, Stream]) -> None:
    for each, stream in streams.items():
        settle(site.cloud, each, stream, site.tell_event, seconds=site.timeout + GRACE)


def watch(site: Site, *, name: str, seconds: int, model_digest: str) -> None:
    known = site.model is not None and golden.is_model(site.model, model_digest)
    fault = golden.watch(
        url_of(current(site, name)),
        site.model if known else None,
        model_digest,
        site.api_key,
        seconds=seconds,
        ill=_Complaints(site, name),
    )
    if fault:
        raise DeployError(fault, step=f"watch {name}", said=fault, remedy=remedy_for(fault))


class _Complaints:
    """What Beanstalk says is wrong, asked now and then. Raises DeployError where it can't be asked for a minute."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name
        self._stream = stream_of(site, name)
        self._asked = 0.0
        self._heard = time.monotonic()

    def __call__(self) -> str:
        now = time.monotonic()
        if now - self._asked < _ILL_EVERY:
            return ""
        self._asked = now
        try:
            found = self._look()
        except DeployError as err:
            if not err.resumable or now - self._heard > _PATIENCE:
                raise
            return ""
        self._heard = now
        return found

    def _look(self) -> str:
        for event in self._stream.news():
            self._site.tell_event(event)
        report = read_health(self._site.cloud, self._name)
        if report.color != "Red":
            return ""
        causes = "; ".join(report.causes) or report.status
        return f"health is Red: {causes}"
