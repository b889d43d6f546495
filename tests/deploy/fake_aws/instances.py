"""Instances that are real: each environment's image, run on this machine behind nginx, under a name on loopback."""

from __future__ import annotations

import contextlib
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.fake_aws import machines
from tests.deploy.fake_aws.images import Registry
from tests.deploy.fake_aws.names import Names
from tests.deploy.fake_aws.proxies import ConfigurationFault, Proxy
from tests.deploy.fake_aws.state import Environment, Fault, Fleet, Order

_HEALTHY_WITHIN = 60.0  # seconds


@dataclass
class Instance:
    """What runs for one environment."""

    machine: machines.Machine
    proxy: Proxy

    def stop(self) -> None:
        self.proxy.stop()
        self.machine.stop()


class Instances(Fleet):
    """folder: for files. first_port: of the names. program: an engine, or "" for processes alone."""

    def __init__(
        self,
        folder: Path,
        registry: Registry,
        first_port: int,
        *,
        program: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder, self._registry, self._program, self._say = folder, registry, program, say
        self._names = Names(first_port)
        self._running: dict[str, Instance] = {}

    def cname(self, name: str) -> str:
        return self._names.address(name)

    def endpoint(self, environment: Environment) -> str:
        found = self._running.get(environment.id)
        return f"127.0.0.1:{found.proxy.port}" if found else ""

    def log(self, environment: Environment) -> str:
        found = self._running.get(environment.id)
        return found.machine.log() if found else ""

    def point(self, cname: str, environment: Environment) -> None:
        found = self._running.get(environment.id)
        self._names.point(cname, found.proxy.port if found else None)

    def deploy(self, environment: Environment, order: Order) -> Fault | None:
        """In place of what ran, which ends first, as on a single instance."""
        self._end(environment.id)
        folder = self._folder / environment.id / str(environment.deployment)
        try:
            machine = self._machine(order, folder)
        except LookupError as err:
            return Fault(f"Failed to pull or run Docker image {order.image}: {err}")
        proxy = Proxy(folder / "nginx", machine.port, order.snippets)
        if not machines.wait_for_port(machine) and machine.ended():
            log = machine.log()
            machine.stop()
            last = (log.strip().splitlines() or ["it wrote nothing"])[-1]
            return Fault(f"Docker container quit unexpectedly after launch: {last}", log=log)
        try:
            proxy.start()
        except ConfigurationFault as err:
            machine.stop()
            return Fault(f"nginx configuration test failed: {err}")
        self._running[environment.id] = Instance(machine, proxy)
        self._names.point(environment.cname, proxy.port)
        self._say(f"{environment.name} runs {order.image}, on http://{environment.cname}")
        return self._look(proxy, order)

    def _machine(self, order: Order, folder: Path) -> machines.Machine:
        if not order.image.startswith(f"{self._registry.address}/"):
            raise LookupError("only images of the fake's own registry run here")
        if self._program:
            try:
                return machines.Container(order, self._registry, folder, self._program)
            except machines.NoEngine as err:
                self._say(
                    f"{self._program} runs no containers here ({err}); models run without one"
                )
                self._program = ""
        return machines.Process(order, self._registry, folder)

    @staticmethod
    def _look(proxy: Proxy, order: Order) -> Fault | None:
        """Asks the health path through nginx until it is well."""
        end, status = time.monotonic() + _HEALTHY_WITHIN, 0
        while time.monotonic() < end:
            status = _status(f"http://127.0.0.1:{proxy.port}{order.health_path}")
            if status == 200:
                return None
            if 400 <= status < 500:
                break
            time.sleep(0.2)
        kind = f"{status // 100}xx" if status else "5xx"
        cause = f"100.0 % of the requests are failing with HTTP {kind}. {order.health_path} answers {status}."
        return Fault("", cause=cause, log=proxy.log)

    def retire(self, environment: Environment) -> None:
        self._names.point(environment.cname, None)
        self._end(environment.id)

    def _end(self, identity: str) -> None:
        found = self._running.pop(identity, None)
        if found is not None:
            found.stop()

    def reset(self) -> None:
        for identity in list(self._running):
            self._end(identity)
        self._names.close()
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as err:
        err.close()
        return err.code
    except OSError:
        return 0
