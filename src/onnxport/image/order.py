"""What is wanted of a build, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onnxport.image.parts import Image, Platform, digest_of, manifest_list


@dataclass(frozen=True, slots=True)
class Order:
    """model: the model file. platforms: one image for each. base: a reference or a saved image's path; None is the
    official slim image of the running Python. labels: the user's own, beside those that every image has.
    """

    model: Path
    platforms: tuple[Platform, ...]
    base: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """One image for each platform. sboms: for each, the list of what is inside, as CycloneDX. warnings: what the
    user should know; notes: what was decided on the way.
    """

    images: tuple[Image, ...]
    sboms: tuple[bytes, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The image's, or that of the list where there are several."""
        if len(self.images) == 1:
            return self.images[0].digest
        return digest_of(manifest_list(self.images))
