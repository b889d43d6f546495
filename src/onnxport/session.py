"""Opens a model file in ONNX Runtime and proves by its own self-test rows that it answers rightly
here.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from onnxport import runtime
from onnxport.compare import relative_difference, worst
from onnxport.datatypes import BY_NAME
from onnxport.errors import InferenceError, ModelFileError
from onnxport.modelfile import ModelFile
from onnxport.stored import restore_some
from onnxport.tensors import Array, Arrays, column_array, groups, pack

log = logging.getLogger(__name__)


class Session:
    """An open model file. `selftest_difference` is the worst difference that its self-test showed
    here.
    """

    def __init__(self, file: ModelFile, *, threads: int = 1) -> None:
        self.file, self.manifest, self.threads = file, file.manifest, threads
        self.signature = file.manifest.signature
        self.runtime_version = runtime.VERSION
        try:
            self._graph = runtime.Graph(
                file.content, threads=threads, rows_per_run=_rows_per_run(file)
            )
        except runtime.RuntimeRefusal as err:
            log.debug("ONNX Runtime refused the graph", exc_info=err)
            wanted = self.manifest.get("runtime", {}).get("onnxruntime", "a newer one")
            raise ModelFileError(
                f"ONNX Runtime {runtime.VERSION} can't open the graph; it needs onnxruntime {wanted}"
            ) from err
        self._check_tensors()
        if runtime.VERSION.startswith(runtime.DENIED):
            log.warning(
                "ONNX Runtime %s is known for wrong answers; the self-test decides", runtime.VERSION
            )
        self._check_unicode()
        self.selftest_difference = self._self_test()

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        """Answers [N, width] tensors by name. Raises InferenceError; the runtime's own words go to
        the log.
        """
        try:
            return self._graph.run(feeds)
        except runtime.RuntimeRefusal as err:
            raise InferenceError("the runtime failed on rows that fit the signature") from err

    def _check_tensors(self) -> None:
        """The graph takes and gives what the manifest says."""
        said = {t.name: BY_NAME[t.datatype].runtime for t in self.signature.tensors}
        if said != self._graph.inputs:
            raise ModelFileError("the manifest's inputs are not the graph's; save the model again")
        missing = {o.tensor for o in self.signature.outputs} - set(self._graph.outputs)
        if missing:
            raise ModelFileError(
                f"the graph has no output {sorted(missing)[0]!r} that the manifest names"
            )

    def _check_unicode(self) -> None:
        """Texts are analysed by the tables of this Python, which grow with every Unicode version."""
        made = self.manifest.get("runtime", {}).get("unicode", unicodedata.unidata_version)
        if self.signature.texts and made != unicodedata.unidata_version:
            log.warning(
                "the model was saved under Unicode %s and this Python has %s: texts with characters "
                "that only one of them knows may be read differently",
                str(made)[:16],
                unicodedata.unidata_version,
            )

    def answers_like(self, other: Session) -> bool:
        """Whether both give the same bits for all stored rows, together and one by one."""
        for places, _ in self._stored():
            for some in (places, *places[:, None]):
                feeds = self._feeds_of(some)
                mine, theirs = self.run(feeds), other.run(feeds)
                if any(not _same_bits(mine[name], theirs[name]) for name in mine):
                    return False
        return True

    def _self_test(self) -> float:
        try:
            largest = max(self._self_test_rows(places, feeds) for places, feeds in self._stored())
        except (KeyError, TypeError, ValueError, OverflowError, InferenceError) as err:
            raise self._failed("the stored rows can't be run") from err
        return largest

    def _stored(self) -> Iterator[tuple[Array, Arrays]]:
        """The stored rows that can be run together: their places, and the tensors of these rows."""
        selftest = self.file.selftest
        for places in groups(self.signature, self._columns, selftest.rows):
            yield places, self._feeds_of(places)

    @cached_property
    def _columns(self) -> dict[str, Array]:
        """The stored rows by feature."""
        selftest = self.file.selftest
        return {
            feature.name: column_array(feature, selftest.column(feature.name))
            for feature in self.signature.features
        }

    def _feeds_of(self, places: Array) -> Arrays:
        some = {name: values[places] for name, values in self._columns.items()}
        return pack(self.signature, some, len(places))

    def _self_test_rows(self, places: Array, feeds: Arrays) -> float:
        """The worst difference of the rows at these places, which are run together."""
        selftest = self.file.selftest
        got = self.run(feeds)
        worst_of = [0.0]
        for name, values in selftest.expect.items():
            expected = [values[place] for place in places.tolist()]
            if expected and isinstance(expected[0], dict):
                pairs = zip(expected, got[name], strict=True)
                worst_of += [self._self_test_tensor(name, *pair) for pair in pairs]
            else:
                found = np.array(expected)
                worst_of.append(self._self_test_output(name, found, got[name], selftest.tolerance))
        return max(worst_of)

    def _self_test_tensor(self, name: str, entry: Mapping[str, Any], got: Array) -> float:
        """One row's whole tensor; of a large one only some elements are stored."""
        shape, every, expected = restore_some(entry)
        if got.shape != shape:
            raise self._failed(f"output {name!r} has the shape {got.shape} instead of {shape}")
        found = got.ravel()[::every]
        if expected.dtype == object or expected.dtype.kind == "b":
            if not np.array_equal(expected, found):
                raise self._failed(f"output {name!r} differs")
            return 0.0
        return self._self_test_output(name, expected, found, self.file.selftest.tolerance)

    def _self_test_output(self, name: str, expected: Array, got: Array, tolerance: float) -> float:
        largest = worst(relative_difference(expected, got))
        output = next(o for o in self.signature.outputs if o.tensor == name)
        if largest > (0.0 if output.role == "label_code" else tolerance):
            raise self._failed(f"output {name!r} differs by {largest:.3g}")
        return largest

    def _failed(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"the self-test failed on ONNX Runtime {self.runtime_version}: {what}; "
            "serve it with the release it was saved with, or save the model again here"
        )


def _same_bits(one: Array, other: Array) -> bool:
    if one.dtype == object:
        return bool(one.tolist() == other.tolist())
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def _rows_per_run(file: ModelFile) -> int:
    rows = file.manifest.get("runtime", {}).get("rows_per_run", runtime.ROWS_PER_RUN)
    return min(max(int(rows), 1), runtime.ROWS_PER_RUN)


def open_session(file: ModelFile, *, threads: int = 1) -> Session:
    """A session that has passed its self-test. Raises ModelFileError.

    threads: how many one run may use, ONNX Runtime's intra-op threads.
    """
    return Session(file, threads=threads)


def describe_runtime() -> dict[str, Any]:
    """What answers here: ONNX Runtime's and numpy's versions."""
    return {"onnxruntime": runtime.VERSION, "numpy": np.__version__}
