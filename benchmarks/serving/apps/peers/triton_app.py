"""Triton's own server, as nvidia-pytriton carries it, with a model for its Python backend in the current folder."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

CONFIG = """
name: "iris"
backend: "python"
max_batch_size: {batch}
dynamic_batching {{ max_queue_delay_microseconds: {wait} }}
input [ {{ name: "num", data_type: TYPE_FP64, dims: [ 4 ] }} ]
output [
  {{ name: "code", data_type: TYPE_INT64, dims: [ 1 ] }},
  {{ name: "proba", data_type: TYPE_FP64, dims: [ 3 ] }}
]
instance_group [ {{ kind: KIND_CPU, count: 1 }} ]
"""


def main(port):
    packages = Path(sysconfig.get_path("purelib"))
    triton, here = packages / "pytriton" / "tritonserver", Path.cwd()
    stub = "{}.{}".format(*sys.version_info[:2])
    shutil.copytree(triton / "backends", here / "backends", dirs_exist_ok=True)
    shutil.copy(
        triton / "python_backend_stubs" / stub / "triton_python_backend_stub",
        here / "backends" / "python",
    )
    model = here / "models" / "iris"
    (model / "1").mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("triton_model.py"), model / "1" / "model.py")
    wait = int(os.environ["BENCH_WAIT_MS"]) * 1000
    (model / "config.pbtxt").write_text(CONFIG.format(batch=os.environ["BENCH_BATCH"], wait=wait))
    os.environ["LD_LIBRARY_PATH"] = str(packages / "nvidia_pytriton.libs")
    os.environ["BENCH_PATH"] = f"{Path(__file__).parent}:{packages}"
    server = str(triton / "bin" / "tritonserver")
    os.execv(server, [server, *options(here, port)])


def options(here, port):
    return [
        f"--model-repository={here / 'models'}",
        f"--backend-directory={here / 'backends'}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--http-thread-count=1",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--log-info=false",
    ]


if __name__ == "__main__":
    main(sys.argv[1])
