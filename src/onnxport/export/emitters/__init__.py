"""The emitters, one module a family. Importing this fills the registry, which is why the
registry is read from here.
"""

from onnxport.export.emitters import (
    bayes,
    boosting,
    calibration,
    centers,
    clustering,
    discriminants,
    encoding,
    ensembles,
    forests,
    functions,
    histogram,
    imputing,
    isotonic,
    linear,
    mixtures,
    multiclass,
    multioutput,
    neighbours,
    networks,
    outliers,
    projection,
    public,
    scaling,
    structure,
    text,
    vectors,
)
from onnxport.export.registry import RULES, emit

EMITTERS = (
    bayes,
    boosting,
    calibration,
    centers,
    clustering,
    discriminants,
    encoding,
    ensembles,
    forests,
    functions,
    histogram,
    imputing,
    isotonic,
    linear,
    mixtures,
    multiclass,
    multioutput,
    neighbours,
    networks,
    outliers,
    projection,
    public,
    scaling,
    structure,
    text,
    vectors,
)

__all__ = ["EMITTERS", "RULES", "emit"]
