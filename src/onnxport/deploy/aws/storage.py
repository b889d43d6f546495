"""The account's Beanstalk bucket, of which only what begins with `onnxport/` is ever written or deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxport.deploy.aws.session import Cloud, absent_is_fine, told
from onnxport.deploy.names import KEY_PREFIX
from onnxport.errors import DeployError


def put(cloud: Cloud, *, bucket: str, key: str, content: bytes, kind: str) -> None:
    with told(f"write s3://{bucket}/{_ours(key)}"):
        cloud.s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=content,
            ContentType=kind,
            ExpectedBucketOwner=cloud.account.id,
        )


def put_document(cloud: Cloud, *, bucket: str, key: str, document: Mapping[str, Any]) -> None:
    content = json.dumps(document, indent=2, sort_keys=True).encode()
    put(cloud, bucket=bucket, key=key, content=content, kind="application/json")


def delete(cloud: Cloud, *, bucket: str, key: str) -> None:
    with told(f"delete s3://{bucket}/{_ours(key)}"), absent_is_fine("NoSuchBucket", "NoSuchKey"):
        cloud.s3.delete_object(Bucket=bucket, Key=key, ExpectedBucketOwner=cloud.account.id)


def _ours(key: str) -> str:
    if not key.startswith(KEY_PREFIX):
        raise DeployError(
            f"the key {key!r} doesn't begin with {KEY_PREFIX}", remedy="report this as a bug"
        )
    return key
