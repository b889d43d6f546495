"""The tables of CTRs of several targets, which CatBoost's JSON mixes up: it doesn't tell of which target a table is.
Its Python code does.

Source: `catboost/libs/model/model_export/static_ctr_provider` and `python_exporter.cpp`; the CTRs stand in the
order of the JSON in both.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

_COUNTED = ("Borders", "Buckets", "Counter")  # sums for means are printed with six digits only


def tables_of_targets(code: str, ctrs: Sequence[Any]) -> list[dict[str, Any]] | None:
    """A table for each of `features_info.ctrs`, in the form of `ctr_data`; None where the code doesn't
    tell it exactly. code: of the model in Python.
    """
    if any(each["ctr_type"] not in _COUNTED for each in ctrs):
        return None
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    by_name = {name: [c for c in calls if _called(c) == name] for name in map(_called, calls)}
    told = sorted(by_name["catboost_model_ctr"], key=lambda call: (call.lineno, call.col_offset))
    tables = _keywords(by_name["catboost_ctr_data"][0])["learn_ctrs"]
    assert isinstance(tables, ast.Dict)
    known = {
        ast.literal_eval(key): _keywords(value)
        for key, value in zip(tables.keys, tables.values, strict=True)
        if key is not None and isinstance(value, ast.Call)
    }
    hashes = [ast.literal_eval(_keywords(call)["base_hash"]) for call in told]
    pairs = zip(hashes, ctrs, strict=True)
    return [_table(known[hash], counter=each["ctr_type"] == "Counter") for hash, each in pairs]


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _keywords(call: ast.Call) -> Mapping[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def _table(told: Mapping[str, ast.expr], *, counter: bool) -> dict[str, Any]:
    """As in `ctr_data`: of each bucket the hash, and what was counted in it."""
    numbers = ast.literal_eval(told["ctr_total"])
    width = 1 if counter else ast.literal_eval(told["target_classes_count"])
    rows: list[Any] = []
    for hash, place in ast.literal_eval(told["index_hash_viewer"]).items():
        rows += [hash, *numbers[place * width : (place + 1) * width]]
    denominator = ast.literal_eval(told["counter_denominator"])
    return {"hash_map": rows, "hash_stride": width + 1, "counter_denominator": denominator}
