"""Checks of the running image, P07 to P12: an engine's trial where there is one, else what can be read or rehearsed."""

from __future__ import annotations

from collections.abc import Iterator

from onnxport.deploy.bundle import DOCKERRUN
from onnxport.deploy.preflight.finding import Said, failed, judged, ok
from onnxport.deploy.preflight.members import dockerrun_of, port_of
from onnxport.deploy.preflight.subject import Missing, Subject
from onnxport.image import proofs
from onnxport.image.settings import PORT
from onnxport.settings import read_settings

PROXY_IDLE = 60  # seconds that nginx and the load balancer keep a connection
_REBUILD = "build the image with `onnxport build`, and see `onnxport build --check`"


def listens(subject: Subject) -> Said:
    """P07"""
    return _tried(subject, "P07")


def same_port(subject: Subject) -> Said:
    """P08"""
    faults = [*_port_faults(subject)]
    told = f"the image exposes {PORT}, and Elastic Beanstalk proxies to it"
    if faults:
        return judged(faults, told, _REBUILD)
    return _tried_or(subject, "P08", ok(told))


def _port_faults(subject: Subject) -> Iterator[str]:
    exposed = sorted(subject.config.get("ExposedPorts") or {})
    if exposed != [f"{PORT}/tcp"]:
        yield f"the image exposes {', '.join(exposed) or 'nothing'}, and the server listens on {PORT}"
    proxied = port_of(dockerrun_of(subject.members))
    if proxied != str(PORT):
        yield f"{DOCKERRUN} proxies to {proxied}, and the server listens on {PORT}"
    moved = subject.variables.get("ONNXPORT_PORT", str(PORT))
    if moved != str(PORT):
        yield f"ONNXPORT_PORT moves the server to {moved}"


def health(subject: Subject) -> Said:
    """P09"""
    run, path = subject.rehearsal, subject.intent.health.path
    if run.health != 200:
        return failed(
            f"{path} answers {run.health}, and health needs 200 without a key or a redirect",
            'write path = "/health/ready" in [health]',
        )
    if early := run.early - {503}:
        return failed(
            f"before it is ready the server answers {max(early)} instead of 503", _REBUILD
        )
    told = f"{path} answers 200 without a key, and not before the model is loaded"
    return _tried_or(subject, "P09", ok(told))


def ends(subject: Subject) -> Said:
    """P10"""
    return _tried(subject, "P10")


def unprivileged(subject: Subject) -> Said:
    """P11"""
    read = [one for one in proofs.settings(subject.config) if one.check == "P11"]
    faults = [one.text for one in read if one.verdict == "failure"]
    if faults:
        return judged(faults, "", _REBUILD)
    return _tried(subject, "P11")


def keeps_alive(subject: Subject) -> Said:
    """P12"""
    pairs = (variable.partition("=") for variable in subject.config.get("Env") or [])
    environment = {name: value for name, _, value in pairs}
    kept = read_settings({}, {**environment, **subject.variables}).keep_alive
    if kept <= PROXY_IDLE:
        return failed(
            f"idle connections are kept for {kept} s, and proxies use them again after {PROXY_IDLE} s: 502",
            "set ONNXPORT_KEEP_ALIVE to 75",
        )
    told = f"idle connections are kept for {kept} s, proxies keep them for {PROXY_IDLE} s"
    return _tried_or(subject, "P12", ok(told))


def _tried(subject: Subject, check: str) -> Said:
    """What the trial found for one check."""
    results = [one for one in subject.trial.results if one.check == check]
    if not results:
        raise Missing("the trial of the image ended before", "mend what P07 tells first")
    faults = [one.text for one in results if one.verdict == "failure"]
    return judged(faults, "; ".join(one.text for one in results), _REBUILD)


def _tried_or(subject: Subject, check: str, read: Said) -> Said:
    """read: what is known of it where no engine can run the image, or its trial ended before."""
    if not subject.has_engine:
        return read
    try:
        return _tried(subject, check)
    except Missing:
        return read


def row_faults(subject: Subject) -> list[str]:
    """Answers of the image itself that aren't the stored ones, where an engine has run it."""
    try:
        results = subject.trial.results if subject.has_engine else ()
    except Missing:
        return []
    return [one.text for one in results if one.check == "rows" and one.verdict == "failure"]
