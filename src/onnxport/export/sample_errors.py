"""What to say of an X that is no table, and of what the library itself says of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxport.errors import ExportError, shorten

_LONGEST = 300  # characters of the library's own words


def no_table(X: Any) -> ExportError:
    """The error for an X that isn't two-dimensional."""
    wanted = "pass a DataFrame or an array [rows, features]"
    shape = np.shape(X) if not isinstance(X, dict) else ()
    if not shape:
        return ExportError(f"X is of type {type(X).__name__}; {wanted}")
    if isinstance(X, list) and X and isinstance(X[0], dict):
        return ExportError("X is a list of dicts; pass pandas.DataFrame(X)")
    return ExportError(f"X has shape {shape}; {wanted}")


def wrong_width(width: int, expected: int) -> ExportError:
    """The error for an X of too many or too few columns."""
    return ExportError(
        f"X has {width} columns, and the estimator was fitted on {expected}; pass the columns of "
        "training in their order, without the target"
    )


def no_texts(X: Any) -> ExportError:
    """The error for an X that is no list of texts."""
    what = f"X is of type {type(X).__name__}"
    if getattr(X, "ndim", 1) != 1:
        what = f"X has shape {X.shape}"
    return ExportError(
        f"{what}, and the estimator takes a list of texts; pass a list or Series of strings, "
        "such as one column of a DataFrame"
    )


def library_says(err: Exception) -> str:
    """The first sentence or line of an error, without the full stop: some go on for pages."""
    first = str(err).strip().partition("\n")[0]
    return shorten(first, _LONGEST).rstrip(".") or type(err).__name__
