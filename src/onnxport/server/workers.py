"""Where a prediction runs: on the event loop while it is short, in a worker thread when it isn't."""

from __future__ import annotations

import os
from functools import partial

from onnxport.codec import Limits
from onnxport.predictor import Model
from onnxport.server.threads import Threads

SMALL_BODY = 64 * 1024  # bytes that the loop may parse
SMALL_ROW = 0.2e-3  # seconds for one row of a small model
LOOP_BUDGET = 2e-3  # seconds that one request may hold the loop


class Workers:
    """Answers JSON bodies with one model, whose speed is measured when this is made."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self._limits = model, limits
        self._row_time = model.run_time()
        self._threads = Threads(_cpus())

    async def answer(self, body: bytes) -> bytes:
        """The answer to a body. Raises RequestError and InferenceError."""
        if self._row_time >= SMALL_ROW or len(body) >= SMALL_BODY:
            return await self._threads.run(
                partial(self.model.predict_json, body, limits=self._limits)
            )
        batch = self.model.read_json(body, limits=self._limits)
        if batch.rows * self._row_time > LOOP_BUDGET:
            return await self._threads.run(partial(self.model.answer_json, batch))
        return self.model.answer_json(batch)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
