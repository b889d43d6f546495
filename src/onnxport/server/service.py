"""What one process needs to answer for one model, whichever way its requests come. Nothing of FastAPI is in here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from onnxport.modelfile import ModelFile
from onnxport.predictor import Model, load
from onnxport.server.access import Access, open_access
from onnxport.server.board import Board
from onnxport.server.logs import Log
from onnxport.server.observer import Observer, open_observer
from onnxport.server.readiness import Readiness
from onnxport.server.scheduler import SMALL_ROW, Scheduler, usable_threads
from onnxport.session import open_session
from onnxport.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """An open model, who may ask it, when its predictions run, and whether it wants to be asked."""

    model: Model
    settings: Settings
    access: Access
    readiness: Readiness
    scheduler: Scheduler
    observer: Observer


def open_model(file: ModelFile, settings: Settings) -> Model:
    """The model as it's served: a large one with several threads for each run, if they change no answer.

    ONNX Runtime may add numbers up in another order with several threads; whether it does is tried with the stored
    rows. Raises ModelFileError.
    """
    session = open_session(file)
    threads = usable_threads(settings)
    if threads > 1 and Model(session).run_time() >= SMALL_ROW:
        wider = open_session(file, threads=threads)
        if wider.answers_like(session):
            return Model(wider)
    return Model(session)


def open_service(
    model: str | Path | bytes | Model,
    settings: Settings,
    *,
    access: Access | None = None,
    board: Board | None = None,
    worker: int = 0,
    log: Log | None = None,
) -> Service:
    """access: who may call, by default as the settings say. board, worker: where several workers count together, and
    the number of this one. log: where the lines of requests go.

    Raises ModelFileError, SettingsError.
    """
    access = access or open_access(settings)
    opened = model if isinstance(model, Model) else load(model)
    if opened.manifest.accepted_mismatch:
        _log.warning(
            "%s answers differently from its estimator: it was saved with allow_mismatch",
            opened.manifest.name,
        )
    observer = open_observer(opened, settings, log=log, board=board or Board(1), worker=worker)
    scheduler = Scheduler(opened, settings, observer.metrics)
    return Service(opened, settings, access, Readiness(), scheduler, observer)
