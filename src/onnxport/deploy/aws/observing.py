"""One look at all that a plan is made from."""

from __future__ import annotations

from dataclasses import replace

from onnxport.deploy.aws import reading
from onnxport.deploy.aws.repository import registry_of
from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import (
    DEFAULT_SERVICE_ROLE,
    KEY_PREFIX,
    SLOTS,
    Names,
    bucket_name,
    names_of,
)
from onnxport.deploy.observed import Environment, Observed, Profile, Role


def observe(cloud: Cloud, intent: Intent, *, digest: str = "", tagged: bool = False) -> Observed:
    """The account as it is. digest: of the image that is looked for. tagged: read the versions' tags too."""
    account = cloud.account
    names = names_of(intent, account.id)
    bucket = bucket_name(account.region, account.id)
    has_bucket = reading.has_bucket(cloud, bucket)
    in_ecr = not intent.image.repository
    application = reading.read_application(cloud, names.application)
    versions_at = f"{KEY_PREFIX}{names.application}/"
    return Observed(
        account=account,
        live=reading.read_address(cloud, names.live_cname),
        idle=reading.read_address(cloud, names.idle_cname),
        application=application,
        environments=tuple(_environments(cloud, names)),
        versions=tuple(reading.read_versions(cloud, names.application, tagged=tagged)),
        bucket=bucket,
        has_bucket=has_bucket,
        bundles=tuple(reading.read_objects(cloud, bucket, versions_at)) if has_bucket else (),
        registry=registry_of(cloud)[0] if in_ecr else "",
        repository=reading.read_repository(cloud, names.repository, digest) if in_ecr else None,
        roles=_roles(cloud, names, application.service_role if application else ""),
        profiles=_profiles(cloud, names),
        platform=reading.read_platform(cloud),
        record=(reading.read_document(cloud, bucket, names.record_key) or {}) if has_bucket else {},
    )


def _environments(cloud: Cloud, names: Names) -> list[Environment]:
    """With the settings of the two slots."""
    slots = [names.environment(slot) for slot in SLOTS]
    found = reading.read_environments(cloud, names.application, slots)
    return [
        replace(each, settings=reading.read_settings(cloud, each))
        if _is_asked(each, slots)
        else each
        for each in found
    ]


def _is_asked(environment: Environment, slots: list[str]) -> bool:
    return environment.name in slots and environment.status != "Terminating"


def _roles(cloud: Cloud, names: Names, of_application: str) -> dict[str, Role]:
    wanted = (names.service_role, names.instance_profile, DEFAULT_SERVICE_ROLE, of_application)
    roles = {name: reading.read_role(cloud, name) for name in dict.fromkeys(wanted) if name}
    return {name: role for name, role in roles.items() if role}


def _profiles(cloud: Cloud, names: Names) -> dict[str, Profile]:
    profile = reading.read_profile(cloud, names.instance_profile)
    return {profile.name: profile} if profile else {}
