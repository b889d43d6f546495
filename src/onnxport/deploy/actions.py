"""The table of actions: what each step of a plan does. Each may be done twice, so that a broken-off run can be gone on
with, and looks for itself whether AWS has done what it was told.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from onnxport.deploy import environments
from onnxport.deploy.aws import beanstalk, reading, repository, roles, storage
from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.environments import Site
from onnxport.deploy.images import push
from onnxport.deploy.tags import is_ours
from onnxport.errors import DeployError
from onnxport.image.credentials import Credentials

_VERSION_SECONDS = 300.0
_FINISHED, _FAILED = ("processed", "unprocessed"), "failed"


def actions_at(site: Site) -> dict[str, Callable[..., None]]:
    """The table, for one place."""
    here = functools.partial
    cloud = site.cloud
    return {
        "create_role": here(roles.create_role, cloud),
        "delete_role": here(roles.delete_role, cloud),
        "create_profile": here(roles.create_profile, cloud),
        "delete_profile": here(roles.delete_profile, cloud),
        "create_application": here(_create_application, cloud),
        "delete_application": here(beanstalk.delete_application, cloud),
        "create_repository": here(repository.create_repository, cloud),
        "delete_repository": here(repository.delete_repository, cloud),
        "delete_image": here(repository.delete_image, cloud),
        "push_image": here(_push_image, site),
        "create_bucket": here(_create_bucket, cloud),
        "upload_bundle": here(_upload_bundle, site),
        "delete_object": here(storage.delete, cloud),
        "create_version": here(_create_version, site),
        "delete_version": here(beanstalk.delete_version, cloud),
        "create_environment": here(environments.create_environment, site),
        "await_ready": here(environments.await_ready, site),
        "await_gone": here(environments.await_gone, site),
        "update_settings": here(environments.update_settings, site),
        "update_version": here(environments.update_version, site),
        "verify": here(environments.verify, site),
        "point": here(environments.point, site),
        "watch": here(environments.watch, site),
        "terminate": here(environments.terminate, site),
        "abort": here(environments.abort, site),
        "write_record": here(_write_record, cloud),
        "delete_log_group": here(_delete_log_group, cloud),
    }


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
