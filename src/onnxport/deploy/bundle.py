"""The source bundle: a zip that says which image runs, by digest, and what the proxy lets through.

Only three kinds of file stand in it, so that nothing of a user's folder can slip in. The same intent and image give the
same bytes wherever and whenever it is made: its digest says whether anything changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

from onnxport.deploy.intent import Intent
from onnxport.errors import BuildError, SettingsError, shorten
from onnxport.image.reference import parse_reference
from onnxport.image.settings import PORT

DOCKERRUN = "Dockerrun.aws.json"
PROXY_LIMITS = ".platform/nginx/conf.d/zz-onnxport.conf"
REDIRECT = ".ebextensions/onnxport-https.config"
_HOST_PORT = 8000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip can tell
_UNIX = 3
_MODE = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class Bundle:
    """content: the zip's bytes. sha256: theirs, in hexadecimal digits."""

    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def make_bundle(intent: Intent, image: str) -> Bundle:
    """The bundle of an intent. image: `registry/repository@sha256:...`, the one that runs.

    Raises SettingsError for an image that isn't named by its digest: a tag may be another image tomorrow.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(files_of(intent, image).items()):
            archive.writestr(_entry(name), text.encode())
    return Bundle(buffer.getvalue())


def files_of(intent: Intent, image: str) -> dict[str, str]:
    """The texts in the bundle by their paths, which are relative to its root: there is no folder around them."""
    files = {DOCKERRUN: dockerrun(image), PROXY_LIMITS: proxy_limits(intent)}
    if intent.network.domain:
        files[REDIRECT] = _as_json(_redirect(intent.network.domain))
    return files


def dockerrun(image: str) -> str:
    """Version 1: one remote image, of which Elastic Beanstalk pulls and proxies the first port."""
    try:
        digest = parse_reference(image).digest
    except BuildError as err:
        raise SettingsError(str(err)) from err
    if digest is None:
        raise SettingsError(
            f"{shorten(image)} names an image without its digest, which may be another one tomorrow; "
            "give registry/repository@sha256:..."
        )
    return _as_json(
        {
            "AWSEBDockerrunVersion": "1",
            "Image": {"Name": image, "Update": "true"},
            "Ports": [{"ContainerPort": str(PORT), "HostPort": str(_HOST_PORT)}],
        }
    )


def proxy_limits(intent: Intent) -> str:
    """Directives of nginx's http block; by itself it refuses bodies above 1 MB, and gives up after 60 s."""
    return (
        f"client_max_body_size {intent.limits.body_mb}m;\n"
        f"proxy_read_timeout {intent.limits.timeout}s;\n"
        f"proxy_send_timeout {intent.limits.timeout}s;\n"
    )


def _redirect(domain: str) -> dict[str, Any]:
    """The domain is served over https alone. Elastic Beanstalk's own address, which has no certificate, stays on http:
    golden requests come that way before a swap.
    """
    action = {
        "Type": "redirect",
        "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
    }
    rule = {
        "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
        "Properties": {
            "ListenerArn": {"Ref": "AWSEBV2LoadBalancerListener"},
            "Priority": 1,
            "Conditions": [{"Field": "host-header", "HostHeaderConfig": {"Values": [domain]}}],
            "Actions": [action],
        },
    }
    return {"Resources": {"OnnxportHttpsRedirect": rule}}


def _as_json(document: dict[str, Any]) -> str:
    """JSON, which is YAML too, in the order in which it was written."""
    return json.dumps(document, indent=2) + "\n"


def _entry(name: str) -> zipfile.ZipInfo:
    """Nothing of this machine: no time, user, umask or system; stored, as releases of zlib compress differently."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = _UNIX
    entry.external_attr = _MODE
    return entry
