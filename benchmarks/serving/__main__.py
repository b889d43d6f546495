"""python -m benchmarks.serving: the whole serving benchmark, or a part of it. `make bench` runs it with ARGS."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.serving import machine, report
from benchmarks.serving.peers import PEERS
from benchmarks.serving.plot import plot
from benchmarks.serving.process import BenchmarkError
from benchmarks.serving.records import Results
from benchmarks.serving.rounds import Bench, new_key, run_scenario
from benchmarks.serving.scenarios import SCENARIOS, Scenario
from benchmarks.serving.servers import SERVERS
from benchmarks.serving.starts import measure_imports, measure_starts
from benchmarks.serving.workloads import workload

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
STARTS = "starts"  # the name of what isn't a scenario under load
PEERS_SCENARIO = "peers-64"
NAMES = (*(scenario.name for scenario in SCENARIOS), STARTS)
KNOWN = {**SERVERS, **{peer.name: peer.server for peer in PEERS}}


def main() -> int:
    args = _arguments()
    missing = [name for name in ("nginx", "wrk", "taskset") if not shutil.which(name)]
    if missing:
        names = " and ".join(missing)
        print(f"error: {names} missing: run tools/system-packages nginx wrk", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end too
    models, folder = BUILD / "models", BUILD / f"run-{os.getpid()}"
    bench = Bench(models, folder, args.rounds, args.seconds, machine.cores())
    results = Results(machine=machine.describe(bench.cores))
    if args.peers:
        _install_peers(results)
    os.sched_setaffinity(0, bench.load_cores)
    _note_cores(bench, results)
    only = args.only or ([PEERS_SCENARIO] if args.peers else NAMES)
    runs = {s.name: partial(_run, s, args.servers, bench) for s in SCENARIOS}
    runs[STARTS] = partial(_run_starts, bench)
    failed = [
        name for name, run in runs.items() if name in only and not _succeeds(name, run, results)
    ]
    _finish(results, args.output)
    if failed:
        print(f"failed: {', '.join(failed)}; the servers' logs: {folder}", file=sys.stderr)
    elif folder.exists():
        shutil.rmtree(folder)
    return int(bool(failed))


def _succeeds(name: str, run: Callable[[Results], None], results: Results) -> bool:
    try:
        run(results)
    except BenchmarkError as err:
        print(f"error: {err}", file=sys.stderr, flush=True)
        results.note(f"{name} failed: {err}")
        return False
    return True


def _install_peers(results: Results) -> None:
    """Installs what isn't there yet; who can't be installed is noted."""
    for peer in PEERS:
        if not peer.is_installed:
            print(f"installing {peer.name}, some minutes", flush=True)
            results.note(peer.install())


def _run(scenario: Scenario, only: list[str], bench: Bench, results: Results) -> None:
    """Runs a scenario and tells of it. Raises BenchmarkError."""
    servers = [
        KNOWN[name]
        for name in scenario.servers
        if name in (only or KNOWN) and _is_here(name, results)
    ]
    if not servers or (scenario.name == PEERS_SCENARIO and not any(s.is_peer for s in servers)):
        return
    print(f"\n{scenario.name}: {scenario.told}", flush=True)
    for peer in PEERS:
        if peer.server in servers:
            results.note(peer.told)
    for measurement in run_scenario(scenario, servers, bench, results.note):
        results.measurements.append(measurement)
        print(report.line(measurement, results), flush=True)
    print("\n".join(report.summary(scenario.name, results)), flush=True)


def _is_here(name: str, results: Results) -> bool:
    """Whether a server can be started; a peer that can't is noted."""
    for peer in PEERS:
        if peer.name == name and not peer.is_installed:
            results.note(f"{name} isn't installed: make bench-peers tries to")
            return False
    return True


def _run_starts(bench: Bench, results: Results) -> None:
    """Measures cold starts and imports. Raises BenchmarkError."""
    print(f"\n{STARTS}: from the spawn to the first 200", flush=True)
    headers, asked = new_key(bench), workload("iris", bench.models)
    for start in measure_starts(
        asked, bench.folder, bench.key_file, headers, bench.cores[0], bench.rounds
    ):
        results.starts.append(start)
        print(
            f"  round {start.round}  {start.server:20} ready {start.ready * 1000:6.0f} ms  "
            f"prediction {start.predicted * 1000:6.0f} ms",
            flush=True,
        )
    results.imports = measure_imports()


def _finish(results: Results, folder: Path) -> None:
    for doubt in report.doubts(results):
        results.note(doubt)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"serving-{time.strftime('%Y%m%d-%H%M%S')}"
    report.write_json(results, stem.with_suffix(".json"))
    stem.with_suffix(".md").write_text(report.page(results), "utf-8")
    stem.with_suffix(".svg").write_text(plot(results), "utf-8")
    print(f"\n{report.page(results)}\nwritten: {stem}.json, .md, .svg")


def _note_cores(bench: Bench, results: Results) -> None:
    if len(bench.cores) == 1:
        results.note("one core: wrk takes time from the servers, and no figure can be trusted")
    if len(bench.cores) == 2:
        results.note("two cores: the second of two workers shares its core with wrk")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server (default: 3)")
    parser.add_argument("--seconds", type=int, default=4, help="length of a turn (default: 4)")
    parser.add_argument(
        "--quick", dest="seconds", action="store_const", const=1, help="the same as --seconds 1"
    )
    parser.add_argument("--only", action="append", choices=NAMES, help="a scenario, or more")
    parser.add_argument(
        "--servers", type=_known, default=[], metavar="NAMES", help=f"of {', '.join(KNOWN)}"
    )
    parser.add_argument("--peers", action="store_true", help="install the peers, and run only them")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the results"
    )
    return parser.parse_args()


def _known(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such server: {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
