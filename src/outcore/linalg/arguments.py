"""What products take: rows of real numbers, and matrices that fit them.

Reads from : array.opening
Hands to   : the statistics of linalg
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.statistic import Rows
from outcore.errors import DTypeError, NonFiniteError, OptionError, ShapeError

#: Kinds of dtype that become float64: bool, integers, floats.
REAL = "biuf"
#: So many values are looked at together.
LOOK_VALUES = 1 << 16


def check_rows(rows: Rows, what: str) -> int:
    """Return the number of columns of rows that products can be formed of.

    Raises
    ------
    ShapeError
        Not a matrix.
    DTypeError
        Not real numbers.
    """
    refuse_kind(rows.dtype, named(rows), what)
    if len(rows.row_shape) != 1:
        shape = (rows.n_rows, *rows.row_shape)
        cure = "X.reshape(-1, 1)" if not rows.row_shape else "X.reshape(len(X), -1)"
        raise ShapeError(
            f"{named(rows)} has shape {shape}; {what} needs a matrix of shape (n, d).\nUse {cure}."
        )
    return rows.row_shape[0]


def named(rows: Rows) -> str:
    """Return what errors call the rows: by their address if they have one."""
    return "X" if rows.address == "memory" else rows.address


def refuse_kind(dtype: np.dtype[Any], name: str, what: str) -> None:
    """Raise unless values of `dtype` are real numbers."""
    if dtype.kind in REAL:
        return
    if dtype.names is not None:
        fields = ", ".join(dtype.names)
        raise DTypeError(
            f"{name} has fields ({fields}); {what} needs columns of one type.\n"
            "Select a field that holds vectors, X[name], or copy the fields into a matrix: "
            "numpy.lib.recfunctions.structured_to_unstructured."
        )
    cure = (
        "Use the real and the imaginary part, X.real and X.imag, by themselves."
        if dtype.kind == "c"
        else "Convert it to numbers first: oc.convert(X, target, dtype=...)."
    )
    raise DTypeError(f"{name} has dtype {dtype}; {what} computes with real numbers.\n{cure}")


def called(name: str, weights: Any) -> str:
    """Return the operation as the user typed it, for plans and errors.

    Examples
    --------
    >>> called("gram", np.ones((4, 2))), called("gram", None)
    ('gram(weights=(4, 2))', 'gram')
    """
    return name if weights is None else f"{name}(weights={asarray(weights).shape})"


def parameter(value: Any, name: str, what: str) -> Array:
    """Return a matrix that the user gave: an ndarray, an Array, an address; its values are not read yet.

    Raises
    ------
    DTypeError
        Not real numbers.
    """
    given = asarray(value)
    refuse_kind(given.dtype, name, what)
    return given


def refuse_nonfinite_entries(values: NDArray[Any], name: str, before: tuple[int, ...] = ()) -> None:
    """Raise if a matrix or a vector that the user gave holds NaN or infinity.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, m)
    name : str
    before : tuple of int
        Where `values` is in what the user gave: the first indices.
    """
    # A few rows at a time: the answers for a large matrix are no small array themselves.
    step = max(1, LOOK_VALUES * len(values) // max(values.size, 1))
    for low in range(0, len(values), step):
        fine = np.isfinite(values[low : low + step])
        if fine.all():
            continue
        first, *rest = (int(i) for i in np.argwhere(~fine)[0])
        where = (low + first, *rest)
        raise NonFiniteError(
            f"{name}[{', '.join(map(str, before + where))}] is {float(values[where])}; "
            "products need numbers.\n"
            f"Find all such entries with np.argwhere(~np.isfinite({name}))."
        )


def check_ddof(ddof: Any) -> float:
    """Return `ddof` if it is a number that can be taken off a count."""
    if isinstance(ddof, bool) or not isinstance(ddof, (int, float, np.integer, np.floating)) or not ddof >= 0:
        raise OptionError(f"ddof={ddof!r} cannot be taken off a number of rows.\nUse ddof=1 or ddof=0.")
    return float(ddof)
