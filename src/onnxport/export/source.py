"""From names on the command line to objects: a fitted estimator, and the table that it was trained
on.

The only reader of pickles, and only where the user says that the file is trusted.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from onnxport.errors import ExportError, shorten
from onnxport.export.subject import reads_texts

PICKLES = (".joblib", ".pkl", ".pickle")


@dataclass(frozen=True)
class Training:
    """A table split as the estimator needs it. y: the target column, or None. left_out: columns
    that are no feature.
    """

    X: pd.DataFrame
    y: Any
    left_out: tuple[str, ...]


def load_object(source: str, *, trust: bool = False) -> Any:
    """The fitted estimator behind `MODULE:OBJECT` (or a function that returns it), or in a joblib
    or pickle file.

    The current directory is searched for modules. Loading a pickle runs the code in it, so `trust`
    must be given. Raises ExportError.
    """
    if source.endswith(PICKLES):
        return _unpickle(Path(source), trust=trust)
    module, colon, attributes = source.partition(":")
    if not (colon and module and attributes):
        raise ExportError(
            f"{shorten(source)!r} is neither MODULE:OBJECT nor a file that ends in .joblib or .pkl"
        )
    found = _import(module)
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise ExportError(f"the module {module!r} has no {attributes!r}; check its spelling")
        found = getattr(found, attribute)
    return _estimator(found, source)


def read_table(path: str | Path) -> pd.DataFrame:
    """A table from a .csv (UTF-8, with a header) or .parquet file. Raises ExportError."""
    path = Path(path)
    readers: dict[str, Any] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".pq": pd.read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ExportError(f"{path.name}: no known kind of table; give a .csv or a .parquet file")
    try:
        table: pd.DataFrame = reader(path)
    except ImportError as err:
        raise ExportError("reading parquet takes pyarrow: pip install pyarrow") from err
    except OSError as err:
        said = err.strerror or shorten(str(err), 200)
        raise ExportError(f"{path.name}: {said}; give the path of the training data") from err
    except ValueError as err:  # what pandas and pyarrow raise for bytes that are no such table
        raise ExportError(f"{path.name} can't be read: {shorten(str(err), 200)}") from err
    if table.empty:
        raise ExportError(f"{path.name} holds no rows; give a representative sample")
    return table


def split_table(estimator: Any, table: pd.DataFrame, target: str | None) -> Training:
    """The table's columns as X, in the order of training, and y. Raises ExportError for a column
    that isn't there.
    """
    if target is not None and target not in table.columns:
        raise ExportError(
            f"the data has no column {target!r} to be the target; it has {_listed(table)}"
        )
    names = getattr(estimator, "feature_names_in_", None)
    others = [name for name in table.columns if name != target]
    wanted = others if names is None else list(names)
    if names is None and len(others) != 1 and reads_texts(estimator):
        besides = "" if target is None else f" besides the target {target!r}"
        raise ExportError(
            f"the estimator reads one column of texts, and the data has {len(others)} "
            f"columns{besides}: {_listed(table)}; keep the texts' and the target's, and name the "
            "latter with --target"
        )
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ExportError(
            f"the data lacks the column {missing[0]!r} that the estimator was fitted on; "
            f"it has {_listed(table)}"
        )
    left_out = tuple(str(name) for name in others if name not in set(wanted))
    return Training(table[wanted], None if target is None else table[target], left_out)


def _listed(table: pd.DataFrame) -> str:
    return shorten(", ".join(map(str, table.columns)), 200)


def _import(module: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        missing = err.name or module
        why = "it is searched for in this directory" if missing == module else "install it"
        raise ExportError(f"no module {missing!r}; {why}") from err
    except Exception as err:  # the user's own code may raise anything
        raise ExportError(_raised(f"importing {module!r}", err)) from err


def _estimator(found: Any, source: str) -> Any:
    if isinstance(found, type):
        raise ExportError(
            f"{source} is a class; give a fitted estimator, or a function returning one"
        )
    if hasattr(found, "predict") or hasattr(found, "transform") or not callable(found):
        return found
    try:
        return found()
    except Exception as err:  # the user's own code may raise anything
        raise ExportError(_raised(f"calling {source}", err)) from err


def _unpickle(path: Path, *, trust: bool) -> Any:
    if not trust:
        raise ExportError(
            f"{path.name} is a pickle: loading it runs whatever code it holds; "
            "add --trust if you know where it comes from"
        )
    import joblib

    try:
        return joblib.load(path)
    except ModuleNotFoundError as err:
        raise ExportError(f"{path.name} needs the module {err.name!r}; install it") from err
    except OSError as err:
        raise ExportError(f"{path.name}: {err.strerror or err}; give the path of the file") from err
    except Exception as err:  # unpickling may raise anything
        said = _raised(f"loading {path.name}", err)
        raise ExportError(f"{said}; load it with the library versions that wrote it") from err


def _raised(doing: str, err: Exception) -> str:
    return f"{doing} raised {type(err).__name__}: {shorten(str(err), 200)}"
