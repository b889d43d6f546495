"""Checks of the model file, and of the server that runs it here: P01, P02, P03, P13."""

from __future__ import annotations

from onnxport.deploy.preflight.facts import Machine
from onnxport.deploy.preflight.finding import Said, failed, ok, skipped, warning
from onnxport.deploy.preflight.machines import memory_of
from onnxport.deploy.preflight.running import row_faults
from onnxport.deploy.preflight.subject import Missing, Subject
from onnxport.errors import DeployError
from onnxport.settings import read_settings

_MIB = 1 << 20
_SPARE = 300 * _MIB  # the system, Docker, nginx and Beanstalk's own agents
_LABEL = "io.onnxport.model."


def loads(subject: Subject) -> Said:
    """P01"""
    from onnxport.session import open_session  # brings onnxruntime

    file = subject.file
    session = open_session(file)
    here = f"{subject.model.name}: {file.selftest.rows} stored rows pass on onnxruntime {session.runtime_version}"
    if not subject.has_image:
        return ok(f"{here} of this machine; the build tries the image's")
    labels = subject.config.get("Labels") or {}
    if labels.get(f"{_LABEL}digest") != f"sha256:{file.digest}":
        return failed(
            f"the image holds another model than {subject.model.name}",
            "build it again from this file",
        )
    return ok(f"{here}; in the image: {labels.get(f'{_LABEL}selftest', 'not told')}")


def answers(subject: Subject) -> Said:
    """P02"""
    run = subject.rehearsal
    if run.fault:
        return failed(
            f"the server answers otherwise than {subject.model.name}: {run.fault}",
            "save the model again with this version of onnxport",
        )
    if faults := row_faults(subject):
        return failed(f"in the image {faults[0]}", "build it again from this file")
    peak = f", {run.peak / _MIB:.0f} MiB at most" if run.peak else ""
    return ok(f"{run.rows} stored rows answered over HTTP{peak}, {run.p99:.1f} ms a row (p99)")


def fits_memory(subject: Subject) -> Said:
    """P03"""
    peak, workers = subject.rehearsal.peak, _workers(subject)
    if peak is None:
        raise Missing("this system doesn't tell how much memory a process has", "run it on Linux")
    need = peak * workers + _SPARE
    told = f"{workers} x {peak / _MIB:.0f} MiB and {_SPARE // _MIB} MiB for the system"
    unknown = []
    for name in subject.intent.instances.types:
        memory = _memory(subject, name)
        if memory is None:
            unknown.append(name)
        elif need > memory:
            return failed(
                f"{told} don't fit into the {memory / _MIB:.0f} MiB of {name}",
                "take a larger instance type, or fewer workers in [server]",
            )
    if unknown:
        return skipped(
            f"the memory of {', '.join(unknown)} isn't known here; {told} are needed",
            "look again with AWS credentials",
            "account",
        )
    return ok(f"{told} fit into {', '.join(subject.intent.instances.types)}")


def _workers(subject: Subject) -> int:
    return read_settings({}, dict(subject.intent.server)).workers


def _memory(subject: Subject, name: str) -> int | None:
    found = machine_if_told(subject, name)
    return found.memory if found else memory_of(name)


def machine(subject: Subject, name: str) -> Machine | None:
    """What EC2 says of an instance type; None where it has none of that name."""
    cloud, types = subject.cloud, subject.intent.instances.types
    from onnxport.deploy.aws.inspection import read_machines

    found = subject.once("machines", lambda: read_machines(cloud, types))
    return found.get(name)


def machine_if_told(subject: Subject, name: str) -> Machine | None:
    """The same for checks that can do without: None where EC2 can't be asked."""
    try:
        return machine(subject, name)
    except (Missing, DeployError):
        return None


def in_time(subject: Subject) -> Said:
    """P13"""
    run, intent = subject.rehearsal, subject.intent
    limit, grace = intent.limits.timeout, min(intent.update.timeout, 3600)
    told = f"here one row takes {run.p99:.1f} ms (p99), and a start {run.startup:.1f} s"
    if run.p99 >= limit * 1000:
        return failed(
            f"{told}; proxy and load balancer give up after {limit} s", "raise limits.timeout"
        )
    if run.startup >= grace:
        return failed(f"{told}; Elastic Beanstalk waits for {grace} s", "raise update.timeout")
    if run.p99 > intent.health.latency_ms:
        return warning(
            f"{told}; golden requests may take {intent.health.latency_ms} ms",
            "raise health.latency_ms, or save a smaller model",
        )
    deadline = read_settings({}, dict(intent.server)).deadline
    if deadline >= limit:
        return warning(
            f"the proxy gives up after {limit} s, and the server only after {deadline} s",
            "set deadline in [server] below limits.timeout",
        )
    return ok(f"{told}; the proxy waits {limit} s, Elastic Beanstalk {grace} s")
