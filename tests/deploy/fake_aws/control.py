"""The fake's control over HTTP, for loopback alone: failures to come, calls that came, time, and a clean start.

GET  /onnxport-fake/state    the time, its rate, environments with status, health, CNAME and version
GET  /onnxport-fake/calls    all calls since the start: service, operation, region, parameters, status, error
GET  /onnxport-fake/scripts  the failures there are
POST /onnxport-fake/script   {"fail": name, "times": n, "operation": ..., "environment": ..., "service": ...}
POST /onnxport-fake/advance  {"seconds": n}
POST /onnxport-fake/clock    {"rate": n}: seconds of the fake's for each of ours; 0 stops it
POST /onnxport-fake/used     {"stack": name}: a platform that the account has used before
POST /onnxport-fake/reset    all as in the beginning, but {"rate": n} if given
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from tests.deploy.fake_aws.clock import as_date
from tests.deploy.fake_aws.scripts import FAILURES, Script
from tests.deploy.fake_aws.state import World


@dataclass
class Control:
    """reset: brings moto's own services back to their beginning. calls: as they came."""

    world: World
    rate: float
    reset: Callable[[], None]
    calls: Callable[[], list[Any]] = field(default=list)
    forget: Callable[[], None] = field(default=lambda: None)

    def answer(
        self, name: str, environ: WSGIEnvironment, body: bytes, start: StartResponse
    ) -> Iterable[bytes]:
        status, document = "200 OK", {}
        try:
            document = self._do(name, environ["REQUEST_METHOD"], json.loads(body or b"{}"))
        except (ValueError, TypeError, KeyError) as err:
            status, document = "400 Bad Request", {"error": f"{type(err).__name__}: {err}"}
        except LookupError as err:
            status, document = "404 Not Found", {"error": str(err)}
        content = json.dumps(document, default=str).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
        start(status, headers)
        return [content]

    def _do(self, name: str, method: str, given: dict[str, Any]) -> Any:
        world = self.world
        match method, name:
            case "GET", "state":
                return self._state()
            case "GET", "calls":
                return [dataclasses.asdict(one) for one in self.calls()]
            case "GET", "scripts":
                return FAILURES
            case "POST", "script":
                return self._script(given)
            case "POST", "advance":
                world.clock.advance(float(given["seconds"]))
                world.settle()
                return self._state()
            case "POST", "clock":
                world.clock.set_rate(float(given["rate"]))
                return self._state()
            case "POST", "used":
                world.used_platforms.append(str(given["stack"]))
                return self._state()
            case "POST", "reset":
                with world.lock:
                    self.reset()
                    world.reset(float(given.get("rate", self.rate)))
                    self.forget()
                return self._state()
        raise LookupError(f"{method} {name} is none of: {__doc__}")

    def _script(self, given: dict[str, Any]) -> Any:
        script = Script(**given)
        if script.fail not in FAILURES:
            raise ValueError(f"{script.fail} is none of {', '.join(FAILURES)}")
        self.world.scripts.add(script)
        return dataclasses.asdict(script)

    def _state(self) -> dict[str, Any]:
        world = self.world
        world.settle()
        environments = [
            {
                "region": cloud.region,
                "name": one.name,
                "id": one.id,
                "status": one.status,
                "health": one.health,
                "cname": one.cname,
                "version": one.version,
            }
            for cloud in world.clouds.values()
            for one in cloud.environments
        ]
        now = as_date(world.clock.now()).isoformat()
        clock = {"now": now, "rate": world.clock.rate}
        return {**clock, "environments": environments, "faults": world.faults}
