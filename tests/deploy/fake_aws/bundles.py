"""Source bundles, read as the Docker platform reads them."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

from moto.s3.models import s3_backends

_ROOTS = ("Dockerrun.aws.json", "Dockerfile", "docker-compose.yml")
_SNIPPETS = ".platform/nginx/conf.d/"
_MAX_BYTES = 500 * 1024 * 1024


class BundleFault(Exception):
    """The bundle can't be deployed; the text is what the instance tells."""


@dataclass(frozen=True)
class Bundle:
    """image: its name, or "" where a Dockerfile builds one. snippets: files for nginx by name."""

    image: str
    port: int
    snippets: dict[str, str]


def stored(account: str, bucket: str, key: str) -> bytes | None:
    """The object's bytes, or None where there is none."""
    buckets = s3_backends[account]["aws"].buckets
    found = buckets[bucket].keys.get(key) if bucket in buckets else None
    return None if found is None else bytes(found.value)


def region_of(account: str, bucket: str) -> str | None:
    """Where the bucket is, or None where there is none."""
    buckets = s3_backends[account]["aws"].buckets
    return str(buckets[bucket].region_name) if bucket in buckets else None


def read(content: bytes) -> Bundle:
    """A zip, or a Dockerrun.aws.json alone. Raises BundleFault."""
    if len(content) > _MAX_BYTES:
        raise BundleFault("Source bundle is larger than 500 MB.")
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return _dockerrun(content, {})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if not any(root in names for root in _ROOTS):
            raise BundleFault(
                "Both 'Dockerfile' and 'Dockerrun.aws.json' are missing in your source bundle. "
                "Include at least one of them. The deployment failed."
            )
        snippets = {
            name.removeprefix(_SNIPPETS): archive.read(name).decode()
            for name in names
            if name.startswith(_SNIPPETS) and name.endswith(".conf")
        }
        if "Dockerrun.aws.json" in names and "Dockerfile" not in names:
            return _dockerrun(archive.read("Dockerrun.aws.json"), snippets)
    return Bundle("", 0, snippets)


def _dockerrun(content: bytes, snippets: dict[str, str]) -> Bundle:
    document = _document(content)
    version = str(document.get("AWSEBDockerrunVersion", ""))
    if version == "2":
        raise BundleFault("Dockerrun.aws.json version 2 needs the ECS platform; abort deployment")
    if version != "1":
        raise BundleFault("Invalid Dockerrun.aws.json version, abort deployment")
    image = document.get("Image")
    name = image.get("Name") if isinstance(image, dict) else None
    if not isinstance(name, str) or not name:
        raise BundleFault("Dockerrun.aws.json: missing Image.Name, abort deployment")
    return Bundle(name, _port(document.get("Ports")), snippets)


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as err:
        raise BundleFault("Failed to parse Dockerrun.aws.json file, abort deployment") from err
    if not isinstance(document, dict):
        raise BundleFault("Failed to parse Dockerrun.aws.json file, abort deployment")
    return document


def _port(ports: Any) -> int:
    """Only the first is proxied."""
    first = ports[0] if isinstance(ports, list) and ports else None
    port = first.get("ContainerPort") if isinstance(first, dict) else None
    if port is None or not str(port).isdigit():
        raise BundleFault("No EXPOSE directive found in Dockerfile, abort deployment")
    return int(port)
