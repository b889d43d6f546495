"""mosec, as its documentation's example of dynamic batching, with orjson in place of json."""

import os

import iris
import orjson
from mosec import Server, Worker


class Iris(Worker):
    def __init__(self):
        super().__init__()
        self.session = iris.open_model()

    def deserialize(self, data):
        return orjson.loads(data)

    def serialize(self, data):
        return orjson.dumps(data)

    def forward(self, data):
        return iris.predict(self.session, data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Iris,
        max_batch_size=int(os.environ["BENCH_BATCH"]),
        max_wait_time=int(os.environ["BENCH_WAIT_MS"]),
        route="/predict",
    )
    server.run()
