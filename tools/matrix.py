"""Writes docs/reference/matrix.md: how all cases of the matrix do, ours and the public converters'.

Takes some minutes. `KIND ...` tries these kinds only and prints them, without writing.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import onnx
import onnxruntime
import skl2onnx
import sklearn

from onnxport.errors import ExportError
from onnxport.export.libraries import library_of
from tests.export.matrix.case import KINDS, Case
from tests.export.matrix.every_case import CASES
from tests.export.matrix.networks import NETWORKS, Network
from tests.export.matrix.score import PAGE, Row, passing

GENERATED = "<!-- Written by tools/matrix.py (`make matrix`); edits here are lost. -->"
PATIENCE = 120
EVERY: list[Case | Network] = [*CASES, *NETWORKS]
Tried = tuple[str, bool, bool, str]  # case, ours passes, skl2onnx mildly passes, what skl2onnx does


def try_case(index: int) -> Tried:
    """One case, in a process apart: a graph can end its process."""
    from tests.export.matrix.public import try_public, try_treelite
    from tests.export.matrix.public_boosters import TREELITE
    from tests.export.matrix.trial import fit, try_ours

    if index >= len(CASES):
        return try_network(NETWORKS[index - len(CASES)])
    case = CASES[index]
    fitted = fit(case)
    try:
        with tempfile.TemporaryDirectory() as folder:
            try_ours(fitted, Path(folder))
    except (ExportError, AssertionError) as err:
        return case.id, False, False, f"not judged ({type(err).__name__})"
    verdict = try_public(fitted)
    told = str(verdict)
    if library_of(type(fitted.estimator)) in TREELITE:
        told += f"; treelite {try_treelite(fitted)}"
    return case.id, True, verdict.passes_mildly, told


def try_network(network: Network) -> Tried:
    """One network, and torch's own exporter."""
    from tests.export.matrix import networks

    try:
        with tempfile.TemporaryDirectory() as folder:
            networks.try_ours(network, Path(folder))
    except (ExportError, AssertionError) as err:
        return network.id, False, False, f"not judged ({type(err).__name__})"
    told = networks.try_plain(network)
    return network.id, True, told == "passes", told


def work(pipe: Connection) -> None:
    """Tries the cases that are asked for."""
    while True:
        pipe.send(try_case(pipe.recv()))


def try_all(indices: list[int]) -> Iterator[Tried]:
    """In a process apart, since a conversion of others can go on for ever, and a graph can end it."""
    spawn = multiprocessing.get_context("spawn")
    here, worker = None, None
    for index in indices:
        if here is None or worker is None:
            here, there = spawn.Pipe()
            worker = spawn.Process(target=work, args=(there,), daemon=True)
            worker.start()
            there.close()
        here.send(index)
        try:
            answered = here.poll(PATIENCE)
            tried: Tried | None = here.recv() if answered else None
        except EOFError:
            answered, tried = True, None
        if tried is not None:
            yield tried
            continue
        what = "the process ended" if answered else f"no answer in {PATIENCE} s"
        yield EVERY[index].id, True, False, f"error: {what}"
        worker.kill()
        here = worker = None


def rows_of(tried: list[Tried]) -> list[Row]:
    rows = []
    for kind in KINDS:
        own = [each for each in tried if each[0].startswith(f"{kind}-")]
        if own:
            told = "<br>".join(f"{name.partition('-')[2]}: {what}" for name, _, _, what in own)
            passed = sum(what.partition(";")[0] == "passes" for *_, what in own)
            mildly = sum(mild for _, _, mild, _ in own)
            rows.append(Row(kind, len(own), sum(ours for _, ours, *_ in own), passed, mildly, told))
    return rows


HEAD = """# The matrix

{generated}

44 kinds of models that people train, each fitted on two data sets or more, one of them real; the
hardest (★) have three cases or more. A case passes when no label and no number differs beyond the
bar, on all row sets of [the gate](../3-parity.md) and on rows that neither saw. The cases are in
`tests/export/matrix/`.

**Kinds that pass, of {kinds}: onnxport {ours}, the public converters {public}, the public converters with
numbers within 1e-5 {mildly}.**

A class that onnxport refuses counts as a case that doesn't pass. The public converters are plain
skl2onnx for kinds 1 to 38, onnxmltools for XGBoost and LightGBM, CatBoost's own export, and torch's own
exporter; beside XGBoost's and LightGBM's models stands what treelite's reference evaluator, which needs
no ONNX, makes of the same trees and rows.

Plain skl2onnx is called as its documentation advises (`to_onnx`, ZipMap off, operator sets 21 and
3), with all numbers as float64, with all as float32, and with the data's own types; the best of the
three counts. The same rows and bars judge it, except that batches of no rows are left out, and that
inputs go by position, since it renames some. What it can't do shows as an error of the conversion or
of ONNX Runtime; wrong labels and numbers come without any message.

onnxmltools and CatBoost get all numbers as one float32 matrix, categories as their codes, as they ask
for it. torch's exporter gets each dynamic dimension declared; it can't keep an id out that the module
refuses.

Made with scikit-learn {sklearn}, skl2onnx {skl2onnx}, onnxmltools {onnxmltools}, CatBoost {catboost},
treelite {treelite}, torch {torch}, onnx {onnx}, ONNX Runtime {onnxruntime}.

| | kind | cases | onnxport | public | public within 1e-5 | what the public converter does |
|---|---|---|---|---|---|---|
"""


def page(rows: list[Row]) -> str:
    ours, public, mildly = passing(rows)
    head = HEAD.format(
        generated=GENERATED,
        kinds=len(rows),
        ours=ours,
        public=public,
        mildly=mildly,
        sklearn=sklearn.__version__,
        skl2onnx=skl2onnx.__version__,
        **{
            name: metadata.version(name)
            for name in ("onnxmltools", "catboost", "treelite", "torch")
        },
        onnx=onnx.__version__,
        onnxruntime=onnxruntime.__version__,
    )
    cells = ((cell.replace("|", "\\|") for cell in row.cells) for row in rows)
    return head + "".join(f"| {' | '.join(each)} |\n" for each in cells)


def main(arguments: list[str]) -> int:
    wanted = {int(kind) for kind in arguments} or set(KINDS)
    tried = []
    for each in try_all([i for i, case in enumerate(EVERY) if case.kind in wanted]):
        print(*each, flush=True)
        tried.append(each)
    rows = rows_of(tried)
    if wanted == set(KINDS):
        PAGE.write_text(page(rows), "utf-8")
        print("wrote docs/reference/matrix.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
