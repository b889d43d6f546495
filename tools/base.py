"""Makes build/base-slim.tar, the smallest base for `onnxport build --base`: Debian's Python and what it links to, from
this machine's own package sources, without a shell, a package manager or pip.

`python tools/base.py` needs Debian or Ubuntu with mmdebstrap, and root or unprivileged user namespaces. The same
packages give the same bytes.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence, Set
from io import BytesIO
from pathlib import Path

from onnxport.errors import OnnxportError
from onnxport.image.archive import write_archive
from onnxport.image.bytecode import MINOR, compile_tree
from onnxport.image.layers import compress
from onnxport.image.parts import Image, canonical
from onnxport.image.replay import own_platform
from onnxport.image.rootfs import Root
from onnxport.image.store import Store

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "base-slim.tar"
LIST = ROOT / "tools" / "base-files.txt"

PACKAGES = (
    *("base-files", "ca-certificates", "libstdc++6", "tzdata"),
    *(f"python3.{MINOR}-minimal", f"libpython3.{MINOR}-stdlib"),
)
# What each package says of itself, and which files it brings; at this moment alone they all lie there.
HOOK = """
for deb in "$1"/var/cache/apt/archives/*.deb; do
  dpkg-deb --field "$deb" >>"$1"/descriptions && echo >>"$1"/descriptions
  echo "Package: $(dpkg-deb --field "$deb" Package)" >>"$1"/contents
  dpkg-deb --fsys-tarfile "$deb" | tar --list >>"$1"/contents
done
"""
USERS = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:10001:10001:nonroot:/tmp:/sbin/nologin\n"
GROUPS = "root:x:0:\nnonroot:x:10001:\n"
NAMES = "passwd: files\ngroup: files\nhosts: files dns\n"
LICENCES = "usr/share/doc/"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
FOLDERS = {
    "tmp": 0o1777,
    "dev": 0o755,
    "proc": 0o755,
    "run": 0o755,
    "sys": 0o755,
    "var/tmp": 0o1777,
}


def main() -> int:
    sources = package_sources()
    if not sources:
        print(
            "tools/base.py: this machine has no Debian package sources in /etc/apt", file=sys.stderr
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "packages.tar")
        if not download(raw, sources):
            return 1
        try:
            size = write_base(raw, Path(folder))
        except OnnxportError as err:
            print(f"tools/base.py: {err}", file=sys.stderr)
            return 1
    print(f"wrote {TARGET.relative_to(ROOT)}, {size / 1e6:.1f} MB unpacked")
    return 0


def package_sources() -> str:
    """The distribution's own entries of this machine's apt, as apt reads them; those of other vendors aren't needed."""
    facts = Path("/etc/os-release").read_text("utf-8")
    found = re.search(r"^VERSION_CODENAME=(\S+)", facts, re.MULTILINE)
    codename = found[1] if found else "-"
    apt = Path("/etc/apt")
    stanzas = [
        stanza
        for path in sorted(apt.glob("sources.list.d/*.sources"))
        for stanza in re.split(r"\n\s*\n", path.read_text("utf-8"))
        if re.search(rf"^Suites:.*\b{re.escape(codename)}\b", stanza, re.MULTILINE)
    ]
    lines = [
        line
        for path in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
        if path.exists()
        for line in path.read_text("utf-8").splitlines()
        if re.match(rf"deb .*\s{re.escape(codename)}(?:[-/]\S+)?\s+main\b", line)
    ]
    return "\n\n".join(stanzas) if stanzas else "\n".join(lines)


def download(raw: Path, sources: str) -> bool:
    """Unpacks the packages and all that they depend on into a tar."""
    command = [
        *("mmdebstrap", "--quiet", "--variant=extract", "--format=tar", f"--extract-hook={HOOK}"),
        *(f"--include={','.join(PACKAGES)}", "", str(raw), "-"),
    ]
    try:
        done = subprocess.run(
            command, input=sources, text=True, stderr=subprocess.PIPE, check=False
        )
    except FileNotFoundError:
        print(
            "tools/base.py: mmdebstrap is missing: sudo apt-get install mmdebstrap", file=sys.stderr
        )
        return False
    if done.returncode != 0:
        print(f"tools/base.py: {why(done.stderr)}", file=sys.stderr)
    return done.returncode == 0


def why(said: str) -> str:
    if "Unable to locate package" in said:
        return (
            f"this machine's package sources have no Python 3.{MINOR}, which runs here; "
            "make clean, then make PYTHON=/usr/bin/python3 base"
        )
    return f"mmdebstrap failed; it said:\n{said[-2000:]}"


def write_base(raw: Path, folder: Path) -> int:
    """The archive, of one layer. Gives the bytes of its files."""
    root, tree = folder / "root", folder / "base.tar"
    with tarfile.open(raw) as tar:
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)  # since Python 3.11.4
        members = {member.name.removeprefix("./"): member for member in tar}
        rules = patterns()
        kept = {name for name in members if is_kept(name, rules)}
        packages = owners(read(tar, members["contents"]), kept) | {"ca-certificates"}
        kept -= {name for name in kept if name.startswith(LICENCES)}
        kept |= licences(members, packages)
        for name in sorted(kept):
            members[name].name = name
            tar.extract(members[name], root)
        texts = {
            CERTIFICATES: certificates(tar, members),
            "var/lib/dpkg/status": descriptions(read(tar, members["descriptions"]), packages),
            "etc/passwd": USERS,
            "etc/group": GROUPS,
            "etc/nsswitch.conf": NAMES,
        }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    add_links(root)
    compile_tree(root / f"usr/lib/python3.{MINOR}", f"usr/lib/python3.{MINOR}")
    write_tar(root, tree)
    store = Store(folder / "store")
    with tree.open("rb") as stream:
        layer = compress(store, "base", stream, 0)
    with tree.open("rb") as stream:
        unpacked = Root().add(stream).unpacked
    TARGET.parent.mkdir(exist_ok=True)
    write_archive(Image(own_platform(), config(layer.diff_id), (layer,)), None, TARGET)
    return unpacked


def patterns() -> list[str]:
    lines = LIST.read_text("utf-8").format(minor=MINOR).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_kept(name: str, rules: Sequence[str]) -> bool:
    kept = False
    for rule in rules:
        if fnmatch.fnmatchcase(name, rule.removeprefix("!")):
            kept = not rule.startswith("!")
    return kept


def certificates(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> str:
    """The bundle that the package's own script would make."""
    wanted = sorted(
        name for name in members if fnmatch.fnmatch(name, "usr/share/ca-certificates/*/*.crt")
    )
    return "".join(read(tar, members[name]).strip() + "\n" for name in wanted)


def owners(contents: str, kept: Set[str]) -> set[str]:
    """The packages of which more is kept than their licence."""
    found: set[str] = set()
    package = ""
    for line in contents.splitlines():
        if line.startswith("Package: "):
            package = line.removeprefix("Package: ")
        elif line.removeprefix("./") in kept and not line.startswith(f"./{LICENCES}"):
            found.add(package)
    return found


def licences(members: Mapping[str, tarfile.TarInfo], packages: Set[str]) -> set[str]:
    """The files of their licences, and the links to those of another package."""
    links = {f"{LICENCES}{name}" for name in packages} & members.keys()
    targets = {members[link].linkname.rpartition("/")[2] for link in links if members[link].issym()}
    files = {f"{LICENCES}{name}/copyright" for name in packages | targets}
    return (files & members.keys()) | {link for link in links if members[link].issym()}


def descriptions(text: str, packages: Set[str]) -> str:
    """dpkg's own list, by which scanners know what is there."""
    found = {
        paragraph.partition("\n")[0].removeprefix("Package: "): paragraph
        for paragraph in map(str.strip, text.split("\n\n"))
    }
    return "".join(f"{found[name]}\nStatus: install ok installed\n\n" for name in sorted(packages))


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    stream = tar.extractfile(member) or BytesIO()
    return stream.read().decode("utf-8")


def add_links(root: Path) -> None:
    for name in ("python3", "python"):
        (root / "usr/bin" / name).symlink_to(f"python3.{MINOR}")
    for name, mode in FOLDERS.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)


def write_tar(root: Path, target: Path) -> None:
    """Sorted, owned by root, without times."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            info = tar.gettarinfo(path, path.relative_to(root).as_posix())
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = ""
            info.mode = mode_of(info)
            info.type = tarfile.REGTYPE if info.islnk() else info.type
            info.size = path.stat().st_size if info.isreg() else 0
            with path.open("rb") if info.isreg() else BytesIO() as stream:
                tar.addfile(info, stream)


def mode_of(info: tarfile.TarInfo) -> int:
    if info.name in FOLDERS:
        return FOLDERS[info.name]
    is_program = info.isdir() or info.issym() or info.mode & 0o100
    return 0o755 if is_program else 0o644


def config(diff_id: str) -> bytes:
    """Of a base: where programs are, and that text is UTF-8."""
    return canonical(
        {
            "architecture": own_platform().architecture,
            "config": {
                "Env": ["PATH=/usr/bin", "LANG=C.UTF-8"],
                "Labels": {"org.opencontainers.image.title": f"python 3.{MINOR}, slim"},
            },
            "created": "1970-01-01T00:00:00Z",
            "history": [{"created_by": "onnxport: make base"}],
            "os": "linux",
            "rootfs": {"diff_ids": [diff_id], "type": "layers"},
        }
    )


if __name__ == "__main__":
    sys.exit(main())
