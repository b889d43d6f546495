"""Our tree graphs beside the public converters', on the same fitted models: size, speed, time of saving. These are
skl2onnx's, onnxmltools' and CatBoost's own.

make bench-graphs                 the whole table
python benchmarks/forest.py 100   only models whose name holds "100"
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnxruntime
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn import ensemble
from sklearn.datasets import make_classification

import onnxport

ROWS, COLUMNS = 4000, 30
BATCHES = {1: 400, 1024: 15}  # repetitions of each
PUBLIC_OPSET = {"": 21, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Case:
    """A model to fit. classes: 0 for a regressor."""

    name: str
    estimator: Any
    classes: int = 0


CASES = (
    Case("RandomForestClassifier, 100 trees, 3 classes", ensemble.RandomForestClassifier(100), 3),
    Case("RandomForestClassifier, 100 trees, 2 classes", ensemble.RandomForestClassifier(100), 2),
    Case(
        "RandomForestClassifier, 100 trees of depth 8, 3 classes",
        ensemble.RandomForestClassifier(100, max_depth=8),
        3,
    ),
    Case(
        "RandomForestClassifier, 100 trees of depth 8, 2 classes",
        ensemble.RandomForestClassifier(100, max_depth=8),
        2,
    ),
    Case("RandomForestClassifier, 500 trees, 3 classes", ensemble.RandomForestClassifier(500), 3),
    Case("RandomForestClassifier, 500 trees, 2 classes", ensemble.RandomForestClassifier(500), 2),
    Case("ExtraTreesClassifier, 100 trees, 2 classes", ensemble.ExtraTreesClassifier(100), 2),
    Case("RandomForestRegressor, 100 trees", ensemble.RandomForestRegressor(100)),
    Case("GradientBoostingClassifier, 100", ensemble.GradientBoostingClassifier(), 2),
    Case("GradientBoostingClassifier, 100, 3 classes", ensemble.GradientBoostingClassifier(), 3),
    Case("GradientBoostingRegressor, 100", ensemble.GradientBoostingRegressor()),
    Case("HistGradientBoostingClassifier, 100", ensemble.HistGradientBoostingClassifier(), 2),
    Case(
        "HistGradientBoostingClassifier, 100, 3 classes",
        ensemble.HistGradientBoostingClassifier(),
        3,
    ),
    Case("HistGradientBoostingRegressor, 100", ensemble.HistGradientBoostingRegressor()),
    Case("XGBClassifier, 100 trees", xgboost.XGBClassifier(n_jobs=2), 2),
    Case("XGBClassifier, 100 trees, 3 classes", xgboost.XGBClassifier(n_jobs=2), 3),
    Case("XGBRegressor, 100 trees", xgboost.XGBRegressor(n_jobs=2)),
    Case("LGBMClassifier, 100 trees", lightgbm.LGBMClassifier(verbose=-1, n_jobs=2), 2),
    Case("LGBMClassifier, 100 trees, 3 classes", lightgbm.LGBMClassifier(verbose=-1, n_jobs=2), 3),
    Case("LGBMRegressor, 100 trees", lightgbm.LGBMRegressor(verbose=-1, n_jobs=2)),
    Case(
        "CatBoostClassifier, 100 trees",
        catboost.CatBoostClassifier(100, verbose=0, allow_writing_files=False),
        2,
    ),
    Case(
        "CatBoostRegressor, 100 trees",
        catboost.CatBoostRegressor(100, verbose=0, allow_writing_files=False),
    ),
)


@dataclass(frozen=True)
class Result:
    """Ours over the public converter's. times: by batch. saving: seconds."""

    size: float
    times: dict[int, float]
    saving: float


def main(part: str) -> None:
    print(f"onnxruntime {onnxruntime.__version__}, one thread; ours over the public converter's\n")
    print(f"{'':56}  size  batch 1  batch 1,024  save")
    for case in CASES:
        if part in case.name:
            found = measure(case)
            one, many = found.times.values()
            print(
                f"{case.name:56}  {found.size:4.2f}  {one:7.2f}  {many:11.2f}  {found.saving:3.1f} s",
                flush=True,
            )


def measure(case: Case) -> Result:
    X, y = make_classification(
        ROWS, COLUMNS, n_informative=10, n_classes=case.classes or 2, random_state=0
    )
    target = y if case.classes else X[:, 0] * 3 + X[:, 1] ** 2 + y
    model = case.estimator.set_params(random_state=0).fit(X, target)
    single = X.astype(np.float32)
    theirs = _public(case, model, single)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = onnxport.save(model, Path(folder) / "m.onnx", X)
        saving = time.perf_counter() - started
        ours = report.path.read_bytes()
    times = {
        batch: _ratio(ours, X[:batch], theirs, single[:batch], n) for batch, n in BATCHES.items()
    }
    return Result(len(ours) / len(theirs), times, saving)


def _public(case: Case, model: Any, single: Any) -> bytes:
    """The graph that the model's public converter makes."""
    library = type(model).__module__.partition(".")[0]
    types = [("X", FloatTensorType([None, COLUMNS]))]
    if library == "xgboost":
        content: bytes = convert_xgboost(model, initial_types=types).SerializeToString()
    elif library == "lightgbm":
        content = convert_lightgbm(model, initial_types=types, zipmap=False).SerializeToString()
    elif library == "catboost":
        with tempfile.TemporaryDirectory() as folder:
            model.save_model(f"{folder}/m.onnx", format="onnx")
            content = (Path(folder) / "m.onnx").read_bytes()
    else:
        options = _options(case, model)
        content = to_onnx(
            model, single[:1], target_opset=PUBLIC_OPSET, **options
        ).SerializeToString()
    return content


def _options(case: Case, model: Any) -> dict[str, Any]:
    return {"options": {id(model): {"zipmap": False}}} if case.classes else {}


def _ratio(ours: bytes, X: Any, theirs: bytes, single: Any, repetitions: int) -> float:
    """The median time of a run over the other's, taken in turns."""
    runs = [_runner(ours, X), _runner(theirs, single)]
    seconds: list[list[float]] = [[], []]
    for _ in range(repetitions):
        for run, taken in zip(runs, seconds, strict=True):
            started = time.perf_counter()
            run()
            taken.append(time.perf_counter() - started)
    return float(np.median(seconds[0]) / np.median(seconds[1]))


def _runner(content: bytes, X: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(content, options)
    feeds = {session.get_inputs()[0].name: X}
    session.run(None, feeds)
    return lambda: session.run(None, feeds)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1] if len(sys.argv) > 1 else "")
