"""The tags by which we know what is ours; nothing without them is ever changed or deleted."""

from __future__ import annotations

from collections.abc import Mapping

from onnxport.deploy.intent import Intent

PREFIX = "onnxport:"
MANAGED_BY = f"{PREFIX}managed-by"
APP = f"{PREFIX}app"
ENVIRONMENT = f"{PREFIX}environment"  # the name without the slot
SLOT = f"{PREFIX}slot"
MODEL = f"{PREFIX}model"  # the model file's digest
IMAGE = f"{PREFIX}image"  # the image's digest
RUN = f"{PREFIX}run"  # of an environment: by it a run knows what it made where the answer was lost
OWNER = "onnxport"


def shared_tags(intent: Intent) -> dict[str, str]:
    """Of what all environments of an application share: the application itself, its versions and its repository."""
    return {**dict(intent.tags), MANAGED_BY: OWNER, APP: intent.app}


def own_tags(intent: Intent) -> dict[str, str]:
    """Of what one environment has to itself, whichever its slot: its roles."""
    return {**shared_tags(intent), ENVIRONMENT: intent.name}


def slot_tags(intent: Intent, slot: str, *, model: str = "", image: str = "") -> dict[str, str]:
    """Of one slot's environment. model, image: the digests that run there, where they are known."""
    digests = {MODEL: model, IMAGE: image}
    return {**own_tags(intent), SLOT: slot, **{k: v for k, v in digests.items() if v}}


def is_ours(tags: Mapping[str, str]) -> bool:
    """Whether onnxport made it, for whichever application."""
    return tags.get(MANAGED_BY) == OWNER


def belongs_to(tags: Mapping[str, str], intent: Intent) -> bool:
    """Whether onnxport made it for this application, and for no other environment of it."""
    return (
        is_ours(tags)
        and tags.get(APP) == intent.app
        and tags.get(ENVIRONMENT, intent.name) == intent.name
    )
