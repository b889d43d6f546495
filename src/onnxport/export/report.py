"""What `save` gives back: the manifest that was written and the parity certificate, readable where
it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnxport.display import describe, html_table
from onnxport.export.parity import Parity
from onnxport.manifest import Manifest
from onnxport.signature import Signature


@dataclass(frozen=True, repr=False)
class Report:
    """path: the file that was written, of `size` bytes. parity: what was proven. manifest: what the
    file says.
    """

    path: Path
    size: int
    parity: Parity
    manifest: Manifest

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    def __repr__(self) -> str:
        return f"saved {self.path.name} ({self.size:,} bytes)\n{describe(self.manifest)}"

    def _repr_html_(self) -> str:
        return html_table(self.manifest)
