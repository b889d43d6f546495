"""The registry behind the fake's repositories: which images it has, and for which machine they are."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

USER = "AWS"
PASSWORD = "rehearsal-only"  # of the one token that GetAuthorizationToken gives
_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


@dataclass(frozen=True)
class Manifest:
    digest: str
    media_type: str
    content: bytes

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.content))


@dataclass(frozen=True)
class Registry:
    """A registry at an address, which we enter as AWS with a password."""

    address: str
    password: str

    @property
    def token(self) -> str:
        """What GetAuthorizationToken gives."""
        return base64.b64encode(f"{USER}:{self.password}".encode()).decode()

    def manifest(self, repository: str, name: str) -> Manifest | None:
        """By tag or digest; None where there is none."""
        answer = self.call("GET", f"{repository}/manifests/{name}", {"Accept": ", ".join(_TYPES)})
        if answer is None:
            return None
        content, headers = answer
        digest = headers["Docker-Content-Digest"]
        return Manifest(digest, headers.get("Content-Type", ""), content)

    def tags(self, repository: str) -> list[str]:
        answer = self.call("GET", f"{repository}/tags/list", {})
        return list(json.loads(answer[0]).get("tags") or []) if answer else []

    def architecture(self, repository: str, manifest: Manifest) -> str:
        """What the image runs on, in Go's words; of a list, all that it holds, by commas."""
        document = manifest.document
        if "manifests" in document:
            return ",".join(one["platform"]["architecture"] for one in document["manifests"])
        return str(self.configuration(repository, manifest).get("architecture", ""))

    def configuration(self, repository: str, manifest: Manifest) -> dict[str, Any]:
        digest = manifest.document["config"]["digest"]
        answer = self.call("GET", f"{repository}/blobs/{digest}", {})
        return dict(json.loads(answer[0])) if answer else {}

    def blob(self, repository: str, digest: str) -> bytes:
        answer = self.call("GET", f"{repository}/blobs/{digest}", {})
        if answer is None:
            raise LookupError(f"{repository} has no blob {digest}")
        return answer[0]

    def empty(self) -> None:
        """Removes every image that has a tag."""
        answer = self.call("GET", "_catalog?n=1000", {})
        for repository in json.loads(answer[0])["repositories"] if answer else ():
            found = [self.manifest(repository, tag) for tag in self.tags(repository)]
            for digest in {manifest.digest for manifest in found if manifest}:
                self.remove(repository, digest)

    def remove(self, repository: str, digest: str) -> None:
        self.call("DELETE", f"{repository}/manifests/{digest}", {})

    def call(
        self, method: str, path: str, headers: dict[str, str]
    ) -> tuple[bytes, Mapping[str, str]] | None:
        """None where the registry knows no such thing."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/{path}",
            method=method,
            headers={**headers, "Authorization": f"Basic {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as err:
            err.close()
            if err.code == 404:
                return None
            raise
