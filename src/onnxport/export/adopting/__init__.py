"""Models that are already ONNX: diagnosed, repaired, proven against the original file, and sealed."""

from __future__ import annotations

from onnxport.export.adopting.adopt import adopt, examine
from onnxport.export.adopting.findings import Finding, NotAdoptable
from onnxport.export.adopting.preparing import Wishes

__all__ = ["Finding", "NotAdoptable", "Wishes", "adopt", "examine"]
