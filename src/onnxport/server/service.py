"""What one process needs to answer for one model, whichever way its requests come. Nothing of FastAPI is in here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from onnxport.predictor import Model, load
from onnxport.server.access import Access, open_access
from onnxport.server.readiness import Readiness
from onnxport.server.scheduler import Scheduler
from onnxport.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """An open model, who may ask it, when its predictions run, and whether it wants to be asked."""

    model: Model
    settings: Settings
    access: Access
    readiness: Readiness
    scheduler: Scheduler


def open_service(model: str | Path | bytes | Model, settings: Settings) -> Service:
    """Raises ModelFileError, SettingsError."""
    access = open_access(settings)
    opened = model if isinstance(model, Model) else load(model)
    if opened.manifest.accepted_mismatch:
        log.warning(
            "%s answers differently from its estimator: it was saved with allow_mismatch",
            opened.manifest.name,
        )
    return Service(opened, settings, access, Readiness(), Scheduler(opened, settings))
