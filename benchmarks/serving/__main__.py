"""python -m benchmarks.serving: the whole serving benchmark, or a part of it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median

from benchmarks.serving import machine
from benchmarks.serving.process import BenchmarkError
from benchmarks.serving.rounds import Bench, Measurement, run_scenario
from benchmarks.serving.scenarios import SCENARIOS
from benchmarks.serving.servers import NGINX

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    args = _arguments()
    cores = machine.cores()
    bench = Bench(
        ROOT / "build" / "bench",
        rounds=args.rounds,
        seconds=1 if args.quick else args.seconds,
        server_cores=cores[:1],
        load_cores=cores[1:2] or cores,
    )
    os.sched_setaffinity(0, bench.load_cores)
    chosen = [s for s in SCENARIOS if not args.only or s.name in args.only]
    try:
        for scenario in chosen:
            servers = [s for s in scenario.servers if not args.servers or s in args.servers]
            print(f"{scenario.name}: {scenario.connections} connections", flush=True)
            found: list[Measurement] = []
            for measurement in run_scenario(scenario, servers, bench):
                found.append(measurement)
                print(_line(measurement, found), flush=True)
            _summary(found)
    except BenchmarkError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


def _line(m: Measurement, found: list[Measurement]) -> str:
    bound = [f for f in found if f.server == NGINX.name and f.round == m.round]
    ratio = f"{m.load.rate / bound[0].load.rate:6.3f}" if bound else "     -"
    return (
        f"  round {m.round}  {m.server:20} {m.load.rate:9.0f}/s  {ratio} of nginx  {m.cpu:8.1f} µs cpu  "
        f"p50 {m.load.p50 / 1000:7.2f}  p99 {m.load.p99 / 1000:7.2f} ms  {m.resident / 2**20:5.0f} MiB  "
        f"wrk {m.load.own:4.0%}"
    )


def _summary(found: list[Measurement]) -> None:
    for name in dict.fromkeys(m.server for m in found):
        mine = [m for m in found if m.server == name]
        bound = {m.round: m.load.rate for m in found if m.server == NGINX.name}
        ratios = [m.load.rate / bound[m.round] for m in mine if m.round in bound]
        print(
            f"  median   {name:20} {median(m.load.rate for m in mine):9.0f}/s  "
            f"{median(ratios) if ratios else 0:6.3f} of nginx  {median(m.cpu for m in mine):8.1f} µs cpu"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="rounds of one second")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--servers", type=lambda text: text.split(","), default=[])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
