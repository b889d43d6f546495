"""The model for Triton's Python backend: all requests of a batch in one call."""

# ruff: noqa: E402  the backend's interpreter knows of no environment, and must be told first
import os
import sys

sys.path[:0] = os.environ["BENCH_PATH"].split(":")

import iris
import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):  # noqa: ARG002
        self.session = iris.open_model()

    def execute(self, requests):
        values = [
            triton.get_input_tensor_by_name(request, "num").as_numpy() for request in requests
        ]
        codes, probabilities = self.session.run(("code", "proba"), {"num": np.concatenate(values)})
        answers, at = [], 0
        for rows in map(len, values):
            tensors = [
                triton.Tensor("code", codes[at : at + rows, None]),
                triton.Tensor("proba", probabilities[at : at + rows]),
            ]
            answers.append(triton.InferenceResponse(output_tensors=tensors))
            at += rows
        return answers
