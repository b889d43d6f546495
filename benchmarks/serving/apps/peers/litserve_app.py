"""LitServe, as its documentation's example of batching."""

import os
import sys

import iris
import litserve


class Iris(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002
        self.session = iris.open_model()

    def decode_request(self, request):
        return request

    def batch(self, inputs):
        return inputs

    def predict(self, rows):
        return iris.predict(self.session, rows)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    api = Iris(
        max_batch_size=int(os.environ["BENCH_BATCH"]),
        batch_timeout=float(os.environ["BENCH_WAIT_MS"]) / 1000,
    )
    server = litserve.LitServer(api, accelerator="cpu", fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )
