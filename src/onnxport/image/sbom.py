"""The list of what an image holds, as CycloneDX 1.6 (ECMA-424): libraries from their wheels, packages of the base."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from onnxport.errors import BuildError
from onnxport.image.base_image import BaseImage
from onnxport.image.contents import own_version
from onnxport.image.labels import created
from onnxport.image.parts import canonical
from onnxport.modelfile import ModelFile


@dataclass(frozen=True, slots=True)
class Library:
    """A wheel by its own metadata. licence: an SPDX expression or a name, or "". sha256: the file's."""

    name: str
    version: str
    licence: str
    is_expression: bool
    sha256: str


def write_sbom(model: ModelFile, base: BaseImage, wheels: Sequence[Path]) -> bytes:
    """The document as JSON. The same inputs give the same bytes: its time is the model's."""
    components = [
        *(_library(read_wheel(wheel)) for wheel in wheels),
        _own(),
        _python(base),
        *_system(base),
        *_packages(base),
    ]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": created(model),
            "tools": {"components": [_own() | {"type": "application"}]},
            "component": _model(model),
        },
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
    }
    return canonical(document)


def read_wheel(path: Path) -> Library:
    """Raises BuildError for a wheel without metadata."""
    try:
        with zipfile.ZipFile(path) as archive:
            [place] = [
                n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)
            ]
            facts = BytesParser().parsebytes(archive.read(place), headersonly=True)
    except (OSError, ValueError, zipfile.BadZipFile) as err:
        raise BuildError(f"{path.name} has no metadata that can be read; remove it") from err
    expression = facts.get("License-Expression", "")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    name = re.sub(r"[-_.]+", "-", str(facts["Name"])).lower()
    licence = expression or _licence(facts)
    return Library(name, str(facts["Version"]), licence, bool(expression), digest)


def _licence(facts: Message) -> str:
    """The name in the classifiers, else the first line of the field that older wheels have."""
    for classifier in facts.get_all("Classifier", []):
        if str(classifier).startswith("License :: "):
            return str(classifier).rpartition(" :: ")[2]
    return str(facts.get("License", "")).strip().split("\n")[0][:100]


def _library(library: Library) -> dict[str, Any]:
    url = f"pkg:pypi/{library.name}@{library.version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": url,
        "name": library.name,
        "version": library.version,
        "purl": url,
        "hashes": [{"alg": "SHA-256", "content": library.sha256}],
    }
    if library.is_expression:
        component["licenses"] = [{"expression": library.licence}]
    elif library.licence:
        component["licenses"] = [{"license": {"name": library.licence}}]
    return component


def _own() -> dict[str, Any]:
    """Without a package URL: no index has it yet, and a scanner would find another's."""
    return {
        "type": "library",
        "bom-ref": "onnxport",
        "name": "onnxport",
        "version": own_version(),
        "licenses": [{"expression": "Apache-2.0"}],
    }


def _python(base: BaseImage) -> dict[str, Any]:
    version = base.interpreter.version
    return {
        "type": "platform",
        "bom-ref": "python",
        "name": "python",
        "version": version,
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }


def _system(base: BaseImage) -> Iterator[dict[str, Any]]:
    """Scanners look for it to know whose list of vulnerabilities counts."""
    if base.distribution:
        yield {
            "type": "operating-system",
            "bom-ref": "system",
            "name": base.distribution,
            **({"version": base.release} if base.release else {}),
        }


def _packages(base: BaseImage) -> Iterator[dict[str, Any]]:
    vendor = re.sub(r"[^a-z0-9.-]", "", base.distribution) or "debian"
    distro = f"&distro={vendor}-{quote(base.release)}" if base.release else ""
    for package in base.packages:
        named = f"{quote(package.name)}@{quote(package.version)}?arch={quote(package.architecture)}"
        url = f"pkg:deb/{vendor}/{named}{distro}"
        yield {
            "type": "library",
            "bom-ref": url,
            "name": package.name,
            "version": package.version,
            "purl": url,
        }


def _model(model: ModelFile) -> dict[str, Any]:
    digest = hashlib.sha256(model.content).hexdigest()
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": model.manifest.name,
        "version": model.manifest.version,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
