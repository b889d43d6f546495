"""`onnxport build --check`: the image runs for real, without rights and behind a published port, and is looked through.

The checks are those of a platform: that it listens where it says, answers as its model file does, ends when it is told
to, and needs and holds nothing that it shouldn't.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from onnxport.errors import BuildError, shorten
from onnxport.image import proofs
from onnxport.image.archive import write_archive
from onnxport.image.complaints import Ended
from onnxport.image.engine import Engine
from onnxport.image.parts import Image, Platform, digest_of
from onnxport.image.proofs import Result

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """All that was found about an image. engine: what ran it."""

    image: str
    engine: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        return not any(result.verdict == "failure" for result in self.results)

    def to_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "image": self.image,
            "engine": self.engine,
            "results": [asdict(result) for result in self.results],
        }

    def lines(self) -> Iterator[str]:
        """The table for people."""
        yield f"check of the image with the id {self.image}, run by {self.engine}"
        for result in self.results:
            yield f"  {result.check:<4}  {result.verdict:<7}  {result.text}"
        yield "passed" if self.passed else "failed"


def try_image(engine: Engine, image: str, model: Path, tell: Tell) -> Trial:
    """Runs an image that the engine has, and looks through it. model: the file that it should serve.

    Raises BuildError where the engine fails; what is wrong with the image stands in the results.
    """
    config = engine.configuration(image)
    results = [*proofs.settings(config)]
    others: list[Result] = []

    def meanwhile() -> None:
        tell("running the image as it is")
        others.extend(_until_it_ends("P08", lambda: proofs.as_it_is(engine, image, config)))
        tell("looking for secrets in the image")
        others.extend(proofs.contents(engine, image, config))

    tell("running the image without any rights")
    results += _until_it_ends("P07", lambda: proofs.locked(engine, image, config, model, meanwhile))
    if not others:
        meanwhile()
    found = sorted([*results, *others], key=lambda result: result.check)
    return Trial(image, engine.name, tuple(found))


def _until_it_ends(check: str, run: Callable[[], Iterator[Result]]) -> Iterator[Result]:
    """The results until the container ends by itself or can't be reached, which is one more."""
    try:
        yield from run()
    except Ended as err:
        yield Result(check, "failure", str(err))


def runnable(engine: Engine, platforms: Sequence[Platform]) -> int:
    """Which of the platforms an engine can run where it can be called from here, by its index.

    Raises BuildError where that is none.
    """
    host = os.environ.get("DOCKER_HOST", "")
    if engine.name == "docker" and _is_elsewhere(host):
        raise BuildError(
            f"docker runs on another machine ({shorten(host)}), where the container's port can't be called from here; "
            "let DOCKER_HOST name an engine on this machine, or leave out --check"
        )
    if engine.platform in platforms:
        return platforms.index(engine.platform)
    wanted = ", ".join(map(str, platforms))
    raise BuildError(
        f"{engine.name} runs {engine.platform}, and the image is for {wanted}: it can't be tried here; build for "
        f"--platform {engine.platform} too, or leave out --check"
    )


def _is_elsewhere(host: str) -> bool:
    parts = urlsplit(host)
    return parts.scheme in ("ssh", "tcp", "http", "https") and not (
        parts.scheme != "ssh" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    )


@contextmanager
def lent(engine: Engine, image: Image) -> Iterator[str]:
    """The name of an image that the engine has for a while, unless it has had it before."""
    was_there = engine.has(digest_of(image.config))
    with tempfile.TemporaryDirectory(prefix="onnxport-check-") as folder:
        archive = Path(folder, "image.tar")
        write_archive(image, None, archive)
        identity = engine.load(archive)
    try:
        yield identity
    finally:
        if not was_there and not engine.inspect(identity).get("RepoTags"):
            engine.forget(identity)
