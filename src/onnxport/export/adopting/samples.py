"""The caller's own rows: a CSV file by feature, a JSON list of rows, or arrays by input (.npz)."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxport.datatypes import BY_NAME
from onnxport.errors import shorten
from onnxport.export.adopting.features import Inputs
from onnxport.export.adopting.findings import listed, named, refusal
from onnxport.export.adopting.structure import Array
from onnxport.signature import Feature

Arrays = dict[str, Array]
MOST_ROWS = 2000


def read_rows(path: Path, inputs: Inputs) -> list[Arrays]:
    """Groups of rows of equal shapes, by the graph's inputs, [rows, *shape]. Raises NotAdoptable."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".json", ".npz"):
        what = f"{shorten(path.name)} is no sample of rows that can be read"
        raise refusal("sample", "", what, "give a .csv, .json or .npz file")
    try:
        if suffix == ".npz":
            return [_of_arrays(path, inputs)]
        rows = _of_csv(path) if suffix == ".csv" else json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, csv.Error, zipfile.BadZipFile, EOFError) as err:
        why = err.strerror if isinstance(err, OSError) and err.strerror else str(err)
        what = f"{shorten(path.name)} can't be read: {shorten(why, 160)}"
        raise refusal("sample", "", what, "give a .csv, .json or .npz file of rows") from err
    return _grouped(_rows(rows), inputs)


def _rows(rows: Any) -> list[Mapping[str, Any]]:
    if isinstance(rows, dict):
        rows = [rows]
    fine = isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
    if not fine:
        what = "the sample holds no rows"
        raise refusal("sample", "", what, "give a list of rows {feature: value}")
    return list(rows[:MOST_ROWS])


def _of_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [dict(row) for row, _ in zip(csv.DictReader(file), range(MOST_ROWS), strict=False)]


def _grouped(rows: Sequence[Mapping[str, Any]], inputs: Inputs) -> list[Arrays]:
    """Rows as arrays, those of equal shapes together."""
    names = [feature.name for feature in inputs.features]
    missing = [name for name in names if name not in rows[0]]
    if missing:
        what = f"the sample has no {listed(missing)}; it has {listed(rows[0])}"
        raise refusal("sample", "", what, "give rows with every feature")
    groups: dict[tuple[Any, ...], list[Arrays]] = {}
    for row in rows:
        made = {tensor.name: _row(row, tensor.name, inputs) for tensor in inputs.tensors}
        groups.setdefault(tuple(array.shape for array in made.values()), []).append(made)
    return [
        {name: np.stack([row[name] for row in group]) for name in group[0]}
        for group in groups.values()
    ]


def _row(row: Mapping[str, Any], tensor: str, inputs: Inputs) -> Array:
    """What one row puts into one input."""
    features = [feature for feature in inputs.features if feature.tensor == tensor]
    if features[0].is_tensor:
        return _array(row[features[0].name], BY_NAME[features[0].dtype].numpy, features[0])
    datatype = next(each for each in inputs.tensors if each.name == tensor).datatype
    dtype = BY_NAME[datatype].numpy
    if dtype == "object":
        texts = np.empty(len(features), dtype=object)
        texts[:] = [_text(row[feature.name]) for feature in features]
        return texts
    values = [_number(row[feature.name], feature) for feature in features]
    return np.array(values, dtype=np.float64).astype(dtype)


def _array(value: Any, dtype: str, feature: Feature) -> Array:
    try:
        array = np.array(value, dtype=dtype)
    except (ValueError, TypeError, OverflowError) as err:
        raise _unfit(feature, "nested lists of one shape") from err
    if array.ndim != len(feature.shape or ()):
        raise _unfit(feature, f"{len(feature.shape or ())} dimensions, and the sample {array.ndim}")
    return array


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(value: Any, feature: Feature) -> float:
    if isinstance(value, str):
        value = {"true": 1.0, "false": 0.0, "": np.nan}.get(value.strip().lower(), value)
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError) as err:
        raise _unfit(feature, "a number") from err


def _unfit(feature: Feature, wanted: str) -> Exception:
    place = named("feature", feature.name)
    return refusal("sample", place, f"it takes {wanted}", "mend the sample")


def _of_arrays(path: Path, inputs: Inputs) -> Arrays:
    found: Arrays = {}
    with np.load(path) as stored:
        for tensor in inputs.tensors:
            own = {tensor.name, *(f.name for f in inputs.features if f.tensor == tensor.name)}
            key = next((name for name in stored.files if name in own), None)
            if key is None:
                what = f"the sample has no array {shorten(repr(tensor.name))}"
                raise refusal("sample", "", what, f"it has {listed(stored.files)}")
            array = stored[key]
            dtype = BY_NAME[tensor.datatype].numpy
            found[tensor.name] = array.astype(dtype)[:MOST_ROWS]
            if array.ndim == 1 and tensor.shape == (1,):
                found[tensor.name] = found[tensor.name].reshape(-1, 1)
            if found[tensor.name].ndim != 1 + len(tensor.shape):
                what = (
                    f"its array has {array.ndim} dimensions, and the input {1 + len(tensor.shape)}"
                )
                raise refusal("sample", named("input", tensor.name), what, "rows come first")
    if len({len(array) for array in found.values()}) != 1:
        what = "its arrays have different numbers of rows"
        raise refusal("sample", "", what, "give one entry a row in each")
    return found
