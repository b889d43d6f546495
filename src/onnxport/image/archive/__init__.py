"""Images in files: what `docker save`, podman, skopeo and buildx leave is read, and what is written they all load."""

from onnxport.image.archive.reading import SavedImage, SavedLayer, read_archive
from onnxport.image.archive.writing import write_archive

__all__ = ["SavedImage", "SavedLayer", "read_archive", "write_archive"]
