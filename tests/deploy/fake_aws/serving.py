"""The fake as a server: moto, the registry and what stands before them, in one process on loopback."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server

from tests.deploy.fake_aws.clock import Clock
from tests.deploy.fake_aws.state import Fleet, World

RATE = 100.0  # the fake's seconds for each of ours
TICK = 0.2  # seconds between looks at what is due


@contextmanager
def serving(
    port: int,
    registry: str,
    *,
    rate: float = RATE,
    fleet: Callable[[World], Fleet] | None = None,
) -> Iterator[World]:
    """Serves until the block ends. registry: its address, or "". fleet: makes the instances."""
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # read when moto is imported
    from moto.backends import get_backend
    from moto.moto_api._internal.models import moto_api_backend
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )

    from tests.deploy.fake_aws import ecr, graft, policies
    from tests.deploy.fake_aws.control import Control
    from tests.deploy.fake_aws.front import Front
    from tests.deploy.fake_aws.images import PASSWORD, Registry

    world = World(Clock(rate), registry=registry)
    if fleet is not None:
        world.fleet = fleet(world)
    graft.graft(world)
    policies.graft()
    images = Registry(registry, PASSWORD) if registry else None
    if images:
        ecr.graft(images)
    get_backend("iam")

    def reset() -> None:
        moto_api_backend.reset()
        if images:
            images.empty()

    control = Control(world, rate, reset)
    front = Front(DomainDispatcherApplication(create_backend_app), world, control)
    control.calls, control.forget = lambda: front.seen, front.seen.clear
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"

        def connection_dropped(self, *_: object) -> None:
            """Werkzeug would wait for the next request, and the caller for this one's answer."""
            self.close_connection = True

    server = make_server("127.0.0.1", port, front, threaded=True, request_handler=Handler)
    world.url = f"http://127.0.0.1:{server.server_port}"
    with _in_a_thread(server), _ticking(world):
        try:
            yield world
        finally:
            with world.lock:
                world.fleet.reset()


@contextmanager
def _in_a_thread(server: BaseWSGIServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


@contextmanager
def _ticking(world: World) -> Iterator[None]:
    """Time passes also while nobody calls."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(TICK):
            world.settle()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=30)


def variables(world: World, region: str = "us-east-1") -> dict[str, str]:
    """What leads an AWS client here: botocore's own variables, and credentials that open nothing else."""
    return {
        "AWS_ENDPOINT_URL": world.url,
        "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKEFAKE",
        "AWS_SECRET_ACCESS_KEY": "none-that-opens-anything",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def main(port: int, folder: Path, rate: float, tell: Callable[[str], Any], *, live: bool) -> None:
    """Serves until SIGTERM or SIGINT; tells the URL when it is up. live: with instances that run the images' models."""
    from tests.deploy.fake_aws.docker_registry import docker_registry

    with contextlib.ExitStack() as stack:
        registry = ""
        with contextlib.suppress(FileNotFoundError):
            registry = stack.enter_context(docker_registry(folder / "registry"))

        def fleet(_: World) -> Fleet:
            from tests.deploy.fake_aws.images import PASSWORD, Registry
            from tests.deploy.fake_aws.instances import Instances

            return Instances(folder / "instances", Registry(registry, PASSWORD), 0)

        world = stack.enter_context(
            serving(port, registry, rate=rate, fleet=fleet if live else None)
        )
        tell(f"fake AWS on {world.url} registry {registry or 'none'}")
        stopped()


def stopped() -> None:
    """Waits for SIGTERM or SIGINT. By looking: a handler may not take the locks of an Event that is waited for."""
    heard: list[int] = []
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, lambda number, _: heard.append(number))
    while not heard:
        time.sleep(0.1)
