"""MLServer, as its documentation's example of a custom runtime, asked in the Open Inference Protocol."""

import os
import sys

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

sys.path.insert(0, os.environ["BENCH_IRIS"])
import iris


class Iris(MLModel):
    async def load(self):
        self.session = iris.open_model()
        return True

    async def predict(self, payload):
        values = NumpyCodec.decode_input(payload.inputs[0])
        codes, probabilities = self.session.run(("code", "proba"), {"num": values})
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("code", codes),
                NumpyCodec.encode_output("proba", probabilities),
            ],
        )
