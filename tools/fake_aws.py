"""An Amazon Web Services on loopback to rehearse `onnxport deploy` on: `make fake-aws PORT=5566`, Ctrl-C ends it.

Starts the AWS operations, a registry, and for each environment that is deployed its image's model behind nginx, with
127.0.0.1:PORT as CNAME. Writes the variables that lead clients there to build/fake-aws.env.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from onnxport.errors import OnnxportError  # noqa: E402
from onnxport.image.engine import find_engine  # noqa: E402
from tests.deploy.fake_aws.docker_registry import docker_registry  # noqa: E402
from tests.deploy.fake_aws.images import PASSWORD, Registry  # noqa: E402
from tests.deploy.fake_aws.instances import Instances  # noqa: E402
from tests.deploy.fake_aws.names import first_free  # noqa: E402
from tests.deploy.fake_aws.serving import serving, stopped, variables  # noqa: E402
from tests.deploy.fake_aws.state import World  # noqa: E402

VARIABLES = ROOT / "build" / "fake-aws.env"
BASE = ROOT / "build" / "base-slim.tar"
RATE = 30.0
PROGRAMS = ("docker-registry", "nginx")


def main(words: Sequence[str]) -> int:
    given = parse(words)
    with ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):  # before `stopped` listens
        try:
            world = stack.enter_context(rehearsal(given))
        except OSError as err:
            print(f"fake-aws: {err}", file=sys.stderr)
            return 1
        told = variables(world, given.region)
        write(told, given.variables)
        stack.callback(given.variables.unlink, missing_ok=True)
        announce(told, world, given)
        stopped()
        say("stopping")
    return 0


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fake_aws", description=__doc__)
    parser.add_argument("--port", type=int, default=5566, help="of the AWS operations")
    parser.add_argument("--rate", type=float, default=RATE, help="AWS's seconds for each of ours")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--variables", type=Path, default=VARIABLES, help="file to write")
    parser.add_argument(
        "--engine",
        default="auto",
        help="docker or podman runs the images; none: this machine's Python runs their models; auto: what is there",
    )
    return parser.parse_args(words)


@contextmanager
def rehearsal(given: argparse.Namespace) -> Iterator[World]:
    """All of it, until the block ends. Raises OSError where a program lacks, the port is taken, or another one has the
    file of variables.
    """
    missing = [
        one for one in PROGRAMS if shutil.which(one, path=f"{os.environ['PATH']}:/usr/sbin") is None
    ]
    if missing:
        raise OSError(
            f"{' and '.join(missing)} not installed; tools/system-packages installs what lacks"
        )
    try:
        socket.create_server(("127.0.0.1", given.port)).close()
    except OSError as err:
        raise OSError(
            f"port {given.port} is taken; choose another: make fake-aws PORT=..."
        ) from err
    if other := still_led_to(given.variables):
        raise OSError(
            f"{os.path.relpath(given.variables)} leads to a rehearsal that runs on {other}; end that one, or give "
            "this one a file of its own: make fake-aws PORT=... ARGS='--variables build/other.env'"
        )
    if not BASE.exists():
        make_base()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onnxport-fake-aws-")))

        def take(port: int) -> str:
            return stack.enter_context(docker_registry(folder / "registry", port))

        registry = first_free(given.port + 1, take)
        first_name = int(registry.rpartition(":")[2]) + 1
        make = functools.partial(
            instances, folder / "instances", registry, first_name, engine(given.engine)
        )
        world = stack.enter_context(serving(given.port, registry, rate=given.rate, fleet=make))
        yield world


def still_led_to(variables: Path) -> str:
    """The host and port that a file of variables leads to, if a rehearsal answers there, else ""."""
    try:
        found = re.search(r"AWS_ENDPOINT_URL=http://([^\s/]+)", variables.read_text("utf-8"))
        if found is None:
            return ""
        with contextlib.closing(HTTPConnection(found[1], timeout=5)) as caller:
            caller.request("GET", "/onnxport-fake/state")
            return found[1] if caller.getresponse().status == HTTPStatus.OK else ""
    except (OSError, HTTPException):
        return ""


def instances(folder: Path, registry: str, first: int, program: str, _: World) -> Instances:
    return Instances(folder, Registry(registry, PASSWORD), first, program=program, say=say)


def engine(name: str) -> str:
    """The program of the engine, or "" for none."""
    if name == "none":
        return ""
    try:
        return find_engine(None if name == "auto" else name).program
    except OnnxportError as err:
        if name != "auto":
            raise OSError(str(err)) from err
        return ""


def make_base() -> None:
    """A base image of this machine's own, since none can be pulled in a rehearsal; its maker says what it lacks."""
    say("making a base image, once")
    subprocess.run([sys.executable, str(ROOT / "tools" / "base.py")], check=False)


def write(told: dict[str, str], path: Path) -> None:
    """For the shell, complete from the first moment."""
    path.parent.mkdir(exist_ok=True)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in told.items()]
    new = path.with_suffix(".new")
    new.write_text("\n".join(lines) + "\n", "utf-8")
    new.replace(path)


def announce(told: dict[str, str], world: World, given: argparse.Namespace) -> None:
    print(given.variables.read_text("utf-8"), end="", flush=True)
    say(f"AWS is on {told['AWS_ENDPOINT_URL']}, its registry on {world.registry}")
    say(f"{given.rate:g} of its seconds pass in one of ours")
    with contextlib.suppress(ValueError):
        say(f"in another terminal: source {os.path.relpath(given.variables)}")
        if BASE.exists():
            say(f"and build on the local base: onnxport deploy --base {os.path.relpath(BASE)}")
    say("Ctrl-C ends all")


def say(text: str) -> None:
    print(f"fake-aws: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
