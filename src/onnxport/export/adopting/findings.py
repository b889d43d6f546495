"""What is found in an ONNX file that isn't a model file yet: inert, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from onnxport.errors import ExportError, shorten


@dataclass(frozen=True, slots=True)
class Finding:
    """code: stable, for programs. place: the node, tensor or input, "" for the file itself.
    what: what it is. remedy: what `adopt` does about it, or what the user can do.
    curable: `adopt` goes on.
    """

    code: str
    place: str
    what: str
    remedy: str
    curable: bool

    @property
    def text(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.what}; {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class NotAdoptable(ExportError):
    """An ONNX file that can't become a model file. `finding` says why, and what can be done."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.text)


def cure(code: str, place: str, what: str, remedy: str) -> Finding:
    """A finding that `adopt` mends."""
    return Finding(code, place, what, remedy, curable=True)


def bar(code: str, place: str, what: str, remedy: str) -> Finding:
    """A finding that no repair can help."""
    return Finding(code, place, what, remedy, curable=False)


@contextmanager
def in_utf8() -> Iterator[None]:
    """Names and texts that are no UTF-8 are found wherever they are read (protobuf looks no earlier)."""
    try:
        yield
    except UnicodeDecodeError as err:
        what = "a name or a text in the file is not UTF-8"
        raise refusal("damaged", "", what, "export or download it again") from err


def refusal(code: str, place: str, what: str, remedy: str) -> NotAdoptable:
    """The same, to be raised."""
    return NotAdoptable(bar(code, place, what, remedy))


def named(kind: str, name: str) -> str:
    """A place in the file: "input 'x'"; names are the file's own words, so they are shortened."""
    return f"{kind} {shorten(repr(name))}"


def counted(number: int, what: str) -> str:
    """So many things with their verb: "1 label was", "2 labels were"."""
    return f"{number:,} {what} was" if number == 1 else f"{number:,} {what}s were"


def listed(names: Iterable[str], most: int = 5) -> str:
    """Some names of the file, quoted, and how many more there are."""
    every = list(names)
    told = ", ".join(shorten(repr(name)) for name in every[:most])
    return told + (f" and {len(every) - most} more" if len(every) > most else "")
