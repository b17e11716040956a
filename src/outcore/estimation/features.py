"""Names of features: rows that come as a table of named columns have them, arrays do not.

Hands to   : estimation.checking

The rules and the texts are scikit-learn's, whose tools look for them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import DTypeError, ShapeError

#: Names listed in an error.
SHOWN = 5


def feature_names(X: Any) -> NDArray[np.object_] | None:
    """Return the names of a table's columns (pandas, Polars); None where there are none.

    Raises
    ------
    DTypeError
        Some names are text and some are not.
    """
    columns = getattr(X, "columns", None)
    if columns is None or isinstance(X, np.ndarray):
        return None
    listed = list(columns)
    texts = [isinstance(name, str) for name in listed]
    if not any(texts):
        return None
    if not all(texts):
        kinds = sorted({type(name).__name__ for name in listed})
        raise DTypeError(
            f"the names of the columns are of several types: {', '.join(kinds)}.\n"
            "Make them all text, X.columns = X.columns.astype(str), or give the values alone, X.to_numpy()."
        )
    names = np.empty(len(listed), dtype=object)
    names[:] = listed
    return names


def compare_names(estimator: Any, given: NDArray[np.object_] | None) -> None:
    """Compare the names of new rows with those seen by `fit`.

    Raises
    ------
    ShapeError
        Other names, or another order.
    """
    fitted: NDArray[np.object_] | None = getattr(estimator, "feature_names_in_", None)
    name = type(estimator).__name__
    if given is None and fitted is None:
        return
    if fitted is None:
        _warn(f"X has feature names, but {name} was fitted without feature names")
        return
    if given is None:
        _warn(f"X does not have valid feature names, but {name} was fitted with feature names")
        return
    if np.array_equal(fitted, given):
        return
    unexpected = sorted(set(given) - set(fitted))
    missing = sorted(set(fitted) - set(given))
    text = "The feature names should match those that were passed during fit.\n"
    if unexpected:
        text += "Feature names unseen at fit time:\n" + _listed(unexpected)
    if missing:
        text += "Feature names seen at fit time, yet now missing:\n" + _listed(missing)
    if not unexpected and not missing:
        text += "Feature names must be in the same order as they were in fit.\n"
    raise ShapeError(text + "Select the columns by name: X[list(estimator.feature_names_in_)].")


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=5)


def _listed(names: list[str]) -> str:
    more = "- ...\n" if len(names) > SHOWN else ""
    return "".join(f"- {name}\n" for name in names[:SHOWN]) + more
