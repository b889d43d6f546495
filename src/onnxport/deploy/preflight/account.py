"""Checks of the account, read only: P34, P40, P41, P46, P47, P51, P52, P54."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from onnxport.deploy.bundle import make_bundle
from onnxport.deploy.drift import drift, is_same_platform
from onnxport.deploy.names import KEY_PREFIX, PLATFORM_BRANCH, partition
from onnxport.deploy.observed import Account, Environment
from onnxport.deploy.preflight.facts import PlatformVersion, Quota, Whereabouts
from onnxport.deploy.preflight.finding import Said, failed, judged, ok, skipped, warning
from onnxport.deploy.preflight.subject import Subject, without_credentials
from onnxport.deploy.slots import Slots, find_slots, has_address, refuse_foreign
from onnxport.deploy.wanted import mark_of, repository_of, settings_of
from onnxport.errors import DeployError, SettingsError

_SKEW, _MUCH_SKEW = 60.0, 240.0  # seconds; beyond 5 minutes AWS refuses signatures
_RETIRED = ("Deprecated", "Retired")


def credentials_work(subject: Subject) -> Said:
    """P40"""
    from onnxport.deploy.aws.inspection import lacks_credentials, where_we_are

    cloud, region = subject.raw_cloud, subject.intent.region
    try:
        account = subject.once("account", lambda: cloud.account)
    except DeployError as err:
        if lacks_credentials(err):
            raise without_credentials() from err
        return failed(err.what, err.remedy or "log in to AWS")
    try:
        found = where_we_are(cloud)
    except DeployError as err:
        told = _account(account)
        return warning(f"{told}; region and clock weren't looked at: {err.what}", err.remedy)
    return place_verdict(account, region, found)


def _account(account: Account) -> str:
    return f"account {account.id} as {account.caller.rpartition(':')[2]}, {account.region}"


def place_verdict(account: Account, region: str, found: Whereabouts) -> Said:
    """Whether we are where the intent wants to be, at the right time."""
    told = _account(account)
    if account.region != region or account.partition != partition(region):
        return failed(
            f"{told} ({account.partition}), and the intent's region is {region}",
            "take credentials of that part of AWS, and the same region in onnxport.toml",
        )
    if not found.opted_in:
        return failed(
            f"{told}: the region is {found.status}", "enable it in the account's settings"
        )
    return clock_verdict(told, found.skew)


def clock_verdict(told: str, skew: float) -> Said:
    if abs(skew) > _MUCH_SKEW:
        return failed(
            f"{told}: AWS's clock is {skew:+.0f} s from this one", "set this machine's clock"
        )
    if abs(skew) > _SKEW:
        return warning(
            f"{told}: AWS's clock is {skew:+.0f} s from this one", "set this machine's clock"
        )
    return ok(told)


# ------------------------------------------------------------------------------------------------------------ quotas


def quotas_suffice(subject: Subject) -> Said:
    """P41"""
    from onnxport.deploy.aws.inspection import read_quotas

    quotas = read_quotas(subject.cloud)
    wanted = _wanted(subject)
    told = ", ".join(f"{one.used} of {one.most} {one.name}" for one in quotas if one.most)
    return judged(
        quota_faults(quotas, wanted),
        told,
        "delete what isn't needed, or ask for more in the console's Service Quotas",
    )


def _wanted(subject: Subject) -> dict[str, int]:
    """How many more of each a deployment makes at most: what is there already isn't made again."""
    label = _label(subject)
    environments = _new_environments(subject, label)
    return {
        "applications": 0 if subject.observed.application else 1,
        "environments": environments,
        "application versions": 0 if label else 1,
        "elastic IP addresses": 0 if subject.intent.is_balanced else environments,
    }


def _label(subject: Subject) -> str | None:
    """Of the version that is there of this very bundle; the end of its description tells."""
    if not subject.has_image:
        return None
    observed = subject.observed
    image = f"{repository_of(subject.intent, observed)}@{subject.built.digest}"
    mark = mark_of(make_bundle(subject.intent, image).sha256)
    for one in observed.versions:
        if one.description.endswith(mark) and one.status.lower() != "failed":
            return one.label
    return None


def _new_environments(subject: Subject, label: str | None) -> int:
    """At one time: where an idle one is there it is updated, or ends before another starts."""
    slots = _slots(subject)
    if slots.live is None:
        return 1
    is_enough = len(slots.all) > 1 or slots.live.status == "Launching"
    if is_enough or not _is_bluegreen(subject) or _is_as_wanted(subject, slots.live, label):
        return 0
    return 1


def _is_as_wanted(subject: Subject, live: Environment, label: str | None) -> bool:
    observed, keys = subject.observed, tuple[str, ...]()
    with suppress(SettingsError):
        keys = subject.key_lines
    settings = settings_of(subject.intent, subject.names, observed, keys)
    is_newest = is_same_platform(live.platform, observed.platform)
    return live.version == label and is_newest and not drift(settings, live.settings).is_any


def _is_bluegreen(subject: Subject) -> bool:
    return subject.intent.update.strategy == "bluegreen"


def quota_faults(quotas: Sequence[Quota], wanted: dict[str, int]) -> Iterator[str]:
    """What there would be too many of."""
    for one in quotas:
        if one.most is not None and wanted.get(one.name, 0) > max(one.most - one.used, 0):
            more = wanted.get(one.name, 0)
            needed = f"{more} more {'is' if more == 1 else 'are'} needed"
            yield f"{one.used} of {one.most} {one.name} are used, and {needed}"


# ---------------------------------------------------------------------------------------------------------- platform


def platform_current(subject: Subject) -> Said:
    """P34"""
    from onnxport.deploy.aws.inspection import read_platforms

    versions = read_platforms(subject.cloud)
    if not versions:
        return failed(f"{subject.intent.region} offers no {PLATFORM_BRANCH}", "take another region")
    said = platform_verdict(subject.observed.platform, versions)
    live = _slots(subject).live
    if said.outcome != "ok" or live is None or _is_bluegreen(subject):
        return said
    if _version_of(live.platform) < max(one.version for one in versions):
        return warning(
            f"{live.name} stays on {_tail(live.platform)} when it is updated in place",
            "deploy once with --strategy bluegreen to take the newest",
        )
    return said


def platform_verdict(chosen: str, versions: Sequence[PlatformVersion]) -> Said:
    """Of the one that a new environment gets."""
    newest = max(versions, key=lambda one: one.version)
    if newest.state in _RETIRED:
        return failed(f"{PLATFORM_BRANCH} is {newest.state}", "take a newer version of onnxport")
    if "ECS" in chosen or _version_of(chosen) < newest.version:
        return failed(
            f"{chosen} was chosen, and {_tail(newest.arn)} is the newest", "report this as a bug"
        )
    return ok(
        f"{PLATFORM_BRANCH} {_tail(newest.arn)}, the newest of {len(versions)}, {newest.state}"
    )


def _tail(platform: str) -> str:
    return ".".join(map(str, _version_of(platform)))


def _version_of(platform: str) -> tuple[int, ...]:
    """The number in an ARN or in a stack's name."""
    found = re.search(r"(?:/| v)(\d+(?:\.\d+)+)", platform)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


# ------------------------------------------------------------------------------------------- names, states, ownership


def _slots(subject: Subject) -> Slots:
    return find_slots(subject.names, subject.observed)


def address_free(subject: Subject) -> Said:
    """P46"""
    observed, slots = subject.observed, _slots(subject)
    addresses = [observed.live, observed.idle] if _is_bluegreen(subject) else [observed.live]
    ours = [*slots.all, *slots.ending]
    taken = [
        one.full
        for one in addresses
        if not one.is_free and not any(has_address(each, one) for each in ours)
    ]
    return judged(
        (f"{name} belongs to somebody else" for name in taken),
        f"{observed.live.full} is {'free' if observed.live.is_free else 'ours'}",
        "choose another with network.cname",
    )


def environments_ready(subject: Subject) -> Said:
    """P47"""
    slots = _slots(subject)
    busy = [one for one in slots.all if not one.is_ready]
    updating = [one for one in busy if one.status != "Launching"]
    if updating:
        return failed(
            ", ".join(f"{one.name} is {one.status}" for one in updating),
            "wait until it is Ready (`onnxport status`), or abort it with `onnxport rollback`",
        )
    waiting = [*busy, *slots.ending]
    if waiting:
        return warning(
            ", ".join(f"{one.name} is {one.status}" for one in waiting),
            "nothing needs to be done: the deployment waits for it",
        )
    names = ", ".join(f"{one.name} {one.status} {one.health}" for one in slots.all)
    return ok(names or "no environment yet")


def bucket_usable(subject: Subject) -> Said:
    """P51"""
    from onnxport.deploy.aws.inspection import bucket_region

    observed, region = subject.observed, subject.intent.region
    if not observed.has_bucket:
        return ok(f"{observed.bucket} isn't there yet; Elastic Beanstalk makes it")
    found = bucket_region(subject.cloud, observed.bucket)
    if found != region:
        return failed(
            f"{observed.bucket} is in {found}, and bundles must be in {region}",
            "empty and delete that bucket, and let Elastic Beanstalk make its own",
        )
    lost = [*_lost_bundles(subject)]
    if lost:
        return warning(
            f"the bundle of version {', '.join(lost[:3])} is gone from {observed.bucket}",
            "deploy again; machines that start now, and a rollback, would need it",
        )
    return ok(
        f"{observed.bucket} in {found}, {len(observed.bundles)} bundles of {subject.intent.app}"
    )


def _lost_bundles(subject: Subject) -> Iterator[str]:
    """Versions that environments of ours run, whose bundle isn't where it was."""
    observed = subject.observed
    for one in _slots(subject).all:
        version = observed.version(one.version)
        if version and version.key.startswith(KEY_PREFIX) and version.key not in observed.bundles:
            yield version.label


def settings_accepted(subject: Subject) -> Said:
    """P52"""
    from onnxport.deploy.aws.inspection import validate

    live = _slots(subject).live
    if live is None:
        return skipped("there is no environment yet to validate settings on", "")
    if fixed := _fixed(subject, live):
        return failed(
            f"{', '.join(fixed)} of {live.name} can't change while it lives",
            "deploy with --strategy bluegreen",
        )
    remarks = validate(subject.cloud, live.application, live.name, _listed(subject))
    told = [one.message for one in remarks if one.severity == "warning"]
    faults = [one.message for one in remarks if one.severity == "error"]
    if told and not faults:
        return warning("; ".join(told[:3]), "look at it before you say yes")
    return judged(
        faults, f"{live.name} would take all {len(subject.settings)}", "correct it in onnxport.toml"
    )


def _listed(subject: Subject) -> list[dict[str, str]]:
    return [
        {"Namespace": space, "OptionName": name, "Value": value}
        for (space, name), value in subject.settings.items()
    ]


def _fixed(subject: Subject, live: Environment) -> tuple[str, ...]:
    return () if _is_bluegreen(subject) else drift(_listed(subject), live.settings).fixed


def nothing_foreign(subject: Subject) -> Said:
    """P54"""
    observed = subject.observed
    try:
        refuse_foreign(subject.intent, subject.names, observed)
    except DeployError as err:
        return failed(err.what, err.remedy)
    there = [one for one in (observed.application, observed.repository) if one]
    names = [*(one.name for one in there), *(one.name for one in observed.environments)]
    return ok(f"{', '.join(names)}: ours" if names else "nothing of our names is there yet")
