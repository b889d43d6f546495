"""Where things lie in an archive.

Docker's layout: https://github.com/moby/docker-image-spec, `manifest.json` with configurations and layers by name.
OCI's: https://github.com/opencontainers/image-spec/blob/main/image-layout.md, `index.json` with blobs by digest.
"""

from __future__ import annotations

MANIFEST, INDEX, LAYOUT = "manifest.json", "index.json", "oci-layout"
BLOBS = "blobs/sha256/"


def place(digest: str) -> str:
    """The name of a blob."""
    return BLOBS + digest.removeprefix("sha256:")
