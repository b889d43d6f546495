"""Several targets at once, an estimator for each.

Source: `sklearn/multioutput.py`.
"""

from __future__ import annotations

from typing import Any

from sklearn.multioutput import MultiOutputClassifier

from onnxport.export.graph import Columns
from onnxport.export.members import classified
from onnxport.export.registry import Emission, Several, emits


@emits(MultiOutputClassifier)
def emit_multi_output_classifier(emission: Emission, estimator: Any, columns: Columns) -> Several:
    """Each target by its own classifier."""
    return Several(
        tuple(
            classified(emission, member, columns, f"estimators_[{i}]")
            for i, member in enumerate(estimator.estimators_)
        )
    )
