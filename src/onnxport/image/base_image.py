"""The base image: fetched from a registry or read from an archive, its layers kept, its Python found in them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxport.errors import BuildError
from onnxport.image.archive import SavedImage, read_archive
from onnxport.image.bytecode import MINOR
from onnxport.image.contents import LIBRARIES, MODEL, PACKAGE
from onnxport.image.interpreter import NEWEST, OLDEST, Interpreter, find_interpreter
from onnxport.image.layers import compress, describe, restore
from onnxport.image.manifests import Config, parse_config, parse_manifest
from onnxport.image.memory import recall, remember
from onnxport.image.parts import Layer, Platform, digest_of
from onnxport.image.reference import Reference, parse_reference
from onnxport.image.rootfs import Root
from onnxport.image.store import Store

if TYPE_CHECKING:
    from onnxport.image.registry import Registry

Connect = Callable[[Reference], "AbstractContextManager[Registry]"]

TITLE = "base"
_REPOSITORY = "public.ecr.aws/docker/library/python"  # the official image, where anonymous pulls aren't counted
_ARCHIVE = re.compile(r"(?:\./|\.\./|/|~).*|.*\.(?:tar|tgz|tar\.gz)")
_FORM = 4  # counts up with each change of what is kept about a base
_MAX_PACKAGES = 5000


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package that the base holds."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What an image is built on. name: its reference, or "" for an archive. digest: of its manifest, for an archive of
    its configuration. config: its settings such as Env, in Docker's words. distribution and release:
    such as "debian" and "12", or "".
    """

    name: str
    digest: str
    platform: Platform
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    interpreter: Interpreter
    packages: tuple[Package, ...]
    distribution: str
    release: str


def default_base() -> str:
    """The official slim image of the Python that runs here, so that bytecode can be compiled for it."""
    return f"{_REPOSITORY}:3.{min(max(MINOR, OLDEST), NEWEST)}-slim"


def open_base(given: str | None, platform: Platform, store: Store, connect: Connect) -> BaseImage:
    """The base for one platform. given: a reference, the path of a saved image, or None for the default.

    Raises BuildError where it can't be had, or where nothing of ours could run on it.
    """
    text = default_base() if given is None else given
    if given is not None and (Path(given).is_file() or _ARCHIVE.fullmatch(given)):
        return _from_archive(Path(given), platform, store)
    return _from_registry(parse_reference(text), platform, store, connect, is_default=given is None)


def _from_registry(
    reference: Reference, platform: Platform, store: Store, connect: Connect, *, is_default: bool
) -> BaseImage:
    named = str(replace(reference, digest=None)) if reference.tag else reference.name
    pinned = {"pinned": reference.digest, "platform": str(platform)}
    if reference.digest and (known := recall(store, "pins", pinned)):
        base = _recalled(store, named, str(known.get("digest")), platform)
        if base is not None:
            return base
    try:
        with connect(reference) as registry:
            manifest = registry.fetch_manifest(reference, platform)
            base = _recalled(store, named, manifest.digest, platform)
            if base is None:
                base = _fetched(registry, reference, named, manifest, platform, store)
    except BuildError as err:
        if not is_default:
            raise
        raise BuildError(
            f"the default base can't be had: {err}; give another with --base, a reference or an image.tar",
            command=err.command,
            output=err.output,
        ) from err
    if reference.digest:
        remember(store, "pins", pinned, {"digest": base.digest})
    return base


def _fetched(
    registry: Registry,
    reference: Reference,
    named: str,
    manifest: Any,
    platform: Platform,
    store: Store,
) -> BaseImage:
    parsed = parse_manifest(manifest.content)
    document = registry.fetch_blob(
        reference,
        parsed.config.digest,
        parsed.config.size,
        store,
        title="configuration of the base",
    )
    config = parse_config(document.path.read_bytes())
    _check_platform(config, platform, named)
    if len(config.diff_ids) != len(parsed.layers):
        raise BuildError(f"base {named}: its configuration tells of other layers than its manifest")
    layers = []
    for descriptor, diff_id in zip(parsed.layers, config.diff_ids, strict=True):
        blob = registry.fetch_blob(
            reference, descriptor.digest, descriptor.size, store, title=TITLE
        )
        if descriptor.compression == "gzip":
            layers.append(Layer(blob, diff_id, 0, TITLE))
        else:
            with blob.path.open("rb") as tar:
                layers.append(compress(store, TITLE, tar, 0))
    return _examined(store, named, manifest.digest, config, layers)


def _from_archive(path: Path, platform: Platform, store: Store) -> BaseImage:
    if not path.is_file():
        raise BuildError(
            f"base {path}: there is no such file; save one with docker save, or make base"
        )
    facts = path.stat()
    seen = {
        "path": str(path.resolve()),
        "size": facts.st_size,
        "changed": [facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino],
        "platform": str(platform),
    }
    known = recall(store, "archives", seen)
    base = _recalled(store, "", str(known.get("digest")), platform) if known else None
    if base is None:
        base = _read(path, platform, store)
        remember(store, "archives", seen, {"digest": base.digest})
    return base


def _read(path: Path, platform: Platform, store: Store) -> BaseImage:
    saved = _chosen(read_archive(path), platform, path)
    digest = digest_of(saved.config)
    base = _recalled(store, "", digest, platform)
    if base is not None:
        return base
    layers = []
    for layer in saved.layers:
        with layer.open() as tar:
            layers.append(compress(store, TITLE, tar, 0))
    return _examined(store, "", digest, parse_config(saved.config), layers)


def _chosen(images: Sequence[SavedImage], platform: Platform, path: Path) -> SavedImage:
    """The one for the platform. Raises BuildError where there is none, or where it isn't clear which is meant."""
    fitting = [image for image in images if parse_config(image.config).platform == platform]
    if not fitting:
        _check_platform(parse_config(images[0].config), platform, str(path))
    if len({image.config for image in fitting}) > 1:
        raise BuildError(
            f"base {path} holds {len(fitting)} images for {platform}; save the one that is meant alone"
        )
    return fitting[0]


def _check_platform(config: Config, platform: Platform, name: str) -> None:
    if config.platform != platform:
        raise BuildError(
            f"base {name} is for {config.platform}, and the image is for {platform}; give another --base, "
            f"or --platform {config.platform}"
        )


def _examined(
    store: Store, name: str, digest: str, config: Config, layers: Sequence[Layer]
) -> BaseImage:
    """Reads all layers once, checks them, and keeps what was found."""
    root, told = Root(), name or "image"
    checked = []
    for layer, diff_id in zip(layers, config.diff_ids, strict=True):
        with gzip.open(layer.blob.path) as tar:
            scanned = root.add(tar)  # type: ignore[arg-type]
        if scanned.diff_id != diff_id:
            raise BuildError(
                f"base {told}: a layer isn't the one that its configuration names; fetch or save it again"
            )
        checked.append(replace(layer, unpacked=scanned.unpacked))
    _check_places(root, told)
    settings = config.document.get("config") or {}
    base = BaseImage(
        name=name,
        digest=digest,
        platform=config.platform,
        config=settings,
        layers=tuple(checked),
        interpreter=find_interpreter(root, config.platform, _search_path(settings), told),
        packages=tuple(_packages(root)),
        distribution=_of_system(root, b"ID"),
        release=_of_system(root, b"VERSION_ID"),
    )
    remember(store, "bases", _key(digest, config.platform), _to_json(base))
    return base


def _check_places(root: Root, name: str) -> None:
    """Another model, or libraries of another version, would stay beside those that the image is to have."""
    for place in (LIBRARIES, PACKAGE, MODEL):
        if root.names(f"/{place}"):
            raise BuildError(
                f"base {name}: it is a model's image already, its /{place} isn't empty; give the base of that image"
            )


def _search_path(settings: Mapping[str, Any]) -> str:
    entries = settings.get("Env")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, str) and entry.startswith("PATH="):
            return entry.removeprefix("PATH=")
    return ""


def _packages(root: Root) -> Iterator[Package]:
    """By dpkg's own list, and by the files that distroless images have in its place."""
    nodes = [root.find("/var/lib/dpkg/status")]
    folder = "/var/lib/dpkg/status.d"
    nodes += [root.find(f"{folder}/{name}") for name in root.names(folder)]
    text = b"\n\n".join(node.content for node in nodes if node).decode("utf-8", "replace")
    for paragraph in text.split("\n\n")[:_MAX_PACKAGES]:
        facts = dict(
            re.findall(r"^(Package|Version|Architecture): (\S+)$", paragraph, re.MULTILINE)
        )
        if len(facts) == 3:
            yield Package(facts["Package"], facts["Version"], facts["Architecture"])


def _of_system(root: Root, name: bytes) -> str:
    """A field of os-release(5), or ""."""
    node = root.find("/etc/os-release") or root.find("/usr/lib/os-release")
    pattern = rb"^%b=\"?([a-z0-9._-]+)" % name
    found = re.search(pattern, node.content, re.MULTILINE) if node else None
    return found[1].decode() if found else ""


# ------------------------------------------------------------------------------------------------- what is kept


def _key(digest: str, platform: Platform) -> Mapping[str, Any]:
    return {"digest": digest, "platform": str(platform), "form": _FORM}


def _to_json(base: BaseImage) -> dict[str, Any]:
    return {
        "config": dict(base.config),
        "layers": [describe(layer) for layer in base.layers],
        "interpreter": asdict(base.interpreter),
        "packages": [asdict(package) for package in base.packages],
        "distribution": base.distribution,
        "release": base.release,
    }


def _recalled(store: Store, name: str, digest: str, platform: Platform) -> BaseImage | None:
    """What was found about this digest before, if all its layers are still there."""
    known = recall(store, "bases", _key(digest, platform))
    if known is None:
        return None
    try:
        layers = [restore(store, layer) for layer in known["layers"]]
        if any(layer is None for layer in layers):
            return None
        found = known["interpreter"]
        found |= {"glibc": tuple(found["glibc"]), "unwanted": tuple(found["unwanted"])}
        return BaseImage(
            name=name,
            digest=digest,
            platform=platform,
            config=known["config"],
            layers=tuple(layer for layer in layers if layer is not None),
            interpreter=Interpreter(**found),
            packages=tuple(Package(**package) for package in known["packages"]),
            distribution=str(known["distribution"]),
            release=str(known["release"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
