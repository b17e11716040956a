"""Matrices that are summed one by one and returned behind each other, held once.

Hands to   : linalg.grams, mixture.expectation

A state whose parts are views of one array becomes the result as it is. Parts that came from another process
have arrays of their own, and are copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def whole(matrices: list[NDArray[Any]]) -> NDArray[Any] | None:
    """Return the array that `matrices` are the parts of, one behind the other; None if there is none.

    Examples
    --------
    >>> stack = np.zeros((2, 3, 3))
    >>> whole(list(stack)) is stack, whole([stack[1], stack[0]])
    (True, None)
    """
    base = matrices[0].base if matrices else None
    if not isinstance(base, np.ndarray) or base.shape != (len(matrices), *matrices[0].shape):
        return None
    found: NDArray[Any] = base
    at = [matrix.ctypes.data for matrix in matrices]
    complete = all(matrix.base is base for matrix in matrices) and at == [part.ctypes.data for part in found]
    return found if complete else None
