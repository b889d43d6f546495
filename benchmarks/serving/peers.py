"""The peers: other servers of models, each in an environment of its own under build/bench-peers, serving iris.

All run on one core, with one process for the model and one thread in ONNX Runtime. Batches and waits are those with
which each answered most requests over 64 connections.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.process import free_port
from benchmarks.serving.servers import APPS, Answers, Place, Server

FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench-peers"
PROGRAMS = APPS / "peers"
PATIENCE = 600  # seconds for pip
LABELS = ("setosa", "versicolor", "virginica")
INFER = "/v2/models/iris/infer"
SHARED = ("numpy>=1.26,<3", "onnxruntime==1.32.*")  # what runs the model


@dataclass(frozen=True)
class Peer:
    """A server from elsewhere: what pip installs, how it is tuned, how it is started."""

    server: Server
    requirements: tuple[str, ...]
    tuning: str
    python: str = sys.executable

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def told(self) -> str:
        """Its version and how it is tuned."""
        return f"{self.requirements[0]}: {self.tuning}"

    @property
    def is_installed(self) -> bool:
        stamp = FOLDER / self.name / "installed"
        return stamp.exists() and stamp.read_text("utf-8") == self._wanted

    @property
    def _wanted(self) -> str:
        return "\n".join((*self.requirements, *SHARED))

    def install(self) -> str:
        """Makes the environment; gives why that failed, or nothing. The log stands beside it."""
        log = FOLDER / f"{self.name}.log"
        FOLDER.mkdir(parents=True, exist_ok=True)
        pip = [str(FOLDER / self.name / "bin" / "python"), "-m", "pip", "install", "--no-input"]
        with log.open("wb") as output:
            for command in (
                [self.python, "-m", "venv", "--clear", str(FOLDER / self.name)],
                [*pip, "--disable-pip-version-check", *self.requirements, *SHARED],
            ):
                try:
                    subprocess.run(
                        command, stdout=output, stderr=output, check=True, timeout=PATIENCE
                    )
                except (subprocess.SubprocessError, OSError) as err:
                    return f"{self.name} isn't here: {command[2]} failed ({type(err).__name__}); see {log.name}"
        (FOLDER / self.name / "installed").write_text(self._wanted, "utf-8")
        return ""


def _program(name: str) -> str:
    """A peer's own interpreter."""
    return str(FOLDER / name / "bin" / "python")


def _mosec(place: Place) -> list[str]:
    own = ["--address", "127.0.0.1", "--port", str(place.port), "--log-level", "warning"]
    return [_program("mosec"), str(PROGRAMS / "mosec_app.py"), *own]


def _litserve(place: Place) -> list[str]:
    return [_program("litserve"), str(PROGRAMS / "litserve_app.py"), str(place.port)]


def _bentoml(place: Place) -> list[str]:
    own = [
        "--host",
        "127.0.0.1",
        "--port",
        str(place.port),
        "--working-dir",
        str(PROGRAMS / "bento"),
    ]
    return [_program("bentoml"), "-m", "bentoml", "serve", "service:Iris", *own]


def _mlserver(place: Place) -> list[str]:
    settings: Mapping[str, Any] = {
        "host": "127.0.0.1",
        "http_port": place.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "use_structured_logging": False,
        "debug": False,
    }
    model: Mapping[str, Any] = {
        "name": "iris",
        "implementation": "runtime.Iris",
        "max_batch_size": 64,
        "max_batch_time": 0.001,
    }
    (place.folder / "settings.json").write_text(json.dumps(settings), "utf-8")
    (place.folder / "model-settings.json").write_text(json.dumps(model), "utf-8")
    start = "import sys; from mlserver.cli import main; sys.argv = ['mlserver', 'start', sys.argv[1]]; main()"
    return [_program("mlserver"), "-c", start, str(place.folder)]


def _triton(place: Place) -> list[str]:
    return [_program("triton"), str(PROGRAMS / "triton_app.py"), str(place.port)]


def _write_tensor(body: bytes) -> bytes:
    """A row in the Open Inference Protocol."""
    values = list(json.loads(body).values())
    tensor = {"name": "num", "shape": [1, len(values)], "datatype": "FP64", "data": values}
    return json.dumps({"inputs": [tensor]}).encode("ascii")


def _read_tensors(content: bytes) -> Any:
    """An answer in the Open Inference Protocol as one of onnxport's."""
    outputs = {output["name"]: output["data"] for output in json.loads(content)["outputs"]}
    probabilities = dict(zip(LABELS, outputs["proba"], strict=True))
    return {"prediction": LABELS[outputs["code"][0]], "probabilities": probabilities}


def _write_list(body: bytes) -> bytes:
    """A row as a named list of one row."""
    return b'{"rows": [%b]}' % body


def _read_list(content: bytes) -> Any:
    (answer,) = json.loads(content)
    return answer


def _server(
    name: str, command: Callable[[Place], list[str]], *, batch: int = 64, wait: int = 0, **more: Any
) -> Server:
    """batch: the most rows in one call. wait: milliseconds in which a batch may grow."""
    environment = {
        "BENCH_BATCH": str(batch),
        "BENCH_WAIT_MS": str(wait),
        "BENCH_IRIS": str(PROGRAMS),
        "OMP_NUM_THREADS": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(FOLDER / "bentoml-home"),
        "PYTHONPATH": str(PROGRAMS / "mlserver") if name == "mlserver" else "",
    }
    return Server(name, command, Answers.WHOLE, environment=environment, is_peer=True, **more)


PEERS = (
    Peer(
        _server("mosec", _mosec, wait=1),
        ("mosec==0.9.8", "orjson>=3.11,<4"),
        "orjson, dynamic batches of 64, waiting 1 ms",
    ),
    Peer(
        _server("triton", _triton, wait=1, path=INFER, write=_write_tensor, read=_read_tensors),
        ("nvidia-pytriton==0.7.0",),
        "Python backend, dynamic batches of 64, waiting 1 ms, one HTTP thread",
        # Its backend loads the system's libpython, whose standard library must be the environment's.
        python=shutil.which("python3", path="/usr/bin") or sys.executable,
    ),
    Peer(
        _server("litserve", _litserve, wait=1),
        ("litserve==0.2.19",),
        "batches of 64, waiting 1 ms, fast queue",
    ),
    Peer(
        _server("mlserver", _mlserver, path=INFER, write=_write_tensor, read=_read_tensors),
        ("mlserver==1.7.1", "uvloop<0.22"),
        "no parallel workers, adaptive batches of 64, waiting 1 ms",
    ),
    Peer(
        _server("bentoml", _bentoml, write=_write_list, read=_read_list),
        ("bentoml==1.4.40",),
        "one worker, adaptive batches of 64, no access log",
    ),
)
