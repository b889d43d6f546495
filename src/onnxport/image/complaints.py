"""What docker and podman say when they fail, as one sentence with the remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from onnxport.errors import BuildError, shorten

TOLD_LINES = 5  # of a program's last words, kept with the error
_MAX_LINE = 300

_AGAIN = "then run the same command again"
_STORAGE = "free some, such as with `{name} system prune`, or move its data to a larger disk"

# The first that fits counts: a program's words, what they mean, what to do. {name}: the engine's.
_KNOWN = (
    (
        r"permission denied.*(socket|docker api|dial unix)|got permission denied",
        "{name} runs, but this user may not use its socket{where}",
        "join the group that may (`sudo usermod -aG docker $USER`, then log in anew), or use podman",
    ),
    (
        r"no space left on device|disk quota exceeded|not enough space",
        "the disk of {name} is full",
        f"{_STORAGE}, {_AGAIN}",
    ),
    (
        r"processing tar file|invalid tar header|payload does not match any|unrecognized image format",
        "the file is no image that {name} reads",
        "build it again",
    ),
    (
        r"exec format error",
        "the image is made for another processor than {name} has here",
        "build for this one with --platform, or try the image on a machine of its own kind",
    ),
    (
        r"was found but does not match the specified platform|no matching manifest|image platform.*not match",
        "the base image isn't there for this platform",
        "give another --base or another --platform",
    ),
    (
        (
            r"no such image|manifest unknown|pull access denied|repository does not exist|image not known"
            r"|reference does not exist|failed to resolve source metadata|https?://\S+/v2/"
        ),
        "{name} doesn't have the image, and can't fetch it",
        "check the name, or fetch it beforehand with `{name} pull`",
    ),
    (
        (
            r"cannot connect to|unable to connect to|is the docker daemon running|error during connect"
            r"|connection (refused|reset)|broken pipe|unexpected eof|\beof$|transport is closing|server.* closed"
            r"|no such host"
        ),
        "{name} doesn't answer{where}",
        f"start it (`sudo systemctl start docker`), or let DOCKER_HOST name one that runs, {_AGAIN}",
    ),
    (
        r"port is already allocated|address already in use",
        "the port on this machine is taken",
        f"end what uses it, {_AGAIN}",
    ),
    (
        r"cannot allocate memory|out of memory",
        "there is too little memory for {name}",
        f"end other programs, {_AGAIN}",
    ),
)


class Ended(BuildError):
    """A container that doesn't serve, or doesn't even run any more, though nobody has stopped it."""


def missing(names: Sequence[str]) -> BuildError:
    """No engine at all."""
    return BuildError(
        f"this needs a container engine, and {' and '.join(names)} can't be found; install docker or podman"
        if len(names) > 1
        else f"{names[0]} can't be found; install it, or build without --builder, which needs no engine"
    )


def explain(name: str, command: Sequence[str], output: str) -> BuildError:
    """The error for a command that failed, by what it wrote.

    name: the engine's, docker or podman. output: all that it wrote to stderr.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = "\n".join(shorten(line, _MAX_LINE) for line in lines[-TOLD_LINES:])
    for pattern, meaning, remedy in _KNOWN:
        if re.search(pattern, output, re.IGNORECASE | re.MULTILINE):
            text = f"{meaning}; {remedy}".format(name=name, where=_where(name))
            return BuildError(text, command=command, output=told)
    doing = f"{name} {command[1]}" if len(command) > 1 else name
    last = shorten(_last(lines), _MAX_LINE) if lines else "it says nothing"
    return BuildError(f"`{doing}` failed: {last}", command=command, output=told)


def ended(name: str, log: str) -> Ended:
    """The error for a container that doesn't run any more, by its log, whose words are its own."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = "\n".join(shorten(line, _MAX_LINE) for line in lines[-TOLD_LINES:])
    if "exec format error" in log:
        return Ended(str(explain(name, [], "exec format error")), output=told)
    last = shorten(_last(lines), _MAX_LINE) if lines else "its log is empty"
    return Ended(f"the container has ended by itself: {last}", output=told)


def failed_inside(command: Sequence[str], said: str) -> BuildError:
    """The error for a command that a container has run, whatever its words mean elsewhere."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = shorten(_last(lines), _MAX_LINE) if lines else "it says nothing"
    return BuildError(f"{shorten(' '.join(command))} failed: {last}", command=command, output=last)


def too_slow(name: str, command: Sequence[str], seconds: float) -> BuildError:
    return BuildError(
        f"`{name} {command[1]}` took more than {seconds:.0f} s and was ended; see what keeps {name} busy, {_AGAIN}",
        command=command,
    )


def _where(name: str) -> str:
    host = os.environ.get("DOCKER_HOST")
    return f" at {shorten(host)}" if host and name == "docker" else ""


def _last(lines: Sequence[str]) -> str:
    """The line that tells most: the last but for hints to read more."""
    telling = [line for line in lines if not re.match(r"(see|run) '", line, re.IGNORECASE)]
    return (telling or lines)[-1]
