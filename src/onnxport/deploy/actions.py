"""The table of actions: what each step of a plan does. Each may be done twice, so that a broken-off run can be gone on
with, and looks for itself whether AWS has done what it was told.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from onnxport.deploy import environments, traffic
from onnxport.deploy.aws import beanstalk, reading, repository, roles, storage
from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.images import push
from onnxport.deploy.observed import Repository, Tags
from onnxport.deploy.site import Site, are_ours
from onnxport.deploy.slots import foreign
from onnxport.deploy.tags import IMAGE, is_ours
from onnxport.errors import DeployError
from onnxport.image.credentials import Credentials

_VERSION_SECONDS = 300.0
_FINISHED, _FAILED = ("processed", "unprocessed"), "failed"


def actions_at(site: Site) -> dict[str, Callable[..., None]]:
    """The table, for one place."""
    here = functools.partial
    cloud = site.cloud
    role = here(_make_ours, site, "role", reading.read_role)
    profile = here(_make_ours, site, "instance profile", reading.read_profile)
    ours = here(_delete_ours, site)
    return {
        "create_role": here(role, roles.create_role),
        "delete_role": here(_delete_role, site),
        "create_profile": here(profile, roles.create_profile),
        "delete_profile": here(ours, reading.read_profile, roles.delete_profile),
        "create_application": here(_create_application, cloud),
        "delete_application": here(_delete_application, site),
        "create_repository": here(
            _make_ours, site, "repository", _read_repository, repository.create_repository
        ),
        "delete_repository": here(ours, _read_repository, repository.delete_repository),
        "delete_image": here(_delete_image, site),
        "check_image": here(_check_image, cloud),
        "push_image": here(_push_image, site),
        "create_bucket": here(_create_bucket, cloud),
        "upload_bundle": here(_upload_bundle, site),
        "delete_object": here(_delete_object, site),
        "create_version": here(_create_version, site),
        "delete_version": here(_delete_version, site),
        "create_environment": here(environments.create_environment, site),
        "await_ready": here(environments.await_ready, site),
        "await_gone": here(environments.await_gone, site),
        "update_settings": here(environments.update_settings, site),
        "update_platform": here(environments.update_platform, site),
        "update_version": here(environments.update_version, site),
        "verify": here(traffic.verify, site),
        "point": here(traffic.point, site),
        "watch": here(traffic.watch, site),
        "terminate": here(environments.terminate, site),
        "abort": here(environments.abort, site),
        "write_record": here(_write_record, cloud),
        "delete_log_group": here(_delete_log_group, cloud),
    }


# ------------------------------------------------------------------------------------------------------ whose it is


class _Tagged(Protocol):
    @property
    def tags(self) -> Tags: ...


_Read = Callable[[Cloud, str], _Tagged | None]


def _make_ours(
    site: Site, kind: str, read: _Read, make: Callable[..., None], *, name: str, **arguments: Any
) -> None:
    """Makes or completes it. Raises DeployError where somebody else has made one since the plan was made."""
    found = read(site.cloud, name)
    if found is not None and not are_ours(site, found.tags):
        raise foreign(kind, name, "app or environment")
    make(site.cloud, name=name, **arguments)


def _delete_ours(
    site: Site, read: _Read, delete: Callable[..., None], *, name: str, **how: Any
) -> None:
    """Removes it, unless its tags now say that it is somebody else's."""
    found = read(site.cloud, name)
    if found is not None and not are_ours(site, found.tags):
        site.say(f"{name} hasn't our tags, and stays")
        return
    delete(site.cloud, name=name, **how)


def _delete_role(site: Site, *, name: str) -> None:
    """But for the one by which an application that stays deletes its old versions."""
    application = reading.read_application(site.cloud, site.names.application)
    if application is not None and application.service_role == name:
        site.say(f"role {name} stays with application {application.name}, which uses it")
        return
    _delete_ours(site, reading.read_role, roles.delete_role, name=name)


def _delete_application(site: Site, *, name: str) -> None:
    """Unless somebody has made an environment in it meanwhile."""
    others = reading.read_environments(site.cloud, name, [])
    if others:
        site.say(f"application {name} has environment {others[0].name} by now, and stays")
        return
    _delete_ours(site, reading.read_application, beanstalk.delete_application, name=name)


def _delete_version(site: Site, *, application: str, label: str) -> None:
    """Unless an environment of another run has it."""
    for each in reading.read_environments(site.cloud, application, []):
        if each.version == label and each.status != "Terminating":
            site.say(f"version {label} stays, environment {each.name} runs it")
            return
    beanstalk.delete_version(site.cloud, application=application, label=label)


def _delete_object(site: Site, *, bucket: str, key: str) -> None:
    """Unless it is the bundle of a version that stays."""
    for version in reading.read_versions(site.cloud, site.names.application):
        if version.bucket == bucket and version.key == key:
            site.say(f"s3://{bucket}/{key} stays, it is the bundle of version {version.label}")
            return
    storage.delete(site.cloud, bucket=bucket, key=key)


def _delete_image(site: Site, *, name: str, digest: str) -> None:
    """Unless a version of another run names it."""
    for version in reading.read_versions(site.cloud, site.names.application, tagged=True):
        if version.tags.get(IMAGE) == digest:
            site.say(f"image {digest[:19]} stays, version {version.label} runs it")
            return
    repository.delete_image(site.cloud, name=name, digest=digest)


def _check_image(cloud: Cloud, *, repository: str, digest: str, version: str) -> None:
    found = reading.read_repository(cloud, repository, digest)
    if found is None or digest not in found.digests:
        raise DeployError(
            f"image {digest[:19]} is gone from {repository}, so version {version} can't run",
            remedy="take another version with --to, or deploy its model file again",
        )


def _read_repository(cloud: Cloud, name: str) -> Repository | None:
    return reading.read_repository(cloud, name, "")


# ---------------------------------------------------------------------------------------- application, image, bundle


def _create_application(cloud: Cloud, *, name: str, **arguments: Any) -> None:
    try:
        beanstalk.create_application(cloud, name=name, **arguments)
    except DeployError as err:
        if "already exists" not in err.said:
            raise
        found = reading.read_application(cloud, name)  # an answer was lost on its way
        if found is None or not is_ours(found.tags):
            raise


def _push_image(site: Site, *, repository: str, digest: str, in_ecr: bool) -> None:
    if site.prepared is None:
        raise DeployError(
            "the image isn't here", remedy="run `onnxport deploy` with the model file"
        )
    credentials = None
    if in_ecr:
        _, user, password = _registry(site.cloud)
        credentials = Credentials(user, password, source="ECR")
    pushed = push(site.prepared, repository, credentials, site.say)
    if pushed != digest:
        raise DeployError(f"{repository} holds {pushed}, not {digest}", remedy="build it again")


def _registry(cloud: Cloud) -> tuple[str, str, str]:
    return repository.registry_of(cloud)


def _create_bucket(cloud: Cloud, *, bucket: str) -> None:
    found = beanstalk.create_storage(cloud)
    if found != bucket:
        raise DeployError(
            f"Elastic Beanstalk's bucket is {found}, and {bucket} was expected",
            remedy="report this as a bug",
        )


def _upload_bundle(site: Site, *, bucket: str, key: str, sha256: str) -> None:
    if hashlib.sha256(site.bundle).hexdigest() != sha256:
        raise DeployError("the bundle has changed since the plan was made", remedy="plan again")
    storage.put(site.cloud, bucket=bucket, key=key, content=site.bundle, kind="application/zip")


def _create_version(site: Site, *, application: str, label: str, **arguments: Any) -> None:
    cloud = site.cloud
    try:
        beanstalk.create_version(cloud, application=application, label=label, **arguments)
    except DeployError as err:
        if "already exists" not in err.said:
            raise
    deadline = time.monotonic() + _VERSION_SECONDS
    while True:
        found = [v for v in reading.read_versions(cloud, application) if v.label == label]
        status = found[0].status.lower() if found else "missing"
        if status in _FINISHED:
            return
        if status == _FAILED:
            raise DeployError(
                f"Elastic Beanstalk can't process version {label}",
                step=f"create version {label}",
                remedy="look at the application's events in the console, then run the same command again",
            )
        if time.monotonic() > deadline:
            raise DeployError(
                f"version {label} is still {status} after {_VERSION_SECONDS:.0f} s",
                remedy="run the same command again to wait on",
                resumable=True,
            )
        time.sleep(1)


def _write_record(cloud: Cloud, *, bucket: str, key: str, record: Mapping[str, Any]) -> None:
    storage.put_document(cloud, bucket=bucket, key=key, document=record)


def _delete_log_group(cloud: Cloud, *, name: str) -> None:
    from onnxport.deploy.aws.logging import delete_group

    delete_group(cloud, name)
