"""What fetching and sending share: the wire, the progress told on the way, and second tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from onnxport.errors import BuildError, shorten
from onnxport.image.registry.answers import Answer
from onnxport.image.registry.patience import Patience, persist
from onnxport.image.registry.wire import Request, Wire

_T = TypeVar("_T")


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
class Link:
    """A registry, and whom to tell what goes on."""

    registry: str
    wire: Wire
    patience: Patience
    tell: Tell

    def persist(self, title: str, attempt: Callable[[], _T]) -> _T:
        """The attempt's result, after as many tries as patience allows."""

        def waiting(what: str, seconds: float) -> None:
            note = f"{what}; trying again in {seconds:.1f} s"
            self.tell(Progress("waiting", title, note=note))

        return persist(self.patience, attempt, waiting)

    def call(self, title: str, request: Request, *fine: int) -> Answer:
        """The answer of a request that may be made several times."""
        return self.persist(title, lambda: self.wire.call(request, *fine))

    def check(self, answer: Answer, digest: str) -> None:
        """Raises BuildError where the registry says that it keeps something else than was sent."""
        kept = announced(answer) or digest
        if kept != digest:
            raise BuildError(
                f"{self.registry} kept {shorten(kept, 80)} where {digest} was sent; "
                "a proxy before it changes what passes, go around it"
            )


def announced(answer: Answer) -> str:
    """The digest that the registry says its answer has, or ""."""
    return answer.headers.get("Docker-Content-Digest", "")
