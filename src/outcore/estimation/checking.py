"""What an estimator is given: rows, weights, and whether it was fitted.

Reads from : array.opening, estimation.features
Hands to   : the estimators

Guarantees
- Nothing is read: shape and dtype tell. NaN and negative weights are found by the passes themselves.
- Rows that have an address keep it; nothing is copied but lists, tables and arrays of objects.
- Where scikit-learn has a text for the same mistake, its words are in ours: programs look for them.
"""

from __future__ import annotations

import os
import sys
import warnings
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.planning import asked
from outcore.errors import (
    ConvergenceWarning,
    DTypeError,
    NotFittedError,
    OptionError,
    OutcoreError,
    ShapeError,
)
from outcore.estimation.features import compare_names, feature_names


class _ComplexError(DTypeError, ValueError):
    """Complex numbers; scikit-learn raises ValueError for them."""


def check_rows(X: Any, estimator: Any, *, reset: bool, min_rows: int = 1) -> Array:
    """Return the rows that an estimator is given, as an `Array` with two axes of real numbers.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset, table or array-like, shape (n, d)
    estimator : Estimator
    reset : bool
        True in `fit`, where the number and names of the features are noted (unless only a plan is wanted);
        False where they are compared with those of `fit`.
    min_rows : int
        Fewer are refused.

    Raises
    ------
    ShapeError
        Not two axes, too few rows, no columns, or not the features of `fit`.
    DTypeError
        Not real numbers.
    """
    names = feature_names(X)
    array = _as_numbers(X)
    _refuse_shape(array, type(estimator).__name__, min_rows)
    if reset:
        if not asked():
            estimator.n_features_in_ = array.shape[1]
            if names is not None:
                estimator.feature_names_in_ = names
            elif hasattr(estimator, "feature_names_in_"):
                del estimator.feature_names_in_
        return array
    compare_names(estimator, names)
    if array.shape[1] != estimator.n_features_in_:
        raise ShapeError(
            f"X has {array.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input.\nGive rows with the columns that fit was given."
        )
    return array


def check_weights(sample_weight: Any, n_rows: int) -> Array | None:
    """Return the weights of rows, as an `Array` with one axis; None stays None.

    Parameters
    ----------
    sample_weight : None, Array, str, path or array-like, shape (n_rows,)
    n_rows : int

    Raises
    ------
    ShapeError
        Not one weight for each row.
    DTypeError
        Not real numbers.
    """
    if sample_weight is None:
        return None
    weights = _as_numbers(sample_weight, "sample_weight")
    if weights.shape != (n_rows,):
        raise ShapeError(
            f"sample_weight has shape {weights.shape}; X has {n_rows} rows, so ({n_rows},) is needed.\n"
            "Give one weight for each row."
        )
    return weights


def is_fitted(estimator: Any) -> bool:
    """Whether `fit` has succeeded: it left more than the facts about its input that it notes first."""
    noted = {"n_features_in_", "feature_names_in_"}
    return any(name.endswith("_") and not name.startswith("_") for name in vars(estimator).keys() - noted)


def check_is_fitted(estimator: Any) -> None:
    """Raise unless `fit` has succeeded.

    Raises
    ------
    NotFittedError
        Also scikit-learn's class of this name, where that is loaded.
    """
    if is_fitted(estimator):
        return
    raise _not_fitted_class()(
        f"This {type(estimator).__name__} instance is not fitted yet.\nCall fit(X) first."
    )


def check_number(name: str, value: Any, kind: type, least: int) -> None:
    """Raise unless a parameter is a number from `least` on, whole if `kind` is Integral.

    Raises
    ------
    OptionError
        With the parameter's name and value.
    """
    number: Any = value if isinstance(value, kind) and not isinstance(value, bool) else float("nan")
    if least <= number < float("inf"):
        return
    noun = "a whole number" if kind is Integral else "a number"
    raise OptionError(
        f"{name}={value!r} is not {noun} from {least} on.\nUse {name}={max(least, 1)}, for example."
    )


def warn_convergence(text: str, stacklevel: int = 3) -> None:
    """Warn of an iteration that did not end well: `ConvergenceWarning`, also scikit-learn's where loaded."""
    warnings.warn(text, _convergence_class(), stacklevel=stacklevel)


def _as_numbers(X: Any, what: str = "X") -> Array:
    sparse = sys.modules.get("scipy.sparse")  # whoever passes such a matrix has imported it
    if sparse is not None and sparse.issparse(X):
        raise DTypeError(
            f"{what} is a sparse matrix; Sparse data are not supported.\n"
            "Use X.toarray() if it fits in memory, or write it to an array on disk in blocks of rows."
        )
    h5py = sys.modules.get("h5py")
    placed = isinstance(X, (Array, str, os.PathLike, np.ndarray)) or (
        h5py is not None and isinstance(X, h5py.Dataset)
    )
    given = X if placed else np.asarray(X)
    if isinstance(given, np.ndarray) and given.dtype == object:
        given = _from_objects(given, what)
    array = asarray(given)
    kind = array.dtype.kind
    if kind == "c":
        raise _ComplexError(
            f"Complex data not supported: {what} has dtype {array.dtype}.\n"
            "Give real and imaginary parts as columns of their own."
        )
    if array.dtype.names is not None:
        raise DTypeError(
            f"{what} has the fields {', '.join(array.dtype.names)}; plain columns of numbers are needed.\n"
            f"Give one field, X[{array.dtype.names[0]!r}], or columns of one dtype: "
            "numpy.lib.recfunctions.structured_to_unstructured."
        )
    if kind not in "biuf":
        raise DTypeError(
            f"{what} has dtype {array.dtype}; numbers are needed.\nConvert it first: X.astype(float)."
        )
    return array


def _from_objects(given: NDArray[Any], what: str) -> NDArray[np.float64]:
    try:
        return given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"{what} holds objects that are not numbers: {error}.\nGive an array of numbers."
        ) from error


def _refuse_shape(array: Array, name: str, min_rows: int) -> None:
    if array.ndim != 2:
        raise ShapeError(
            f"X has {array.ndim} dimensions {array.shape}; {name} needs two: rows and columns.\n"
            "Reshape your data: X.reshape(-1, 1) if it is one column, X.reshape(1, -1) if it is one row."
        )
    n_rows, n_columns = array.shape
    if n_columns == 0:
        raise ShapeError(
            f"X has 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.\n"
            "Give rows with columns."
        )
    if n_rows < min_rows:
        raise ShapeError(
            f"X has {n_rows} sample(s) (n_samples={n_rows}, shape={array.shape}) "
            f"while a minimum of {min_rows} is required by {name}.\nGive more rows."
        )


#: Made once: an exception is caught by its class.
_merged: dict[tuple[str, Any], type] = {}


class _Both:
    """Pickles as a call that looks again whether scikit-learn is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _raised, (type(self).__name__, self.args)  # type: ignore[attr-defined]  # an exception's


def _raised(name: str, args: tuple[Any, ...]) -> OutcoreError | ConvergenceWarning:
    made: OutcoreError | ConvergenceWarning
    made = _not_fitted_class()(*args) if name == "NotFittedError" else _convergence_class()(*args)
    return made


def _not_fitted_class() -> type[NotFittedError]:
    found: type[NotFittedError] = _with_sklearn(NotFittedError)
    return found


def _convergence_class() -> type[ConvergenceWarning]:
    found: type[ConvergenceWarning] = _with_sklearn(ConvergenceWarning)
    return found


def _with_sklearn(ours: type[Exception]) -> Any:
    """Return a class that is also scikit-learn's of the same name; ours where scikit-learn is not loaded."""
    theirs = sys.modules.get("sklearn.exceptions")
    if theirs is None:
        return ours
    base = getattr(theirs, ours.__name__)
    key = (ours.__name__, base)
    if key not in _merged:
        _merged[key] = type(
            ours.__name__, (_Both, ours, base), {"__module__": ours.__module__, "__doc__": ours.__doc__}
        )
    return _merged[key]
