"""NaN and infinity in rows that are computed with: an error that names the row.

Hands to   : linalg and the estimators
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import NonFiniteError


def refuse_nonfinite(values: NDArray[Any], start: int = 0, what: str = "X") -> None:
    """Raise if a row holds NaN or infinity.

    Looking at all values costs a pass over them: sums and products of theirs tell more cheaply whether to
    look.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, d)
    start : int
        Number of the first row.
    what : str
        The array, for the error.

    Raises
    ------
    NonFiniteError
        The first such row and column are named.
    """
    fine = np.isfinite(values)
    if fine.all():
        return
    where = tuple(int(i) for i in np.argwhere(~fine)[0])
    value = values[where]
    column = f", column {where[1]}" if len(where) > 1 else ""
    shown = "NaN" if np.isnan(value) else "infinity (inf)" if value > 0 else "minus infinity (-inf)"
    raise NonFiniteError(
        f"{what} holds {shown} in row {start + where[0]}{column}; products need numbers.\n"
        "Drop such rows or put numbers there first; oc.describe(X) counts the NaN of each column."
    )
