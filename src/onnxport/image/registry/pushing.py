"""To a registry: blobs that it lacks, then the manifest together with its tag."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

from onnxport.errors import BuildError
from onnxport.image.parts import (
    MANIFEST_LIST_TYPE,
    MANIFEST_TYPE,
    Image,
    digest_of,
    manifest_list,
)
from onnxport.image.reference import Reference
from onnxport.image.registry.answers import REFUSALS
from onnxport.image.registry.fetching import ACCEPT
from onnxport.image.registry.link import Link, Progress, announced
from onnxport.image.registry.patience import Pace
from onnxport.image.registry.tokens import PUSH
from onnxport.image.registry.wire import Request

_PIECE = 1 << 18
_KEPT = (HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.ACCEPTED)
_MOVED = (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.TEMPORARY_REDIRECT)
_LOST = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
# A registry may hide a tag from those who may only write.
_UNKNOWN = (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED)


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


def push(link: Link, images: Sequence[Image], reference: Reference) -> str:
    """Sends one image, or a list of one for each platform, and gives its digest."""
    content, kind = _top(images)
    digest = digest_of(content)
    if reference.digest not in (None, digest):
        raise BuildError(
            f"{reference} names another image than was built, {digest}; push under a tag alone"
        )
    target = _Target(link, reference)
    if target.tagged() == digest:
        link.tell(Progress("there", "manifest", digest, len(content), len(content)))
        return digest
    for blob in _blobs(images):
        link.persist(blob.title, partial(target.send, blob))
    if kind == MANIFEST_LIST_TYPE:
        for image in images:
            target.put(image.digest, image.manifest, MANIFEST_TYPE)
    target.put(reference.tag or digest, content, kind)
    return digest


def reach(link: Link, reference: Reference) -> str | None:
    """The digest that a tag names now; asked with the rights to push, so that it fails where a push would."""
    return _Target(link, reference).tagged()


@dataclass(frozen=True, slots=True)
class _Target:
    """A repository that is being sent to."""

    link: Link
    reference: Reference

    def tagged(self) -> str | None:
        """The digest that the tag names now, where the registry says."""
        if self.reference.tag is None:
            return None
        request = self._request("HEAD", f"manifests/{self.reference.tag}", headers=ACCEPT)
        answer = self.link.call("tag", request, HTTPStatus.OK, *_UNKNOWN)
        return announced(answer) or None if answer.status == HTTPStatus.OK else None

    def send(self, blob: _Outgoing) -> None:
        """One try. It begins with the question whether the last one was enough and its answer lost."""
        tell = partial(Progress, title=blob.title, digest=blob.digest, size=blob.size)
        if self._has(blob):
            self.link.tell(tell("there", done=blob.size))
            return
        opened = self.link.wire.call(self._request("POST", "blobs/uploads/"), HTTPStatus.ACCEPTED)
        location = opened.headers.get("Location", "")
        if not location:
            raise BuildError(
                f"{self.link.registry} opens no place for an upload; is it a registry?"
            )
        joint = "&" if "?" in location else "?"
        request = replace(
            self._request("PUT", "", headers={"Content-Type": "application/octet-stream"}),
            path=f"{location}{joint}digest={blob.digest}",
            body=partial(self._outgoing, blob),
            size=blob.size,
        )
        answer = self.link.wire.call(request, HTTPStatus.CREATED, *_LOST)
        if answer.is_lost_upload:
            raise self.link.wire.place(request).failed(f"{self.link.registry} lost an upload")
        if answer.status != HTTPStatus.CREATED:
            raise self.link.wire.place(request).refuse(answer)
        self.link.check(answer, blob.digest)
        self.link.tell(tell("done", done=blob.size))

    def put(self, name: str, content: bytes, kind: str) -> None:
        """Sends a manifest. A tag that a registry doesn't let us move is an error of its own."""
        request = replace(
            self._request("PUT", f"manifests/{name}", headers={"Content-Type": kind}),
            body=lambda: iter([content]),
            size=len(content),
        )
        digest = digest_of(content)
        answer = self.link.call("manifest", request, *_KEPT, *REFUSALS)
        if answer.status in _KEPT:
            self.link.check(answer, digest)
            self.link.tell(Progress("done", "manifest", digest, len(content), len(content)))
        elif not answer.is_immutable:
            raise self.link.wire.place(request).refuse(answer)
        elif self.tagged() != digest:  # else a try went well whose answer was lost
            raise BuildError(
                f"{self.reference} exists, and {self.link.registry} lets no tag there be moved; "
                "push under another tag"
            )

    def _has(self, blob: _Outgoing) -> bool:
        """Whether the blob is there; where a registry redirects, its storage has it."""
        request = self._request("HEAD", f"blobs/{blob.digest}")
        answer = self.link.wire.call(request, HTTPStatus.OK, HTTPStatus.NOT_FOUND, *_MOVED)
        if answer.status == HTTPStatus.OK:
            return answer.headers.get("Content-Length", str(blob.size)) == str(blob.size)
        return answer.status != HTTPStatus.NOT_FOUND

    def _outgoing(self, blob: _Outgoing) -> Iterator[bytes]:
        """A blob's bytes for one try. Raises BuildError where they aren't what they were."""
        found, done, pace = hashlib.sha256(), 0, Pace(self.link.patience)
        last = b""  # kept back until all is known to be right, lest a wrong blob be sent whole
        for piece in blob.pieces():
            found.update(piece)
            done += len(piece)
            if done >= blob.size:
                last = piece
                break
            yield piece
            pace.count(len(piece))
            self.link.tell(Progress("sending", blob.title, blob.digest, done, blob.size))
        if (done, "sha256:" + found.hexdigest()) != (blob.size, blob.digest):
            raise BuildError(f"the file of the layer {blob.title} has changed since; build again")
        yield last

    def _request(
        self, method: str, place: str, headers: Mapping[str, str] | None = None
    ) -> Request:
        repository = self.reference.repository
        return Request(
            method,
            f"/v2/{repository}/{place}",
            repository,
            doing=f"push {self.reference.name}",
            missing=f"repository {repository}",
            actions=PUSH,
            headers=headers or {},
        )


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
