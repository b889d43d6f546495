"""A registry's HTTP API: images fetched and sent, every digest checked, whatever broke off begun again.

The API is that of https://github.com/opencontainers/distribution-spec; blobs go before the manifest, and the manifest
goes with its tag in one step, so that nobody ever sees half an image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from onnxport.errors import BuildError, shorten
from onnxport.image.credentials import Credentials
from onnxport.image.manifests import LIST_TYPES, MANIFEST_TYPES, choose, kind_of, parse_list
from onnxport.image.parts import (
    MANIFEST_LIST_TYPE,
    MANIFEST_TYPE,
    Blob,
    Image,
    Platform,
    digest_of,
    manifest_list,
)
from onnxport.image.reference import Reference
from onnxport.image.registry.answers import Answer
from onnxport.image.registry.patience import Pace, Patience, persist
from onnxport.image.registry.tokens import PUSH
from onnxport.image.registry.wire import Request, Wire
from onnxport.image.store import Store, WrongBytes

__all__ = ["Manifest", "Patience", "Progress", "Registry"]

_T = TypeVar("_T")
_PIECE = 1 << 18
_ACCEPT = {"Accept": ", ".join((*MANIFEST_TYPES, *LIST_TYPES))}


class Manifest(NamedTuple):
    """A manifest as it was delivered, and its digest."""

    content: bytes
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What a transfer has come to.

    state: "fetching", "sending", "done", "there" for what needed no transfer, or "waiting" before another try.
    title: what is transferred, in a word or two. done, size: in bytes. note: a sentence, or "".
    """

    state: str
    title: str
    digest: str = ""
    done: int = 0
    size: int = 0
    note: str = ""


Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A blob to send. source: its file, or its bytes."""

    title: str
    digest: str
    size: int
    source: Path | bytes

    def pieces(self) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            yield self.source
            return
        try:
            with self.source.open("rb") as stream:
                while piece := stream.read(_PIECE):
                    yield piece
        except OSError as err:
            raise BuildError(f"{self.source} can't be read ({err.strerror}); build again") from err


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
        self._patience = patience or Patience()
        self._wire = Wire(registry, credentials, self._patience)
        self._registry, self._tell = registry, tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    def fetch_manifest(self, reference: Reference, platform: Platform) -> Manifest:
        """The manifest of one image: the one named, or the platform's where a list is named.

        What an image that stands in no list runs on, its configuration alone says.
        """
        named = self._fetch_document(reference, reference.digest or reference.tag or "")
        if named.media_type not in LIST_TYPES:
            return named
        try:
            entry = choose(parse_list(named.content), platform)
        except BuildError as err:
            raise BuildError(f"{reference}: {err}") from err
        found = self._fetch_document(reference, entry.digest)
        if found.media_type not in MANIFEST_TYPES or len(found.content) != entry.size:
            raise BuildError(f"{reference} holds another list or a wrong size; push it anew")
        return found

    def fetch_blob(
        self, reference: Reference, digest: str, size: int, store: Store, *, title: str = "layer"
    ) -> Blob:
        """A blob of the reference's repository, from the store if it is there already."""
        there = store.find(digest, size=size)
        if there is not None:
            self._tell(Progress("there", title, digest, size, size))
            return there
        fetch = partial(self._fetch_once, reference, digest, size, store, title)
        return self._persist(title, fetch)

    def push(self, images: Sequence[Image], reference: Reference) -> str:
        """Sends one image, or a list of one for each platform, and gives its digest.

        Blobs that the registry has are not sent again, and nothing is where the tag names this image already.
        """
        content, kind = _top(images)
        digest = digest_of(content)
        if reference.digest not in (None, digest):
            raise BuildError(
                f"{reference} names another image than was built, {digest}; push under a tag alone"
            )
        if reference.tag and self._tagged(reference) == digest:
            self._tell(Progress("there", "manifest", digest, len(content), len(content)))
            return digest
        for blob in _blobs(images):
            self._persist(blob.title, partial(self._send_blob, reference, blob))
        if kind == MANIFEST_LIST_TYPE:
            for image in images:
                self._put(reference, image.digest, image.manifest, MANIFEST_TYPE)
        self._put(reference, reference.tag or digest, content, kind)
        return digest

    def _fetch_document(self, reference: Reference, name: str) -> Manifest:
        path = f"/v2/{reference.repository}/manifests/{name}"
        request = self._request("GET", path, reference, f"image {reference}", headers=_ACCEPT)
        answer = self._persist("manifest", lambda: self._wire.call(request, HTTPStatus.OK))
        digest = digest_of(answer.content)
        wanted = name if name.startswith("sha256:") else _announced(answer, digest)
        if digest != wanted:
            raise BuildError(
                f"{self._registry} delivers a manifest for {reference} with the digest {digest} instead of "
                f"{shorten(wanted, 80)}; it was damaged or exchanged on the way"
            )
        try:
            kind = kind_of(answer.content, answer.headers.get("Content-Type", ""))
        except BuildError as err:
            raise BuildError(f"{reference}: {err}") from err
        return Manifest(answer.content, kind, digest)

    def _fetch_once(
        self, reference: Reference, digest: str, size: int, store: Store, title: str
    ) -> Blob:
        path = f"/v2/{reference.repository}/blobs/{digest}"
        request = self._request("GET", path, reference, f"layer {digest} of {reference}")
        try:
            with (
                self._wire.download(request) as pieces,
                store.writing(digest=digest, size=size) as writing,
            ):
                for piece in pieces:
                    writing.write(piece)
                    self._tell(Progress("fetching", title, digest, writing.size, size))
        except WrongBytes as err:
            raise BuildError(f"{self._registry}, {title} of {reference}: {err}") from err
        self._tell(Progress("done", title, digest, size, size))
        return writing.blob

    def _send_blob(self, reference: Reference, blob: _Outgoing) -> None:
        """One try. It begins with the question whether the last one was enough, its answer lost."""
        if self._has(reference, blob):
            self._tell(Progress("there", blob.title, blob.digest, blob.size, blob.size))
            return
        answer = self._wire.call(
            self._upload(reference, "POST", f"/v2/{reference.repository}/blobs/uploads/"),
            HTTPStatus.ACCEPTED,
        )
        place = answer.headers.get("Location", "")
        joint = "&" if "?" in place else "?"
        request = self._upload(
            reference,
            "PUT",
            f"{place}{joint}digest={blob.digest}",
            headers={"Content-Type": "application/octet-stream"},
            body=partial(self._outgoing, blob),
            size=blob.size,
        )
        self._check(self._wire.call(request, HTTPStatus.CREATED), blob.digest)
        self._tell(Progress("done", blob.title, blob.digest, blob.size, blob.size))

    def _outgoing(self, blob: _Outgoing) -> Iterator[bytes]:
        """A blob's bytes for one try. Raises BuildError before the last of them where they aren't what they were."""
        found, done, pace = hashlib.sha256(), 0, Pace(self._patience)
        for piece in blob.pieces():
            found.update(piece)
            done += len(piece)
            if done >= blob.size and (done, found.hexdigest()) != (blob.size, blob.digest[7:]):
                break
            yield piece
            pace.count(len(piece))
            self._tell(Progress("sending", blob.title, blob.digest, done, blob.size))
        if (done, found.hexdigest()) != (blob.size, blob.digest[7:]):
            raise BuildError(f"the file of the layer {blob.title} has changed since; build again")

    def _has(self, reference: Reference, blob: _Outgoing) -> bool:
        path = f"/v2/{reference.repository}/blobs/{blob.digest}"
        moved = HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.TEMPORARY_REDIRECT
        answer = self._wire.call(
            self._upload(reference, "HEAD", path), HTTPStatus.OK, HTTPStatus.NOT_FOUND, *moved
        )
        if answer.status != HTTPStatus.OK:
            return answer.status != HTTPStatus.NOT_FOUND
        return answer.headers.get("Content-Length", str(blob.size)) == str(blob.size)

    def _tagged(self, reference: Reference) -> str | None:
        """The digest that the tag names now, where the registry says."""
        path = f"/v2/{reference.repository}/manifests/{reference.tag}"
        unknown = HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED
        request = self._upload(reference, "HEAD", path, headers=_ACCEPT)
        answer = self._persist("tag", lambda: self._wire.call(request, HTTPStatus.OK, *unknown))
        return answer.headers.get("Docker-Content-Digest") if answer.status == 200 else None

    def _put(self, reference: Reference, name: str, content: bytes, kind: str) -> None:
        request = self._upload(
            reference,
            "PUT",
            f"/v2/{reference.repository}/manifests/{name}",
            headers={"Content-Type": kind},
            body=lambda: iter([content]),
            size=len(content),
        )
        fine = HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.ACCEPTED
        refused = HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT
        more = HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.PRECONDITION_FAILED
        answer = self._persist("manifest", lambda: self._wire.call(request, *fine, *refused, *more))
        digest = digest_of(content)
        if answer.status in fine:
            self._check(answer, digest)
            self._tell(Progress("done", "manifest", digest, len(content), len(content)))
        elif not answer.is_immutable:
            raise self._wire.place(request).refuse(answer)
        elif self._tagged(reference) != digest:  # else a try went well whose answer was lost
            raise BuildError(
                f"{reference} exists, and {self._registry} lets no tag there be moved; push under another tag"
            )

    def _request(
        self,
        method: str,
        path: str,
        reference: Reference,
        missing: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        doing = f"fetch {reference.name}"
        return Request(method, path, reference.repository, doing, missing, headers=headers or {})

    def _upload(
        self,
        reference: Reference,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Iterator[bytes]] | None = None,
        size: int = 0,
    ) -> Request:
        repository = reference.repository
        return Request(
            method,
            path,
            repository,
            f"push {reference.name}",
            f"repository {repository}",
            PUSH,
            headers or {},
            body,
            size,
        )

    def _check(self, answer: Answer, digest: str) -> None:
        kept = _announced(answer, digest)
        if kept != digest:
            raise BuildError(
                f"{self._registry} kept {shorten(kept, 80)} where {digest} was sent; it changes what it is given"
            )

    def _persist(self, title: str, attempt: Callable[[], _T]) -> _T:
        def waiting(error: BuildError, seconds: float) -> None:
            note = f"{error}; trying again in {seconds:.1f} s"
            self._tell(Progress("waiting", title, note=note))

        return persist(self._patience, attempt, waiting)


def _announced(answer: Answer, otherwise: str) -> str:
    return answer.headers.get("Docker-Content-Digest") or otherwise


def _top(images: Sequence[Image]) -> tuple[bytes, str]:
    """What the tag is to name: the image itself, or a list of several."""
    if not images or len({image.platform for image in images}) < len(images):
        raise BuildError("one image is pushed for each platform; name each platform once")
    if len(images) == 1:
        return images[0].manifest, MANIFEST_TYPE
    return manifest_list(images), MANIFEST_LIST_TYPE


def _blobs(images: Sequence[Image]) -> list[_Outgoing]:
    """Each blob once, in the order of the layers."""
    found: dict[str, _Outgoing] = {}
    for image in images:
        place = f" ({image.platform})" if len(images) > 1 else ""
        for layer in image.layers:
            blob = layer.blob
            title = layer.title + place
            found.setdefault(blob.digest, _Outgoing(title, blob.digest, blob.size, blob.path))
        digest = digest_of(image.config)
        named = f"configuration{place}"
        found.setdefault(digest, _Outgoing(named, digest, len(image.config), image.config))
    return list(found.values())
