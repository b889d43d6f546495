"""All that a deployment shall be, put together before anything is planned: intent, image, settings, bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onnxport.deploy.bundle import make_bundle
from onnxport.deploy.images import ImageFacts
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import DEFAULT_SERVICE_ROLE, Names, names_of
from onnxport.deploy.observed import Observed
from onnxport.deploy.options import option_settings

Setting = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """repository: registry and name, without a tag. settings: of the environment, as Beanstalk takes them.

    bundle: the bytes of the source bundle; `sha256` is theirs. moment: when this was asked for.
    """

    intent: Intent
    names: Names
    image: ImageFacts
    repository: str
    settings: tuple[Setting, ...]
    bundle: bytes
    sha256: str
    moment: datetime

    @property
    def in_ecr(self) -> bool:
        return not self.intent.image.repository

    @property
    def reference(self) -> str:
        return f"{self.repository}@{self.image.digest}"

    @property
    def description(self) -> str:
        """Of the version; its last word tells a bundle from others."""
        model = f"{self.image.model} {self.image.model_version}"
        return f"{model[:80]}, image {self.image.digest[:19]}, {self.mark}"

    @property
    def mark(self) -> str:
        return mark_of(self.sha256)


def mark_of(sha256: str) -> str:
    """The last words of the description of a version with that bundle."""
    return f"bundle {sha256[:16]}"


def put_together(
    intent: Intent,
    image: ImageFacts,
    observed: Observed,
    *,
    key_lines: Sequence[str],
    moment: datetime,
) -> Wanted:
    """key_lines: `id:sha256` lines of the API keys. Raises SettingsError for what Beanstalk wouldn't take."""
    names = names_of(intent, observed.account.id)
    repository = repository_of(intent, observed)
    bundle = make_bundle(intent, f"{repository}@{image.digest}")
    return Wanted(
        intent=intent,
        names=names,
        image=image,
        repository=repository,
        settings=settings_of(intent, names, observed, key_lines),
        bundle=bundle.content,
        sha256=bundle.sha256,
        moment=moment,
    )


def settings_of(
    intent: Intent, names: Names, observed: Observed, key_lines: Sequence[str]
) -> tuple[Setting, ...]:
    """The option settings of an environment."""
    return option_settings(
        intent,
        instance_profile=names.instance_profile,
        service_role=service_role(intent, observed, names),
        key_lines=key_lines,
    )


def service_role(intent: Intent, observed: Observed, names: Names) -> str:
    """The one that is named, else the account's own if it has it, else ours."""
    if not intent.roles.service and DEFAULT_SERVICE_ROLE in observed.roles:
        return DEFAULT_SERVICE_ROLE
    return names.service_role


def repository_of(intent: Intent, observed: Observed) -> str:
    """Where the image is, registry and name."""
    if intent.image.repository:
        return intent.image.repository.removesuffix(":latest")
    if observed.repository:
        return observed.repository.uri
    return f"{observed.registry}/{names_of(intent, observed.account.id).repository}"


def record_of(
    wanted: Wanted, label: str, slot: str, observed: Observed, platform: str
) -> dict[str, Any]:
    """What is written down of a deployment; the one before it stands inside, for a rollback."""
    former = dict(observed.record)
    former.pop("previous", None)
    previous = former if former.get("version") != label else observed.record.get("previous")
    return {
        "app": wanted.intent.app,
        "environment": wanted.names.environment("blue" if slot == "blue" else "green"),
        "slot": slot,
        "version": label,
        "image": wanted.reference,
        "model": wanted.image.model,
        "model_version": wanted.image.model_version,
        "model_digest": wanted.image.model_digest,
        "platform": platform,
        "strategy": wanted.intent.update.strategy,
        "deployed": wanted.moment.isoformat(timespec="seconds"),
        "previous": previous or None,
    }
