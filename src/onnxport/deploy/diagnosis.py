"""Words in events and logs by which a known trouble shows, what it means, and what helps. One table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_OTHERWISE = "`onnxport logs --diagnose` looks for causes in the logs"


@dataclass(frozen=True, slots=True)
class Signature:
    """pattern: of the words. meaning, remedy: a sentence's halves."""

    name: str
    pattern: re.Pattern[str]
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A signature, and the first line that shows it; count: how many lines do."""

    signature: Signature
    line: str
    count: int


def _signature(name: str, pattern: str, meaning: str, remedy: str) -> Signature:
    return Signature(name, re.compile(pattern, re.IGNORECASE), meaning, remedy)


SIGNATURES = (
    _signature(
        "architecture",
        r"exec format error|image's? (?:platform|architecture)|does not match the (?:detected )?host platform",
        "the image is for another processor than the machine's",
        "let instances.architecture and instances.types agree, then deploy again",
    ),
    _signature(
        "disk",
        r"no space left on device",
        "the machine's disk is full",
        "raise instances.volume_gb, then deploy again",
    ),
    _signature(
        "rate limit",
        r"toomanyrequests|pull rate limit",
        "Docker Hub refuses more pulls",
        "leave image.repository empty, so that ECR is used",
    ),
    _signature(
        "memory",
        r"\bOOM|out of memory|exit(?:ed)?(?: with)?(?: code| status)? 137|\bKilled\b",
        "the machine has too little memory",
        "take a larger type in instances.types, or fewer workers in [server]",
    ),
    _signature(
        "port",
        r"connect\(\) failed \(111|connection refused.*upstream|no live upstreams|HTTP 5(?:xx|02)|502 Bad Gateway",
        "nothing listens where the proxy asks",
        "look with `onnxport logs` whether the server started; it listens on 8080 unless PORT is set",
    ),
    _signature(
        "closed early",
        r"upstream prematurely closed",
        "the server ended a connection in the middle of an answer",
        "look with `onnxport logs` for a worker that died; keep_alive must be above the proxy's 60 s",
    ),
    _signature(
        "body",
        r"\b413\b|client intended to send too large body|Request Entity Too Large",
        "a request is larger than the proxy takes",
        "raise limits.body_mb, then deploy again",
    ),
    _signature(
        "slow",
        r"\b504\b|upstream timed out",
        "an answer takes longer than the proxy waits",
        "raise limits.timeout, send fewer rows at once, or take a larger type",
    ),
    _signature(
        "health path",
        r"Target\.ResponseCodeMismatch|Health checks? failed with these codes|health check .*40[0-9]|HTTP 4xx",
        "the health path doesn't answer 200",
        "leave health.path at /health/ready, which needs no key",
    ),
    _signature(
        "dockerrun",
        r"No EXPOSE directive|Invalid Dockerrun\.aws\.json|Dockerrun.*(?:invalid|version)",
        "Beanstalk doesn't take the bundle",
        "deploy with the newest onnxport, and report this",
    ),
    _signature(
        "instance profile",
        r"instance ?profile.*(?:does not exist|associated with it|invalid)|invalid IamInstanceProfile",
        "the machines have no instance profile",
        "leave roles.instance_profile empty, so that one is made, or create the one that is named",
    ),
    _signature(
        "pull rights",
        r"no basic auth credentials|not authorized to perform: ecr|pull access denied",
        "the machines may not pull the image",
        "give the instance profile the right to read the repository, or leave roles.instance_profile empty",
    ),
    _signature(
        "image",
        r"Failed to pull Docker image|manifest unknown|repository does not exist|image not found|not found: manifest",
        "the machine can't find the image",
        "push it again with `onnxport deploy`; look whether a lifecycle rule or somebody removed it",
    ),
    _signature(
        "time",
        r"command timeout|LaunchWaitCondition failed|timed out|timeouts? (?:on|for)|did not respond",
        "it took longer than update.timeout",
        "raise update.timeout, or take a larger type; `onnxport logs` shows how far it got",
    ),
    _signature(
        "leftover",
        r"Deleting .* failed|dependent object|DependencyViolation",
        "something that others use couldn't be deleted",
        "remove what uses it in the console, then run the same command again",
    ),
    _signature(
        "model file",
        r"self-test|digest .* doesn't match|not a model file",
        "the server refuses the model file",
        "check it with `onnxport check MODEL`, then deploy again",
    ),
    _signature(
        "keys",
        r"401 unauthorized|unauthorized: ",
        "the golden requests' key isn't known to the server",
        "let key_file or ONNXPORT_API_KEY be the key that was deployed",
    ),
)


def diagnose(lines: Iterable[str]) -> list[Finding]:
    """The signatures that show in the lines, in the order of the table."""
    found: dict[str, Finding] = {}
    for line in lines:
        for signature in SIGNATURES:
            if signature.pattern.search(line):
                seen = found.get(signature.name)
                first, count = (seen.line, seen.count) if seen else (line.strip(), 0)
                found[signature.name] = Finding(signature, first, count + 1)
    return [found[s.name] for s in SIGNATURES if s.name in found]


def remedy_for(text: str) -> str:
    """What helps against the first trouble that the text shows."""
    findings = diagnose(text.splitlines())
    return findings[0].signature.remedy if findings else _OTHERWISE
