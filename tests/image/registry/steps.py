"""What the tests of registries do over and over: push, fetch, be refused, ask skopeo."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from onnxport.errors import BuildError
from onnxport.image.credentials import Credentials
from onnxport.image.parts import Blob, Image
from onnxport.image.reference import Reference, parse_reference
from onnxport.image.registry import Patience, Progress, Registry
from onnxport.image.store import Store
from tests import programs
from tests.image.registries import PASSWORD, USER, Proxy

ANNA = Credentials(USER, PASSWORD)
SECRETS = (PASSWORD, ANNA.basic.removeprefix("Basic "))
QUICK = Patience(tries=3, pause=0.01, timeout=20.0, longest=2.0)
BLOBS, MANIFESTS = "/blobs/", "/manifests/"


def reference(address: str, name: str, tag: str = "1") -> Reference:
    return parse_reference(f"{address}/{name}:{tag}")


def push(
    target: Reference,
    *images: Image,
    credentials: Credentials | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
    patience: Patience = QUICK,
) -> str:
    with Registry(target.registry, credentials, tell=tell, patience=patience) as registry:
        return registry.push(images, target)


def fetch(
    target: Reference,
    blob: Blob,
    store: Store,
    credentials: Credentials | None = None,
    patience: Patience = QUICK,
) -> bytes:
    with Registry(target.registry, credentials, patience=patience) as registry:
        return registry.fetch_blob(target, blob.digest, blob.size, store).path.read_bytes()


def refusal(deed: Callable[[], object]) -> str:
    """The one sentence that a refused deed gives; no secret is in it."""
    with pytest.raises(BuildError) as caught:
        deed()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    assert not [secret for secret in SECRETS if secret in message]
    return message


def uploads(proxy: Proxy) -> list[int]:
    """The sizes of the blobs that were sent."""
    sent = [one for one in proxy.seen if one.method == "PUT" and "digest=" in one.path]
    return sorted(one.body for one in sent)


def skopeo(*words: str) -> str:
    done = _skopeo(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspect(address: str, name: str, tag: str = "1", *, raw: bool = False) -> str:
    """What skopeo says of an image."""
    words = ["--raw"] if raw else []
    return skopeo("inspect", "--tls-verify=false", *words, f"docker://{address}/{name}:{tag}")


def is_tagged(address: str, name: str, tag: str = "1") -> bool:
    place = f"docker://{address}/{name}:{tag}"
    return _skopeo("inspect", "--tls-verify=false", "--raw", place).returncode == 0


def _skopeo(*words: str) -> subprocess.CompletedProcess[str]:
    program = programs.program("skopeo")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)
