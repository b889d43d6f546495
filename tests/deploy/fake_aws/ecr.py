"""moto's ECR with a real registry behind it: repositories lead there, and images are what was pushed there."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.ecr.models import ECRBackend, Image, Repository
from moto.ecr.responses import ECRResponse

from tests.deploy.fake_aws.grafting import put
from tests.deploy.fake_aws.images import Manifest, Registry

_HOURS = datetime.timedelta(hours=12)  # for which a token is good
_LOOKS = (
    *("describe_images", "list_images", "batch_get_image", "describe_image_scan_findings"),
    *("batch_delete_image", "delete_repository"),
)


def graft(registry: Registry) -> None:
    """From now on repositories are in this registry."""
    _lead(registry)
    for name in _LOOKS:
        put(ECRResponse, name, _after_a_look(registry, getattr(ECRResponse, name)))
    _delete(registry)

    def get_authorization_token(_: ECRResponse) -> ActionResult:
        entry = {
            "authorizationToken": registry.token,
            "expiresAt": datetime.datetime.now(datetime.UTC) + _HOURS,
            "proxyEndpoint": f"http://{registry.address}",
        }
        return ActionResult({"authorizationData": [entry]})

    put(ECRResponse, "get_authorization_token", get_authorization_token)


def _lead(registry: Registry) -> None:
    made = Repository.__init__

    def make(self: Repository, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self.uri = f"{registry.address}/{self.name}"

    put(Repository, "__init__", make)


def _after_a_look(
    registry: Registry, method: Callable[[ECRResponse], ActionResult]
) -> Callable[[ECRResponse], ActionResult]:
    def answer(response: ECRResponse) -> ActionResult:
        name = response._get_param("repositoryName")
        repository = response.ecr_backend.repositories.get(name)
        if repository is not None:
            asked = response._get_param("imageIds") or [response._get_param("imageId") or {}]
            _look(registry, repository, [one.get("imageDigest", "") for one in asked])
        return method(response)

    return answer


def _look(registry: Registry, repository: Repository, digests: Iterable[str]) -> None:
    """Takes over what was pushed. digests: those to look for beside all tags."""
    for name in [*registry.tags(repository.name), *filter(None, digests)]:
        manifest = registry.manifest(repository.name, name)
        if manifest is None:
            continue
        image = next(
            (one for one in repository.images if one.get_image_digest() == manifest.digest), None
        )
        if image is None:
            image = _image(repository, manifest)
            repository.images.append(image)
        if not name.startswith("sha256:") and name not in image.image_tags:
            image.update_tag(name)


def _image(repository: Repository, manifest: Manifest) -> Image:
    image = Image(
        repository.account_id,
        "",
        manifest.content.decode(),
        repository.name,
        image_manifest_mediatype=manifest.media_type,
        digest=manifest.digest,
        registry_id=repository.registry_id,
    )
    image.image_tags = []
    return image


def _delete(registry: Registry) -> None:
    """What is deleted here is deleted there."""

    def with_registry(method: Callable[..., Any]) -> Callable[..., Any]:
        def delete(backend: ECRBackend, repository_name: str, *args: Any, **kwargs: Any) -> Any:
            before = _digests(backend, repository_name)
            answer = method(backend, repository_name, *args, **kwargs)
            for digest in before - _digests(backend, repository_name):
                registry.remove(repository_name, digest)
            return answer

        return delete

    for name in ("batch_delete_image", "delete_repository"):
        put(ECRBackend, name, with_registry(getattr(ECRBackend, name)))


def _digests(backend: ECRBackend, repository: str) -> set[str]:
    found = backend.repositories.get(repository)
    return {one.get_image_digest() for one in found.images} if found is not None else set()
