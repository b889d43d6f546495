"""The serving benchmark: `onnxport serve` beside nginx, the tutorial's application and its peers, in one run."""
