"""The image repository in ECR, and who we are at its registry."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from onnxport.deploy.aws.beanstalk import tag_list
from onnxport.deploy.aws.session import Cloud, absent_is_fine, told
from onnxport.errors import DeployError

_GONE = "RepositoryNotFoundException"
_UNTAGGED_DAYS = 14


def create_repository(cloud: Cloud, *, name: str, tags: Mapping[str, str]) -> None:
    """Tags that never move, a scan at each push, and images without a tag removed after a while."""
    with told(f"create repository {name}"):
        with absent_is_fine("RepositoryAlreadyExistsException"):
            cloud.ecr.create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
                tags=tag_list(tags),
            )
        cloud.ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=_lifecycle())


def _lifecycle() -> str:
    """Images that have a tag stay: a version may go back to any of them."""
    selection = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": _UNTAGGED_DAYS,
    }
    rule = {
        "rulePriority": 1,
        "description": "remove what no version names",
        "selection": selection,
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]})


def delete_repository(cloud: Cloud, *, name: str, force: bool) -> None:
    """force: with all images in it; else one that holds any stays as it is."""
    fine = (_GONE,) if force else (_GONE, "RepositoryNotEmptyException")
    with told(f"delete repository {name}"), absent_is_fine(*fine):
        cloud.ecr.delete_repository(repositoryName=name, force=force)


def delete_image(cloud: Cloud, *, name: str, digest: str) -> None:
    with told(f"delete image {digest[:19]} of {name}"), absent_is_fine(_GONE):
        cloud.ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageDigest": digest}])


def registry_of(cloud: Cloud) -> tuple[str, str, str]:
    """The registry's host, and a user and a password for it, good for some hours."""
    with told("ask ECR for a token"):
        data = cloud.ecr.get_authorization_token()["authorizationData"]
    if not data:
        raise DeployError("ECR gave no token", remedy="run the same command again", resumable=True)
    user, _, password = base64.b64decode(data[0]["authorizationToken"]).decode().partition(":")
    host = data[0]["proxyEndpoint"].partition("://")[2].rstrip("/")
    return host, user, password
