"""Where steps are run, and what each of them asks first: whose an environment is, and how it is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from onnxport.deploy.aws import reading
from onnxport.deploy.aws.events import Stream
from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.images import Prepared
from onnxport.deploy.names import Names
from onnxport.deploy.observed import Address, Environment, Event, Tags
from onnxport.deploy.tags import APP, is_ours
from onnxport.errors import DeployError


class Notes(Protocol):
    """Where it is noted which environments a run has made, and which it changes, by name and id."""

    @property
    def made(self) -> Mapping[str, str]: ...

    def note_made(self, name: str, id: str) -> None: ...

    def note_change(self, name: str, id: str) -> None: ...


class Unwritten:
    """Notes that nobody reads later: of a run that makes no environment."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def note_made(self, name: str, id: str) -> None:
        self.made[name] = id

    def note_change(self, name: str, id: str) -> None:
        """Nothing."""

    def write(self, what: str, **facts: Any) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where steps are run. model: the model file, where it is here. api_key: for golden requests.

    prepared: the built image, bundle: the source bundle's bytes, both where a plan pushes and uploads.
    """

    cloud: Cloud
    names: Names
    live: Address
    timeout: float
    say: Callable[[str], None]
    tell_event: Callable[[Event], None]
    model: Path | None = None
    api_key: str | None = None
    prepared: Prepared | None = None
    bundle: bytes = b""
    notes: Notes = field(default_factory=Unwritten)


def stream_of(site: Site, name: str) -> Stream:
    return Stream(site.cloud, site.names.application, name)


def owns(site: Site, environment: Environment) -> bool:
    return are_ours(site, reading.read_tags(site.cloud, environment.arn))


def are_ours(site: Site, tags: Tags) -> bool:
    """Whether what has these tags is onnxport's, and of this application."""
    return is_ours(tags) and tags.get(APP) == site.names.application


def current(site: Site, name: str) -> Environment:
    found = reading.read_environment(site.cloud, name)
    if found is None:
        raise DeployError(
            f"environment {name} is gone", remedy="run `onnxport deploy` to make it again"
        )
    return found


def changed(what: str, step: str) -> DeployError:
    """Since the plan was made, and not by this run."""
    return DeployError(
        f"{what}; another run has changed that",
        step=step,
        remedy="wait until that run has ended, then run the same command again",
        resumable=True,
    )
