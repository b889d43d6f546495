"""BentoML, as its documentation's example of adaptive batching: a request holds a list of rows."""

import os
import sys

import bentoml

sys.path.insert(0, os.environ["BENCH_IRIS"])
import iris


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Iris:
    def __init__(self):
        self.session = iris.open_model()

    @bentoml.api(batchable=True, max_batch_size=int(os.environ["BENCH_BATCH"]), max_latency_ms=1000)
    def predict(self, rows: list[dict]) -> list[dict]:
        return iris.predict(self.session, rows)
