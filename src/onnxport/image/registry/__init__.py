"""A registry's HTTP API: images fetched and sent, every digest checked, whatever broke off begun again.

The API is that of https://github.com/opencontainers/distribution-spec; blobs go before the manifest, and the manifest
goes with its tag in one step, so that nobody ever sees half an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from onnxport.image.credentials import Credentials
from onnxport.image.parts import Blob, Image, Platform
from onnxport.image.reference import Reference
from onnxport.image.registry import fetching, pushing
from onnxport.image.registry.fetching import Manifest
from onnxport.image.registry.link import Link, Progress, Tell
from onnxport.image.registry.patience import Patience
from onnxport.image.registry.wire import Wire
from onnxport.image.store import Store

__all__ = ["Manifest", "Patience", "Progress", "Registry", "Tell"]


class Registry:
    """One registry, and who we are there. Holds a pool of connections: close it, or use `with`.

    registry: as a Reference names it. tell: gets the progress of each blob. patience: how long to wait for answers.
    Every method raises BuildError with what went wrong where, and what to do.
    """

    def __init__(
        self,
        registry: str,
        credentials: Credentials | None = None,
        *,
        tell: Tell = lambda _: None,
        patience: Patience | None = None,
    ) -> None:
        patience = patience or Patience()
        self._link = Link(registry, Wire(registry, credentials, patience), patience, tell)

    def fetch_manifest(self, reference: Reference, platform: Platform) -> Manifest:
        """The manifest of one image: the one named, or the platform's where a list is named.

        What an image that stands in no list runs on, its configuration alone says.
        """
        return fetching.fetch_manifest(self._link, reference, platform)

    def fetch_blob(
        self, reference: Reference, digest: str, size: int, store: Store, *, title: str = "layer"
    ) -> Blob:
        """A blob of the reference's repository, from the store if it is there already.

        title: what it is called in the progress.
        """
        return fetching.fetch_blob(self._link, reference, digest, size, store, title)

    def reach(self, reference: Reference) -> str | None:
        """Asks before a long build whether anything can be pushed: the digest that the tag names by now, if any.

        Raises BuildError where the registry is down or wants other credentials.
        """
        return pushing.reach(self._link, reference)

    def push(self, images: Sequence[Image], reference: Reference) -> str:
        """Sends one image, or a list of one for each platform, and gives the digest that the tag names from then on.

        Blobs that the registry has are not sent again, and nothing is where the tag names this image already.
        """
        return pushing.push(self._link, images, reference)

    def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        self._link.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
