"""The load: wrk on its own core, which sends prepared requests and tells what came of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.process import BenchmarkError

SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests answered, seconds, bytes received, latencies in microseconds; `own` is the share of the
    time that wrk itself computed: near 1, it was the limit.
    """

    requests: int
    seconds: float
    received: int
    p50: float
    p90: float
    p99: float
    slowest: float
    own: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def write_requests(
    path: Path, target: str, bodies: Sequence[bytes], headers: Mapping[str, str]
) -> None:
    """The requests as requests.lua reads them. Every server gets the same bytes; the host's name is none of theirs."""
    fixed = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with path.open("wb") as file:
        for body in bodies:
            head = (
                f"POST {target} HTTP/1.1\r\nHost: model.test\r\n{fixed}"
                f"Content-Length: {len(body)}\r\nX-Request-ID: "
            ).encode("ascii")
            tail = b"\r\n\r\n" + body
            file.write(b"%d %d\n%b%b" % (len(head), len(tail), head, tail))


def run(
    port: int,
    requests: Path,
    *,
    connections: int,
    seconds: int,
    cores: Sequence[int],
    order: str = "turns",
) -> Load:
    """Sends for some whole seconds, one request after the other on each connection. order: "turns", or "constant" for
    the same request over and over.

    Raises BenchmarkError where a request was refused, broken off, or not answered in time.
    """
    url = f"http://127.0.0.1:{port}"
    command = ["taskset", "-c", ",".join(map(str, cores)), "wrk", "-t", "1", "-c", str(connections)]
    command += ["-d", f"{seconds}s", "--timeout", "30s", "-s", str(SCRIPT), url]
    command += ["--", str(requests), order]
    before = os.times()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + 60
    )
    after = os.times()
    found = re.search(r"^figures (\{.*\})$", done.stdout, re.MULTILINE)
    if not found:
        raise BenchmarkError(f"wrk told no figures about {url}:\n{done.stdout}{done.stderr}")
    figures = json.loads(found[1])
    faults = {name: figures[name] for name in ("refused", "broken", "late") if figures[name]}
    if faults or not figures["requests"]:
        raise BenchmarkError(
            f"{url}: of {figures['requests']} requests were {faults or 'none answered'}"
        )
    computed = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    elapsed = figures["microseconds"] / 1e6
    return Load(
        requests=figures["requests"],
        seconds=elapsed,
        received=figures["received"],
        p50=figures["p50"],
        p90=figures["p90"],
        p99=figures["p99"],
        slowest=figures["slowest"],
        own=computed / elapsed,
    )
